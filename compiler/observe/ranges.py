"""Observation -> (low, high): the real values that the codes of an activation span. Zero is always among them."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from compiler.observe import Observation, Observations
from compiler.plan import PERCENTILE, Ranges

Range = tuple[float, float]
STEPS = 255
"""Steps of an 8-bit code."""
GRID = 64
"""Positions of each end that the search tries, down to 1/GRID of the seen range."""


def ranges_of(seen: Observations, method: Ranges, percent: float = PERCENTILE) -> Mapping[str, Range]:
    """Estimate the range of every tensor for codes of 8 bits; only `percentile` reads `percent`."""
    estimate = partial(percentile, percent=percent) if method == "percentile" else _METHODS[method]
    return {name: _with_zero(*estimate(one)) for name, one in seen.items()}


def minmax(seen: Observation) -> Range:
    """Nothing is clipped."""
    return seen.low, seen.high


def moving_average(seen: Observation) -> Range:
    """Averages of each sample's ends: clips what only few samples reach."""
    return seen.average_low, seen.average_high


def percentile(seen: Observation, percent: float = PERCENTILE) -> Range:
    """Clip the outermost share of values at each end, by the histogram's bins; never beyond what was seen."""
    counts = seen.histogram.counts
    if not seen.histogram.total:
        return minmax(seen)
    share = np.cumsum(counts) / counts.sum()
    tail = 1 - percent / 100
    edges = np.linspace(-seen.histogram.reach, seen.histogram.reach, len(counts) + 1)
    low = edges[np.searchsorted(share, tail, side="right")]
    high = edges[np.searchsorted(share, 1 - tail, side="left") + 1]
    return max(seen.low, float(low)), min(seen.high, float(high))


def least_squares(seen: Observation, steps: int = STEPS) -> Range:
    """Return the ends with the least expected squared error of rounding and clipping together.

    Inside, a value is off by step^2 / 12 on average; outside, by its distance to the end.
    Source: Banner et al. 2019, "Post training 4-bit quantization", with a histogram in place of their distributions.
    """
    histogram = seen.histogram
    if not histogram.total:
        return minmax(seen)
    low, high = min(seen.low, 0.0), max(seen.high, 0.0)
    shares = np.arange(1, GRID + 1) / GRID
    lows = low * shares if low < 0 else np.zeros(1)
    highs = high * shares if high > 0 else np.zeros(1)
    above = _clipped(histogram.centres, histogram.counts, highs)
    below = _clipped(-histogram.centres[::-1], histogram.counts[::-1], -lows)
    step = (highs[None, :] - lows[:, None]) / steps
    error = histogram.total * step**2 / 12 + above[None, :] + below[:, None]
    at_low, at_high = np.unravel_index(int(error.argmin()), error.shape)
    return float(lows[at_low]), float(highs[at_high])


def _clipped(centres: NDArray[np.float64], counts: NDArray[np.int64], ends: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of (x - end)^2 over the values x above each end."""
    zeroth, first, second = (
        np.concatenate([np.cumsum((counts * centres**power)[::-1])[::-1], [0.0]]) for power in (0, 1, 2)
    )
    at = np.searchsorted(centres, ends, side="right")
    error: NDArray[np.float64] = np.maximum(second[at] - 2 * ends * first[at] + ends**2 * zeroth[at], 0.0)
    return error


def _with_zero(low: float, high: float) -> Range:
    return min(low, 0.0), max(high, 0.0)


_METHODS: dict[Ranges, Callable[[Observation], Range]] = {
    "minmax": minmax,
    "percentile": percentile,
    "moving-average": moving_average,
    "mse": least_squares,
}
