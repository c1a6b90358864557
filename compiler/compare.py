"""Float against compiled on the same samples: the drop, its bounds, and figures beside it."""

import hashlib
from dataclasses import dataclass
from math import isfinite

import numpy as np

from compiler.metrics import Truth, Values, alarm_rates, correlation, sqnr_db
from compiler.paired import ALPHA, lower_bound, upper_bound
from compiler.yardstick import Run, Yardstick
from edge.errors import BadDataError
from edge.manifest import Quality

RESAMPLES = 2_000


@dataclass(frozen=True, slots=True)
class Figure:
    """One more number about a candidate; `value` None: infinite, or not to be had from these samples."""

    name: str
    value: float | None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The quality, and what its bound rests on."""

    quality: Quality
    lost: int | None
    """Samples that only the float model gets right; None where the metric is no share of right samples."""
    gained: int | None
    evidence: int
    figures: tuple[Figure, ...]


def compare(before: Run, after: Run, truth: Truth, yardstick: Yardstick, *, judged: int = 1) -> Comparison:
    """Judge both models on samples of known `truth`.

    The bounds are exact where the metric is a share of right samples (`compiler.paired`), else a paired bootstrap.
    Where every sample is a sequence with `judged` outputs, sequences are drawn, for steps that follow each other are
    wrong together, and they are what is counted as samples.
    Raises: BadDataError if these samples say nothing (one class only).
    """
    metric = yardstick.metric
    outcome = metric.compare(before.values, after.values, truth)
    if not isfinite(outcome.drop):
        raise BadDataError(
            f"the {metric.name} of {len(truth)} samples cannot be told: one class is missing",
            remedy="add samples of the rarer class",
        )
    hits = metric.hits(before.values, truth), metric.hits(after.values, truth)
    lost = gained = None
    if hits[0] is not None and hits[1] is not None and judged == 1:
        lost, gained = int((hits[0] & ~hits[1]).sum()), int((~hits[0] & hits[1]).sum())
        low, high = lower_bound(lost, gained, len(truth), ALPHA / 2), upper_bound(lost, gained, len(truth), ALPHA / 2)
        upper = upper_bound(lost, gained, len(truth))
    else:
        low, high, upper = bootstrap(before.values, after.values, truth, yardstick, judged)
    quality = Quality(
        metric=metric.name,
        reference=outcome.reference,
        compiled=outcome.compiled,
        drop=outcome.drop,
        ci95=(low, high),
        agreement=yardstick.agreement(before.values, after.values),
        samples=len(truth) // judged,
        upper95=upper,
    )
    evidence = _evidence(truth, yardstick, judged)
    return Comparison(quality, lost, gained, evidence, _figures(before, after, truth, yardstick))


def _evidence(truth: Truth, yardstick: Yardstick, judged: int) -> int:
    """How many samples speak for the rarer side; never more than there are sequences."""
    return min(yardstick.metric.evidence(truth), len(truth) // judged)


def bootstrap(
    before: Values, after: Values, truth: Truth, yardstick: Yardstick, judged: int = 1
) -> tuple[float, float, float]:
    """Two-sided 95 % interval and one-sided upper bound of the drop; the same input gives the same numbers.

    Samples are drawn as pairs, the `judged` rows of a sequence together. What never happened in n samples may still
    happen in 3 / n (rule of three), which no resampling can see: the upper bound is never below that, with n the
    samples of the rarer class.
    Source: B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993, percentile method; J. Hanley and
    A. Lippman-Hand, "If nothing goes wrong, is everything all right?", JAMA 249, 1983.
    """
    content = b"".join(np.ascontiguousarray(side).tobytes() for side in (before, after, truth))
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(content).digest()[:8]))
    drops = np.empty(RESAMPLES)
    places = np.arange(len(truth)).reshape(-1, judged)
    for index in range(RESAMPLES):
        drawn = places[rng.integers(0, len(places), len(places))].reshape(-1)
        drops[index] = yardstick.metric.compare(before[drawn], after[drawn], truth[drawn]).drop
    drops = drops[np.isfinite(drops)]  # a draw may hold one class only
    if not len(drops):
        raise BadDataError("too few samples of the rarer class for any bound", remedy="add samples of that class")
    least = rule_of_three(_evidence(truth, yardstick, judged))
    low, high, upper = np.percentile(drops, [100 * ALPHA / 2, 100 * (1 - ALPHA / 2), 100 * (1 - ALPHA)])
    upper = max(float(upper), least)
    return float(low), max(float(high), upper), upper


def rule_of_three(samples: int) -> float:
    """Upper bound of a share that was never seen: (1 - share) ** samples = ALPHA, about 3 / samples."""
    return float(1 - ALPHA ** (1 / samples))


def _figures(before: Run, after: Run, truth: Truth, yardstick: Yardstick) -> tuple[Figure, ...]:
    figures = [
        _figure("SQNR of the outputs", sqnr_db(before.outputs, after.outputs), "dB"),
        _figure("correlation with float", correlation(before.values, after.values)),
    ]
    binary = yardstick.task == "anomaly" or (yardstick.task == "classify" and after.values.shape[1] == 2)
    if binary:
        far, mar = alarm_rates(yardstick.decide(after.values), truth)
        figures += [_figure("false alarms", far), _figure("missed alarms", mar)]
    return tuple(figures)


def _figure(name: str, value: float, unit: str = "") -> Figure:
    return Figure(name, float(value) if isfinite(value) else None, unit)
