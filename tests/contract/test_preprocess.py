"""One input contract, one result: what the compiler measures is, bit for bit, what the device computes."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import BadDataError, BadInputContractError
from edge.manifest import ImageInput, InputContract, SeriesInput, TensorInput, TensorSpec
from edge.picture import LETTERBOX_GREY, Resize, fit, fitter, placed
from edge.preprocess import Preprocessor, contract_shape
from edge.quantization import dequantize, quantize


def spec_of(contract: InputContract, dtype: str, scale: float = 0.02, zero_point: int = 3) -> TensorSpec:
    affine = {} if dtype == "float32" else {"scale": scale, "zero_point": zero_point}
    return TensorSpec(name="x", shape=(1, *contract_shape(contract)), dtype=dtype, **affine)


PICTURES = st.builds(
    ImageInput,
    width=st.integers(1, 24),
    height=st.integers(1, 24),
    colour=st.sampled_from(["RGB", "BGR"]),
    layout=st.sampled_from(["NHWC", "NCHW"]),
    resize=st.sampled_from(["stretch", "crop", "letterbox"]),
    scale=st.sampled_from([1.0, 1 / 255, 1 / 127.5]),
    mean=st.sampled_from([(0.0,), (127.5,), (0.485, 0.456, 0.406), (1.0,)]),
    std=st.sampled_from([(1.0,), (0.229, 0.224, 0.225), (58.0,)]),
)
GREY = st.builds(
    ImageInput, width=st.integers(1, 24), height=st.integers(1, 24), colour=st.just("GRAY"), layout=st.just("NCHW")
)
DTYPES = st.sampled_from(["float32", "int8", "uint8"])


@settings(max_examples=200, deadline=None)
@given(
    contract=PICTURES | GREY,
    camera=st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([0, 1, 3])),
    dtype=DTYPES,
    step=st.sampled_from([0.02, 1.0, 1 / 255]),
)
def test_into_is_exactly_the_quantized_real_picture(
    contract: ImageInput, camera: tuple[int, int, int], dtype: str, step: float
) -> None:
    spec = spec_of(contract, dtype, step)
    shape = camera if camera[2] else camera[:2]
    picture = np.random.default_rng(camera[0]).integers(0, 256, shape, dtype=np.uint8)
    preprocessor = Preprocessor(contract, spec)
    out = np.zeros(spec.shape, dtype)
    preprocessor.into(picture, out)
    real = preprocessor.real(picture)
    assert real.shape == spec.shape[1:]
    assert np.array_equal(out[0], quantize(real, spec))


def test_the_formula_is_that_of_the_contract() -> None:
    contract = ImageInput(
        width=3,
        height=2,
        colour="RGB",
        layout="NCHW",
        scale=1 / 255,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )
    picture = np.random.default_rng(0).integers(0, 256, (2, 3, 3), dtype=np.uint8)
    expected = (picture[..., ::-1] / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    real = Preprocessor(contract, spec_of(contract, "float32")).real(picture)
    np.testing.assert_allclose(real, expected.transpose(2, 0, 1), atol=1e-6)


def test_grey_is_what_opencv_computes() -> None:
    cv2 = pytest.importorskip("cv2")
    picture = np.random.default_rng(1).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    contract = ImageInput(width=50, height=40, colour="GRAY", layout="NHWC")
    real = Preprocessor(contract, spec_of(contract, "float32")).real(picture)
    assert np.abs(real[..., 0] - cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)).max() <= 1


def test_letterbox_keeps_the_proportions_and_crop_keeps_the_middle() -> None:
    pytest.importorskip("cv2")
    wide = np.zeros((10, 40, 3), np.uint8)
    wide[:, 15:25] = 200
    boxed, cropped = (
        Preprocessor(contract, spec_of(contract, "float32")).real(wide)
        for contract in (
            ImageInput(width=20, height=20, colour="BGR", layout="NHWC", resize=how) for how in ("letterbox", "crop")
        )
    )
    assert (boxed[0] == 114).all()
    assert (boxed[6] == 114).all()
    assert boxed[7, 10, 0] == 200
    assert boxed[11, 10, 0] == 200
    assert (boxed[12] == 114).all()
    assert (cropped == 200).all()


def test_a_picture_of_the_models_size_needs_no_opencv() -> None:
    code = (
        "import sys, numpy as np; from edge.preprocess import Preprocessor; from edge.manifest import *;"
        "c = ImageInput(width=4, height=4, colour='GRAY', layout='NHWC');"
        "p = Preprocessor(c, TensorSpec(name='x', shape=(1, 4, 4, 1), dtype='uint8', scale=1.0, zero_point=0));"
        "p.into(np.zeros((4, 4, 3), np.uint8), np.zeros((1, 4, 4, 1), np.uint8)); sys.exit('cv2' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@settings(max_examples=60, deadline=None)
@given(
    layout=st.sampled_from(["NTC", "NCT", "NF"]),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 4)),
    dtype=DTYPES,
)
def test_into_is_exactly_the_quantized_real_window(layout: str, shape: tuple[int, int], dtype: str) -> None:
    rng = np.random.default_rng(shape[0])
    window, columns = shape
    mean, std = tuple(rng.normal(0, 3, columns)), tuple(rng.uniform(0.1, 3, columns))
    names = tuple(f"c{i}" for i in range(columns))
    contract = SeriesInput(window=window, stride=1, columns=names, layout=layout, mean=mean, std=std)
    spec = spec_of(contract, dtype, 0.05)
    rows = rng.normal(0, 3, shape)
    preprocessor = Preprocessor(contract, spec)
    out = np.zeros(spec.shape, dtype)
    preprocessor.into(rows, out)
    real = preprocessor.real(rows)
    assert np.array_equal(out[0], quantize(real, spec))
    expected = (rows - mean) / std
    expected = expected.T if layout == "NCT" else expected
    np.testing.assert_allclose(real, expected.reshape(real.shape), atol=1e-4)


def test_a_tensor_passes_as_it_is() -> None:
    contract = TensorInput(shape=(1, 4, 3))
    spec = TensorSpec(name="x", shape=(1, 4, 3), dtype="int8", scale=0.5, zero_point=-1)
    out = np.zeros((1, 4, 3), np.int8)
    Preprocessor(contract, spec).into(np.full((4, 3), 2.0), out)
    assert (out == 3).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_number_that_is_none_is_refused(bad: float) -> None:
    contract = SeriesInput(window=2, stride=1, columns=("a",))
    with pytest.raises(BadDataError, match="NaN"):
        Preprocessor(contract, spec_of(contract, "int8")).into(np.array([[1.0], [bad]]), np.zeros((1, 2, 1), np.int8))


@pytest.mark.parametrize(
    "data",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_no_picture_is_refused(data: np.ndarray) -> None:
    contract = ImageInput(width=4, height=4, colour="RGB", layout="NHWC")
    with pytest.raises(BadDataError, match="not a picture"):
        Preprocessor(contract, spec_of(contract, "float32")).real(data)


@pytest.mark.parametrize(
    "contract",
    [
        ImageInput(width=5, height=4, colour="RGB", layout="NHWC"),
        ImageInput(width=4, height=4, colour="GRAY", layout="NHWC"),
        ImageInput(width=4, height=4, colour="RGB", layout="NHWC", mean=(1.0, 2.0)),
        ImageInput(width=4, height=4, colour="RGB", layout="NHWC", std=(0.0,)),
        SeriesInput(window=4, stride=1, columns=("a",)),
        TensorInput(shape=(3, 4, 4)),
    ],
)
def test_a_contract_that_does_not_fit_the_model_is_refused(contract: InputContract) -> None:
    with pytest.raises(BadInputContractError):
        Preprocessor(contract, TensorSpec(name="x", shape=(1, 4, 4, 3), dtype="float32"))


def test_quantizing_loses_at_most_half_a_step_and_saturates() -> None:
    spec = TensorSpec(name="x", shape=(1,), dtype="int8", scale=0.1, zero_point=10)
    x = np.linspace(-13.8, 11.7, 1001).astype(np.float32)
    assert np.abs(dequantize(quantize(x, spec), spec) - x).max() <= 0.05001
    assert quantize(np.array([1e9, -1e9], np.float32), spec).tolist() == [127, -128]


@pytest.mark.parametrize(("dtype", "zero_point"), [("uint8", 0), ("int8", -128), ("uint8", 7)])
def test_a_picture_in_the_models_own_form_is_what_it_would_be_after_reordering(dtype: str, zero_point: int) -> None:
    contract = ImageInput(width=9, height=5, colour="BGR", layout="NHWC", scale=1 / 255)
    spec = spec_of(contract, dtype, 1 / 255, zero_point)
    picture = np.random.default_rng(0).integers(0, 256, (5, 9, 3), dtype=np.uint8)
    preprocessor, out = Preprocessor(contract, spec), np.zeros(spec.shape, dtype)
    preprocessor.into(picture, out)
    assert np.array_equal(out[0], quantize(preprocessor.real(picture), spec))


@settings(max_examples=150, deadline=None)
@given(
    how=st.sampled_from(["stretch", "crop", "letterbox"]),
    channels=st.sampled_from([(), (1,), (3,)]),
    size=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    wanted=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    flipped=st.booleans(),
)
def test_a_picture_fitted_in_place_is_its_part_resized_by_opencv_with_grey_around_it(
    how: Resize, channels: tuple[int, ...], size: tuple[int, int], wanted: tuple[int, int], flipped: bool
) -> None:
    cv2 = pytest.importorskip("cv2")
    (h, w), (height, width) = size, wanted
    picture = np.random.default_rng(0).integers(0, 256, (h, w, *channels), dtype=np.uint8)
    picture = picture[:, ::-1] if flipped else picture
    taken, filled = placed(w, h, width, height, how)
    part = picture[taken.top : taken.top + taken.height, taken.left : taken.left + taken.width]
    expected = np.full((height, width, *channels), LETTERBOX_GREY, np.uint8)
    expected[filled.top : filled.top + filled.height, filled.left : filled.left + filled.width] = cv2.resize(
        np.ascontiguousarray(part), filled[2:], interpolation=cv2.INTER_LINEAR
    ).reshape(filled.height, filled.width, *channels)
    out = np.full_like(expected, 255)  # what an earlier frame left there
    fitter(picture.shape, width, height, how)(picture, out)
    assert np.array_equal(out, expected)
    assert np.array_equal(fit(picture, width, height, how), expected)
