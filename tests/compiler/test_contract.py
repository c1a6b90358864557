"""The input contract: what shape and dtype leave open must be given."""

import tomllib
from pathlib import Path

import numpy as np
import pytest

from compiler.contract import resolve_contract
from compiler.contract.file import beside, read_labels
from compiler.dataset import Data, Kind
from compiler.load.source import SourceModel, guess_layout
from edge.errors import BadDataError, BadInputContractError, FileMissingError
from edge.manifest import ImageInput, InputContract, SeriesInput, TensorInput


def model(*shape: int) -> SourceModel:
    return SourceModel(
        kind="onnx",
        name="net",
        input_shape=shape,
        input_dtype="float32",
        outputs=2,
        sha256="0" * 64,
        payload=b"",
        reference=lambda x, _: ((x.ravel()[:2],), ()),
        layout=guess_layout(shape),
    )


def data(kind: Kind, *shape: int, columns: tuple[str, ...] = ()) -> Data:
    return Data(
        path=Path("data"),
        kind=kind,
        tags=("a", "b"),
        numbered=False,
        digests=(b"1", b"2"),
        where=("one", "two"),
        shape=shape,
        read=lambda _: np.zeros(shape, np.float32),
        columns=columns,
    )


def resolve(net: SourceModel, given: Data, toml: str, folder: Path) -> InputContract:
    file = folder / "contract.toml"
    file.write_text(toml)
    return resolve_contract(net, given, file, None).contract


PICTURES = data("pictures", 40, 60, 3)


def test_data_in_the_models_own_shape_asks_no_questions() -> None:
    resolved = resolve_contract(model(1, 49, 10, 1), data("arrays", 49, 10, 1), None, None)
    assert resolved.contract == TensorInput(shape=(1, 49, 10, 1))


def test_pictures_without_a_contract_list_what_is_open_as_a_file_to_paste(tmp_path: Path) -> None:
    net = model(1, 3, 32, 48)
    with pytest.raises(BadInputContractError) as caught:
        resolve_contract(net, PICTURES, None, None)
    assert "open: colour, resize, scale, mean, std" in caught.value.problem
    assert "\n" not in caught.value.problem
    assert "net.input.toml" in caught.value.remedy
    pasted = caught.value.remedy.split("\n\n", 1)[1]
    assert tomllib.loads(pasted)["colour"] == "RGB"
    contract = resolve(net, PICTURES, pasted, tmp_path)
    assert contract == ImageInput(
        width=48,
        height=32,
        colour="RGB",
        layout="NCHW",
        resize="stretch",
        scale=1 / 255,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )


def test_one_channel_is_grey_and_pictures_of_the_right_size_need_no_resize(tmp_path: Path) -> None:
    contract = resolve(model(1, 96, 96, 1), data("pictures", 96, 96, 3), "scale = 1.0", tmp_path)
    assert contract == ImageInput(width=96, height=96, colour="GRAY", layout="NHWC", scale=1.0)


def test_the_file_beside_the_model_is_found_and_may_hold_the_labels(tmp_path: Path) -> None:
    file = beside(str(tmp_path / "net.onnx"))
    file.write_text('labels = ["stop", "go"]\ncolour = "BGR"\nresize = "crop"\nmean = 127.5\nstd = 127.5\n')
    resolved = resolve_contract(model(1, 32, 32, 3), PICTURES, None, file)
    assert resolved.labels == ("stop", "go")
    assert isinstance(resolved.contract, ImageInput)
    assert resolved.contract.mean == (127.5,)
    assert "net.input.toml" in resolved.origin


def test_the_file_beside_a_function_is_named_after_the_python_file() -> None:
    assert beside("models/net.py:make") == Path("models/net.input.toml")
    assert beside("models/net.tflite") == Path("models/net.input.toml")


def test_a_series_takes_its_window_from_the_shape(tmp_path: Path) -> None:
    table = data("rows", 3, columns=("x", "y", "z"))
    contract = resolve(model(1, 20, 3), table, "stride = 5\nmean = [1, 2, 3]\nstd = 2", tmp_path)
    assert contract == SeriesInput(
        window=20, stride=5, columns=("x", "y", "z"), layout="NTC", mean=(1.0, 2.0, 3.0), std=(2.0,)
    )
    flat = resolve(model(1, 60), table, "stride = 5\nstd = 1", tmp_path)
    assert isinstance(flat, SeriesInput)
    assert (flat.layout, flat.window) == ("NF", 20)


def test_a_series_without_a_contract_lists_stride_and_normalization() -> None:
    with pytest.raises(BadInputContractError, match="open: stride, mean, std") as caught:
        resolve_contract(model(1, 20, 3), data("rows", 3, columns=("x", "y", "z")), None, None)
    assert 'columns = ["x","y","z"]' in caught.value.remedy


WRONG = {
    "misspelt": ('color = "RGB"', "unknown key 'color'", "did you mean 'colour'?"),
    "contradicts": ('width = 64\ncolour = "RGB"\nscale = 1.0\nresize = "crop"', "says width = 64", "correct 'width'"),
    "not toml": ("width: 64", "is not TOML", "width = 96"),
    "no such value": ('colour = "CMYK"\nscale = 1.0\nresize = "crop"', "CMYK|colour", "docs/compile.md"),
    "numbers": ('colour = "RGB"\nmean = [1, 2]\nresize = "crop"', "'mean' has 2 numbers", "or 3"),
    "std": ('colour = "RGB"\nstd = 0\nresize = "crop"', "not positive", "positive"),
    "kind": ('kind = "sound"', "unknown kind of input 'sound'", "image"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_contract_is_refused_in_one_line(tmp_path: Path, case: str) -> None:
    toml, problem, remedy = WRONG[case]
    with pytest.raises(BadInputContractError, match=problem) as caught:
        resolve(model(1, 32, 32, 3), PICTURES, toml, tmp_path)
    assert remedy in caught.value.remedy
    assert "\n" not in caught.value.problem


def test_data_that_cannot_fit_says_both_shapes() -> None:
    with pytest.raises(BadDataError, match="shape 49 x 10, but the model wants 49 x 10 x 1"):
        resolve_contract(model(1, 49, 10, 1), data("arrays", 49, 10), None, None)
    with pytest.raises(BadDataError, match="2 columns, but the model wants 3"):
        resolve_contract(model(1, 3), data("rows", 2, columns=("a", "b")), None, None)
    with pytest.raises(BadDataError, match="the data are pictures, but the model's input is 1 x 640"):
        resolve_contract(model(1, 640), PICTURES, None, None)


def test_named_files_must_exist_and_hold_something(tmp_path: Path) -> None:
    with pytest.raises(FileMissingError):
        resolve_contract(model(1, 3), data("rows", 3), tmp_path / "none.toml", None)
    with pytest.raises(FileMissingError):
        read_labels(tmp_path / "none.txt")
    (tmp_path / "empty.txt").write_text("\n\n")
    with pytest.raises(BadDataError, match="no class names"):
        read_labels(tmp_path / "empty.txt")
    (tmp_path / "two.txt").write_text("stop\n\n go \n")
    assert read_labels(tmp_path / "two.txt") == ("stop", "go")
