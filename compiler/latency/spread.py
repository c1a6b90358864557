"""How far a prediction can be off: the interval, and the proof that networks which no fit has seen lie in it.

A spread is half of an interval in log: [ms / e^spread, ms * e^spread].
"""

from dataclasses import dataclass
from math import ceil, exp, sinh, sqrt
from statistics import NormalDist

import numpy as np

from compiler.latency.fit import FEW, Matrix, left_out

COVERAGE = 0.8
"""Share of networks that an interval is promised to contain."""
AIMED = 0.85
"""Share that it is made for where there are enough networks to tell: what the features are was decided on the same
tables, so the promise is kept with something to spare."""
BOARD_SPREAD = 0.15
"""How far, in log, one network's price may be off on a board with the same core when all are right on average: its
memory, its system, and on our runtimes another engine. The least that holds 80 % on each of four such boards, by
tests/bench/latency_fit.py."""


def spread_of(logs: Matrix) -> float:
    """Return how far, in log, the next network is from its prediction, by the errors of networks left out.

    Source: conformal prediction by leave-one-out residuals ("jackknife", Barber and others, 2021). With few networks,
    Student's prediction interval.
    """
    if len(logs) < FEW:
        return student(COVERAGE, len(logs) - 1) * sqrt(float((logs**2).mean()))
    rank = min(len(logs), ceil(AIMED * (len(logs) + 1)))
    return float(np.sort(np.abs(logs))[rank - 1])


def spreads_of(errors: Matrix) -> Matrix:
    """Return [boards] spreads; `errors`: [boards, networks] in log, NaN where nothing is published."""
    return np.array([spread_of(row[~np.isnan(row)]) for row in errors])


def student(coverage: float, freedom: int) -> float:
    """Return t such that `coverage` of Student's distribution lies within -t and t.

    Source: M. Abramowitz and I. Stegun, "Handbook of Mathematical Functions", 26.7.5; within 0.001 from 4 degrees on.
    """
    z = NormalDist().inv_cdf((1 + coverage) / 2)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def calibrated_spread(spread: float, models: int) -> float:
    """Spread of a prediction that `models` measurements on the very board have scaled; `spread` is the price list's."""
    return combine(spread, BOARD_SPREAD) * sqrt(1 + 1 / models)


def half_width(spread: float) -> float:
    """Half of the interval [ms / e^spread, ms * e^spread], as a share of ms."""
    return sinh(spread)


def combine(*spreads: float) -> float:
    """Add independent spreads."""
    return float(np.sqrt(sum(spread**2 for spread in spreads)))


@dataclass(frozen=True, slots=True)
class Check:
    """How the whole procedure does on networks that it never saw, for one board."""

    median_error: float
    """Of |prediction / time - 1|."""
    covered: float
    """Share of networks inside the interval that was printed for them."""
    half_width: float
    """Mean of the printed intervals, as a share of the prediction."""


def check(rows: Matrix, logs: Matrix, prior: Matrix) -> list[Check]:
    """Leave each network out of everything, on every board: of the fits, and of the errors that make intervals."""
    errors = left_out(rows, logs, prior)
    spreads = np.zeros(logs.shape)
    for index in range(len(rows)):
        kept = np.arange(len(rows)) != index
        spreads[:, index] = spreads_of(left_out(rows[kept], logs[:, kept], prior))
    return [checked(*board) for board in zip(errors, spreads, strict=True)]


def check_borrowed(errors: Matrix) -> Check:
    """All boards of a family as if each had borrowed: [boards, networks] errors in log, as of `borrowed_errors`."""
    spreads = np.array([pooled(np.delete(errors, network, axis=1)) for network in range(errors.shape[1])])
    return checked(errors.ravel(), np.broadcast_to(spreads, errors.shape).ravel())


def pooled(errors: Matrix) -> float:
    """One spread for all boards and networks."""
    return spread_of(errors[~np.isnan(errors)])


def checked(errors: Matrix, spreads: Matrix) -> Check:
    """Errors in log, NaN where nothing is published, and the spreads that were printed."""
    known = ~np.isnan(errors)
    errors, spreads = errors[known], spreads[known]
    return Check(
        median_error=float(np.median([abs(exp(-error) - 1) for error in errors])),
        covered=float((np.abs(errors) <= spreads).mean()),
        half_width=float(np.sinh(spreads).mean()),
    )
