"""auc: the chance that a sample of class 1 scores higher than one of class 0; ties count half."""

import numpy as np
from numpy.typing import NDArray

from compiler.metrics.metric import Outcome, Truth, Values, check_two_classes, positive_scores, rarer
from edge.manifest import MetricName


class Auc:
    """Area under the ROC curve."""

    name: MetricName = "auc"

    def compare(self, before: Values, after: Values, truth: Truth) -> Outcome:
        """Area of both."""
        reference, compiled = area(positive_scores(before), truth), area(positive_scores(after), truth)
        return Outcome(reference, compiled, reference - compiled)

    def hits(self, values: Values, truth: Truth) -> None:
        """It is no share of right samples."""

    def evidence(self, truth: Truth) -> int:
        """Every anomaly counts for as much as all normal samples together."""
        return rarer(truth)

    def check(self, values: Values, truth: Truth) -> None:
        """Both classes are needed."""
        check_two_classes(values, truth, self.name)


def area(scores: NDArray[np.float64], truth: Truth) -> float:
    """Mann-Whitney's statistic as a share; NaN if a class is missing.

    Source: J. Hanley and B. McNeil, "The meaning and use of the area under a ROC curve", Radiology 143, 1982.
    """
    positive = truth == 1
    ones = int(positive.sum())
    zeros = len(truth) - ones
    if not ones or not zeros:
        return float("nan")
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2  # of equal scores, their mean
    return float((ranks[place][positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))
