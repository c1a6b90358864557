"""Float against compiled on the same samples: the drop, its bounds, and figures beside it."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from compiler.detection.pairs import agreement
from compiler.metrics import Truth, Values, alarm_rates, correlation, sqnr_db
from compiler.metrics.mean_average_precision import MeanAveragePrecision
from compiler.paired import ALPHA, lower_bound, upper_bound
from compiler.yardstick import Run, Yardstick
from edge.errors import BadDataError
from edge.manifest import Quality

RESAMPLES = 2_000
SLACK = 0.1
"""Of a box's score: what trembles at the floor by less than this is no other decision."""


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
        missing, remedy = (
            ("no true box is in them", "annotate more pictures")
            if yardstick.task == "detect"
            else ("one class is missing", "add samples of the rarer class")
        )
        raise BadDataError(f"the {metric.name} of {len(truth)} samples cannot be told: {missing}", remedy=remedy)
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
    judge = _redrawn(before, after, truth, yardstick)
    drops = np.empty(RESAMPLES)
    places = np.arange(len(truth)).reshape(-1, judged)
    for index in range(RESAMPLES):
        drops[index] = judge(places[rng.integers(0, len(places), len(places))].reshape(-1))
    drops = drops[np.isfinite(drops)]  # a draw may hold one class only
    if not len(drops):
        raise BadDataError("too few samples of the rarer class for any bound", remedy="add samples of that class")
    least = rule_of_three(_evidence(truth, yardstick, judged))
    low, high, upper = np.percentile(drops, [100 * ALPHA / 2, 100 * (1 - ALPHA / 2), 100 * (1 - ALPHA)])
    upper = max(float(upper), least)
    return float(low), max(float(high), upper), upper


def _redrawn(before: Values, after: Values, truth: Truth, yardstick: Yardstick) -> Callable[[NDArray[np.int64]], float]:
    """Return what drop a draw of samples shows; a metric that can prepares for it once."""
    metric = yardstick.metric
    if isinstance(metric, MeanAveragePrecision):
        judge = metric.redraw(before, after, truth)
        return lambda drawn: judge(np.bincount(drawn, minlength=len(truth))).drop
    return lambda drawn: metric.compare(before[drawn], after[drawn], truth[drawn]).drop


def rule_of_three(samples: int) -> float:
    """Upper bound of a share that was never seen: (1 - share) ** samples = ALPHA, about 3 / samples."""
    return float(1 - ALPHA ** (1 / samples))


def _figures(before: Run, after: Run, truth: Truth, yardstick: Yardstick) -> tuple[Figure, ...]:
    if yardstick.task == "detect":
        return _of_boxes(before, after, yardstick)
    figures = [
        _figure("SQNR of the outputs", sqnr_db(before.outputs, after.outputs), "dB"),
        _figure("correlation with float", correlation(before.values, after.values)),
    ]
    binary = yardstick.task == "anomaly" or (yardstick.task == "classify" and after.values.shape[1] == 2)
    if binary:
        far, mar = alarm_rates(yardstick.decide(after.values), truth)
        figures += [_figure("false alarms", far), _figure("missed alarms", mar)]
    return tuple(figures)


def _of_boxes(before: Run, after: Run, yardstick: Yardstick) -> tuple[Figure, ...]:
    """Of the outputs as a whole the boxes drown the scores, so each part is told for itself, too."""
    parts = {
        name: sqnr_db(before.outputs[:, places], after.outputs[:, places]) for name, places in yardstick.parts.items()
    }
    return (
        _figure("SQNR of the weakest output", min(parts.values()), "dB"),
        *(_figure(f"SQNR of {name}", value, "dB") for name, value in parts.items()),
        _figure(
            f"same boxes, give or take {SLACK:g} of score",
            agreement(before.values, after.values, yardstick.threshold, SLACK),
        ),
    )


def _figure(name: str, value: float, unit: str = "") -> Figure:
    return Figure(name, float(value) if isfinite(value) else None, unit)
