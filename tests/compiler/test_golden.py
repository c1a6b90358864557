"""Golden samples of pictures as large as detectors and classifiers take them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from compiler.golden import LEAST, real_pool, synthetic_inputs
from compiler.inputs import InputStatistics
from compiler.packing import Order
from compiler.pipeline import Request, compile_model
from compiler.result import Compiled
from edge import console
from edge.bundle import LIMITS, open_bundle
from edge.errors import BadModelError
from edge.runtimes import check_golden, open_session


@pytest.fixture
def compile_side(tmp_path: Path, colour_model: Path, colour_pictures: Path) -> Callable[[int], Compiled]:
    """Compile the colour network for pictures of side x side; it has no weights that depend on the size."""
    import onnx

    def compile_it(side: int) -> Compiled:
        model = onnx.load(colour_model)
        for at in (2, 3):
            model.graph.input[0].type.tensor_type.shape.dim[at].dim_value = side
        path = tmp_path / "colour.onnx"
        onnx.save(model, path)
        path.with_suffix(".input.toml").write_text(colour_model.with_suffix(".input.toml").read_text())
        order = Order(target="raspberrypi4", name="colour", output=tmp_path / "colour-1.edge")
        request = Request(model=str(path), data=colour_pictures, order=order)
        return compile_model(request, stage=console.progress, warn=lambda _: None)

    return compile_it


@pytest.mark.parametrize(("side", "samples"), [(224, 6), (320, 3), (640, 2)])
def test_a_large_picture_compiles_packs_and_opens_with_as_many_golden_samples_as_fit(
    compile_side: Callable[[int], Compiled], side: int, samples: int
) -> None:
    bundle = open_bundle(compile_side(side).bundle)
    assert bundle.golden.input.shape == (samples, 3, side, side)
    assert bundle.golden.input.nbytes + bundle.golden.outputs.nbytes <= LIMITS.golden_bytes
    for variant in bundle.manifest.variants:
        session = open_session(bundle, variant=variant)
        assert check_golden(bundle, session, invocations=1).samples == samples
        session.close()


def test_a_picture_of_which_two_do_not_fit_is_refused_with_the_largest_that_does(
    compile_side: Callable[[int], Compiled],
) -> None:
    with pytest.raises(BadModelError, match="at most 32 MiB") as caught:
        compile_side(1190)
    assert "1180 x 1180" in caught.value.remedy


def statistics(*shape: int) -> InputStatistics:
    return InputStatistics(np.zeros(shape, np.float32), np.ones(shape, np.float32), -1.0, 1.0, 100)


def test_the_pool_of_large_inputs_is_smaller_and_the_same_on_every_run() -> None:
    assert len(synthetic_inputs(statistics(3, 8, 8), 0, images=True)) == 256
    pool = synthetic_inputs(statistics(3, 416, 416), 0, images=True)
    assert LEAST <= len(pool) < 256
    assert pool.nbytes <= 64 * 2**20
    assert pool.dtype == np.float32
    assert np.array_equal(pool, synthetic_inputs(statistics(3, 416, 416), 0, images=True))


def test_a_pool_of_real_inputs_stops_where_it_is_full() -> None:
    given = (np.full((1, 3, 416, 416), index, np.float32) for index in range(1000))
    pool = real_pool(given)
    assert pool.nbytes <= 64 * 2**20
    assert next(given)[0, 0, 0, 0] == len(pool)
