"""correlation: how closely the compiled model's values follow the float model's; needs no labels."""

import numpy as np

from compiler.metrics.metric import Outcome, Truth, Values
from edge.manifest import MetricName


class Correlation:
    """Pearson's correlation with the float model, which has 1 by definition."""

    name: MetricName = "correlation"

    def compare(self, before: Values, after: Values, truth: Truth) -> Outcome:
        """Only the compiled model can lose."""
        found = correlation(before, after)
        return Outcome(1.0, found, 1.0 - found)

    def hits(self, values: Values, truth: Truth) -> None:
        """It is no share of right samples."""

    def evidence(self, truth: Truth) -> int:
        """All samples."""
        return len(truth)

    def check(self, values: Values, truth: Truth) -> None:
        """Any values can be followed."""


def correlation(before: Values, after: Values) -> float:
    """Pearson's coefficient of all values; values that do not vary follow only themselves."""
    x, y = (side.astype(np.float64).ravel() - side.mean(dtype=np.float64) for side in (before, after))
    size = float(np.sqrt((x @ x) * (y @ y)))
    if size == 0:
        return 1.0 if np.array_equal(before, after) else 0.0
    return min(1.0, float(x @ y) / size)
