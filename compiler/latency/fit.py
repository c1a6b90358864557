"""Published times -> coefficients: non-negative least squares in relative error, and how far off it is.

Pure numpy. A coefficient is a price: ms for a million MACs of a class, for a million elements, for an operator. None
may be negative, or the fit would buy accuracy on its own networks with nonsense on others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, exp, sinh, sqrt

import numpy as np
from numpy.typing import NDArray

from compiler.latency.work import Work

Matrix = NDArray[np.float64]
COVERAGE = 0.8
"""Share of networks that an interval is made to contain."""
DEPTHWISE_PRICE = 4
"""What a depthwise MAC costs in int8, in pointwise MACs. Only one network published in int8 has any, so it cannot be
fitted; in float32 the fits give 2.6 (Raspberry Pi 4) and 4.5 (Raspberry Pi 3) with one thread."""
BOARD_SPREAD = 0.18
"""How far, in log, one network's price may be off on a board with the same core when all are right on average: its
memory, its system, and on our runtimes another engine. The least that holds 80 % on each of four such boards, by
tests/bench/latency_fit.py; XNNPACK's pairs of networks on the Raspberry Pi 3 and 4 stay within it, too."""
FLOAT_FEATURES = (
    "pointwise", "winograd", "spatial", "first", "loaded", "pointwise_elements", "other_elements", "operators",
)  # fmt: skip
"""`loaded`: depthwise, dense and recurrent MACs, which wait for memory. Only two published networks are dense enough to
tell their price, and alone it comes out as nothing on two boards; what is left out here would be free."""
INT8_FEATURES = ("channelwise", "neighbours", "operators")
"""Six networks are published in int8; nine prices could not be told apart."""


def features(work: Work) -> Matrix:
    """Return [features] in millions of MACs, millions of elements, and operators; which ones depends on the dtype."""
    million = 1e-6
    dense = work.dense + work.recurrent
    if work.dtype == "int8":
        channelwise = work.pointwise + dense + DEPTHWISE_PRICE * work.depthwise
        neighbours = work.winograd + work.spatial + work.first
        return np.array([channelwise * million, neighbours * million, work.operators])
    macs = (work.pointwise, work.winograd, work.spatial, work.first, work.depthwise + dense)
    moved = (work.pointwise_elements, work.other_elements)
    return np.array([*(count * million for count in macs + moved), work.operators])


def solve(a: Matrix, b: Matrix) -> Matrix:
    """Minimise |a x - b| over x >= 0.

    Source: C. Lawson and R. Hanson, "Solving Least Squares Problems", 1974, chapter 23 (active set).
    """
    x = np.zeros(a.shape[1])
    free = np.zeros(a.shape[1], bool)
    tolerance = 1e-10 * float(np.abs(a.T @ b).max() + 1)
    for _ in range(3 * a.shape[1]):
        gradient = a.T @ (b - a @ x)
        gradient[free] = -np.inf
        if gradient.max() <= tolerance:
            break
        free[int(gradient.argmax())] = True
        x = _step(a, b, x, free)
    return x


def _step(a: Matrix, b: Matrix, x: Matrix, free: NDArray[np.bool_]) -> Matrix:
    """Solve for the free unknowns; give up those that would turn negative, the first to reach zero first."""
    while free.any():
        wanted = np.zeros_like(x)
        wanted[free] = np.linalg.lstsq(a[:, free], b, rcond=None)[0]
        below = free & (wanted <= 0)
        if not below.any():
            return wanted
        share = float((x[below] / (x[below] - wanted[below] + 1e-300)).min())
        x = x + share * (wanted - x)
        free &= x > 1e-12
        x[~free] = 0
    return x


def fit(rows: Matrix, times_ms: Matrix) -> Matrix:
    """Return prices [features] that bring rows @ prices closest to `times_ms`, each relative to itself."""
    return solve(rows / times_ms[:, None], np.ones(len(times_ms)))


def left_out(rows: Matrix, times_ms: Matrix) -> Matrix:
    """Return log(time / prediction) of each network by a fit that never saw it."""
    logs = []
    for index in range(len(times_ms)):
        kept = np.arange(len(times_ms)) != index
        predicted = rows[index] @ fit(rows[kept], times_ms[kept])
        logs.append(np.log(times_ms[index] / max(float(predicted), 1e-9)))
    return np.array(logs)


def spread_of(logs: Matrix, coverage: float = COVERAGE) -> float:
    """Return how far, in log, the next network is from its prediction, with probability `coverage`.

    Source: conformal prediction by leave-one-out residuals ("jackknife", Barber and others, 2021); with few networks
    the rank runs over and the largest residual is taken.
    """
    rank = min(len(logs), ceil(coverage * (len(logs) + 1)))
    return float(np.sort(np.abs(logs))[rank - 1])


def calibrated_spread(spread: float, models: int) -> float:
    """Spread of a prediction that `models` measurements on the very board have scaled; `spread` is the price list's."""
    return combine(spread, BOARD_SPREAD) * sqrt(1 + 1 / models)


def half_width(spread: float) -> float:
    """Half of the interval [ms / e^spread, ms * e^spread], as a share of ms."""
    return sinh(spread)


@dataclass(frozen=True, slots=True)
class Check:
    """How the whole procedure does on networks that it never saw."""

    median_error: float
    """Of |prediction / time - 1|."""
    covered: float
    """Share of networks inside the interval that was printed for them."""
    half_width: float
    """Mean of the printed intervals, as a share of the prediction."""


def check(rows: Matrix, times_ms: Matrix) -> Check:
    """Leave each network out of everything: of the fit, and of the residuals that its interval is made of."""
    errors, inside, widths = [], [], []
    logs = left_out(rows, times_ms)
    for index, log in enumerate(logs):
        kept = np.arange(len(times_ms)) != index
        spread = spread_of(left_out(rows[kept], times_ms[kept]))
        errors.append(abs(exp(-log) - 1))
        inside.append(abs(log) <= spread)
        widths.append(half_width(spread))
    return Check(float(np.median(errors)), float(np.mean(inside)), float(np.mean(widths)))


def combine(*spreads: float) -> float:
    """Add independent spreads."""
    return float(np.sqrt(sum(spread**2 for spread in spreads)))


def matrix(works: Sequence[Work]) -> Matrix:
    """Return [networks, features]; all works have one dtype."""
    return np.stack([features(work) for work in works])
