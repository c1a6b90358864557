"""f1: harmonic mean of precision and recall of class 1, at one threshold for both models; FAR and MAR beside it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compiler.metrics.metric import Outcome, Truth, Values, check_two_classes, positive_scores, rarer
from edge.manifest import MetricName


@dataclass(frozen=True, slots=True)
class F1:
    """F1 of class 1; a sample is of class 1 if its score lies above `threshold`."""

    threshold: float = 0.0

    @property
    def name(self) -> MetricName:
        """As the manifest says it."""
        return "f1"

    def compare(self, before: Values, after: Values, truth: Truth) -> Outcome:
        """F1 of both."""
        reference, compiled = self._f1(before, truth), self._f1(after, truth)
        return Outcome(reference, compiled, reference - compiled)

    def hits(self, values: Values, truth: Truth) -> None:
        """It is no share of right samples."""

    def evidence(self, truth: Truth) -> int:
        """Recall rests on the samples of class 1, precision on the alarms among the others."""
        return rarer(truth)

    def check(self, values: Values, truth: Truth) -> None:
        """Both classes are needed."""
        check_two_classes(values, truth, self.name)

    def _f1(self, values: Values, truth: Truth) -> float:
        alarm, real = positive_scores(values) > self.threshold, truth == 1
        if not real.any():
            return float("nan")
        return float(2 * (alarm & real).sum() / (alarm.sum() + real.sum()))


def alarm_rates(decisions: NDArray[np.int64], truth: Truth) -> tuple[float, float]:
    """False-alarm rate (of class 0) and missed-alarm rate (of class 1); NaN where a class is missing.

    Source: the two rates that the SKAB benchmark ranks detectors by.
    """
    normal, anomaly = truth == 0, truth == 1
    far = float((decisions[normal] == 1).mean()) if normal.any() else float("nan")
    mar = float((decisions[anomaly] == 0).mean()) if anomaly.any() else float("nan")
    return far, mar
