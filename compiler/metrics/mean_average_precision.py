"""map: a detector's mean average precision, COCO's: over IoU .50 to .95, over labels, at 101 recalls. map50: at .50."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compiler.detection.matching import Counts, match
from compiler.detection.ranking import Ranking, mean_precision
from compiler.metrics.metric import Outcome, Truth, Values
from edge.errors import BadDataError
from edge.manifest import MetricName

COCO = tuple(float(threshold) for threshold in np.linspace(0.5, 0.95, 10))
"""Intersections over union, .50 to .95 by steps of .05."""


@dataclass(frozen=True, slots=True)
class MeanAveragePrecision:
    """Values are found boxes, truth is true ones, as `compiler.detection.packed` packs them."""

    name: MetricName = "map"
    thresholds: tuple[float, ...] = COCO

    def compare(self, before: Values, after: Values, truth: Truth) -> Outcome:
        """Precision of both; NaN where no picture has a true box."""
        return self.redraw(before, after, truth)(np.ones(len(truth), np.int64))

    def redraw(self, before: Values, after: Values, truth: Truth) -> Callable[[Counts], Outcome]:
        """Match once, and return how both models do with each sample counted so often."""
        rankings = [Ranking(match(values, truth, self.thresholds)) for values in (before, after)]

        def judge(weights: Counts) -> Outcome:
            reference, compiled = (mean_precision(ranking.precisions(weights)) for ranking in rankings)
            return Outcome(reference, compiled, reference - compiled)

        return judge

    def by_label(self, values: Values, truth: Truth) -> dict[int, float]:
        """Precision of each label that the truth has."""
        matches = match(values, truth, self.thresholds)
        precisions = Ranking(matches).precisions(np.ones(len(truth), np.int64)).mean(axis=1)
        labels = zip(matches.labels, precisions, strict=True)
        return {int(label): float(precision) for label, precision in labels if np.isfinite(precision)}

    def hits(self, values: Values, truth: Truth) -> NDArray[np.bool_] | None:
        """It is no share of right samples."""
        return None

    def evidence(self, truth: Truth) -> int:
        """Pictures, for boxes of one picture stand or fall together."""
        return len(truth)

    def check(self, values: Values, truth: Truth) -> None:
        """There must be something to find."""
        if truth.ndim != 3 or not (truth[..., 0] >= 0).any():
            raise BadDataError(
                "there is not one true box in the pictures that choose",
                remedy="annotate more pictures; without annotations, give some in which the float model sees anything",
            )
