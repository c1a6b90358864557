"""What a plan costs: predicted time; of a mixed file between int8's and float32's, by its share of float."""

from pathlib import Path

import numpy as np
import pytest

from compiler.builder import Builder
from compiler.candidate import Candidate
from compiler.load import load_model
from compiler.plan import Plan
from compiler.tuning.cost import Yard, share_in_float
from edge.manifest import Latency
from edge.target import load_target

TARGET = load_target("raspberrypi4")
LARGE, SMALL = 8 * 8 * 8 * 27, 8 * 8 * 3 * 8
"""Multiplications of the two convolutions of `tuned_model`."""


@pytest.fixture(scope="module")
def files(tuned_model: Path, tuned_data: Path) -> dict[str, Candidate]:
    """Float, int8, and each of the two convolutions alone in float."""
    with np.load(tuned_data) as data:
        samples = data["x"][:20, None]
    builder = Builder(load_model(str(tuned_model)), lambda: iter(samples))
    layers = [layer.name for layer in builder.bench("litert").reference.network.layers if layer.op == "CONV_2D"]
    plans = {"float": Plan("litert"), "int8": Plan("litert", "int8")}
    plans |= {
        name: Plan("litert", "mixed", keep_float=(layer,))
        for name, layer in zip(("large", "small"), layers, strict=True)
    }
    return {name: builder.build(plan) for name, plan in plans.items()}


def test_the_share_in_float_is_that_of_the_multiplications(files: dict[str, Candidate]) -> None:
    shares = {name: share_in_float(file, TARGET) for name, file in files.items()}
    assert (shares["float"], shares["int8"]) == (1.0, 0.0)
    assert shares["large"] == pytest.approx(LARGE / (LARGE + SMALL), abs=0.02)
    assert shares["small"] == pytest.approx(SMALL / (LARGE + SMALL), abs=0.02)


def test_a_mixed_file_costs_more_the_more_of_it_is_float(files: dict[str, Candidate]) -> None:
    yard = Yard(float_ms=3.0, int8_ms=1.0)
    assert yard.unit == "ms"
    for name in ("large", "small"):
        assert yard.cost(files[name], None, TARGET) == pytest.approx(1.0 + 2.0 * share_in_float(files[name], TARGET))


def test_what_is_predicted_costs_that_and_where_nobody_predicts_the_size_counts(files: dict[str, Candidate]) -> None:
    predicted = Latency(core="a", runtime="litert", kind="predicted", ms=1.5, low=1.0, high=2.0, source="a table")
    assert Yard(3.0, 1.0).cost(files["int8"], predicted, TARGET) == 1.5
    unknown = Yard(None, 1.0)
    assert unknown.unit == "KiB"
    assert unknown.cost(files["int8"], None, TARGET) == len(files["int8"].data) / 1024
