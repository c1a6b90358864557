"""From ncnn's prices to our runtimes: a board's own figures first, and few figures are never trusted alone."""

from math import exp, log
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from compiler.latency.bridge import Anchor, centre_of, settle
from compiler.latency.prices import Prices, load_coefficients

PRICES: Prices = replace(load_coefficients().prices[0], target="board", dtype="float32")
ALONE = 0.4


def anchors(target: str, *ratios: float, dtype: str = "float32") -> list[Anchor]:
    return [Anchor(target, dtype, log(ratio)) for ratio in ratios]


@pytest.mark.parametrize(
    ("published", "factor", "spread", "count"),
    [
        ([], 1.0, ALONE, 0),
        (anchors("other", 1.7), 1.7, ALONE, 1),
        (anchors("board", 2.0, 2.0), 2.0, ALONE, 2),
        (anchors("board", 1.0, 1.0, 2.0), 1.0, log(2), 3),
        (anchors("board", 2.0, 2.0) + anchors("other", 9.0), 2.0, ALONE, 2),
        (anchors("board", 5.0, 5.0, dtype="float16"), 1.0, ALONE, 0),
    ],
    ids=["none", "one", "two agree", "three", "its own first", "of another arithmetic"],
)
def test_a_factor_is_settled_by_what_is_published(
    published: list[Anchor], factor: float, spread: float, count: int
) -> None:
    found = settle(published, PRICES, ALONE)
    assert found == (pytest.approx(factor), pytest.approx(spread), count)


def test_the_centre_is_the_median_and_the_spread_the_farthest_figure() -> None:
    centre, spread = centre_of(np.log([1.0, 2.0, 4.0]))
    assert exp(centre) == pytest.approx(2)
    assert spread == pytest.approx(log(4 / 2**0.5))


def test_every_bridge_has_prices_and_an_interval_that_admits_how_little_is_published() -> None:
    coefficients: Any = load_coefficients()
    for bridge in coefficients.bridge:
        assert coefficients.prices_for(bridge).dtype == bridge.basis != "int8"
        assert bridge.spread > 0.2
        assert ("analogy with ncnn" in bridge.source) == (bridge.runtime == "onnxruntime")
