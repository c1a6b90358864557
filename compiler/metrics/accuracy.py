"""accuracy: the share of samples whose highest score is that of their class."""

import numpy as np
from numpy.typing import NDArray

from compiler.metrics.metric import Outcome, Truth, Values
from edge.manifest import MetricName


class Accuracy:
    """Top-1 accuracy."""

    name: MetricName = "accuracy"

    def compare(self, before: Values, after: Values, truth: Truth) -> Outcome:
        """Share of right decisions."""
        reference, compiled = float(self.hits(before, truth).mean()), float(self.hits(after, truth).mean())
        return Outcome(reference, compiled, reference - compiled)

    def hits(self, values: Values, truth: Truth) -> NDArray[np.bool_]:
        """Right decisions."""
        right: NDArray[np.bool_] = values.argmax(axis=1) == truth
        return right

    def evidence(self, truth: Truth) -> int:
        """All samples."""
        return len(truth)

    def check(self, values: Values, truth: Truth) -> None:
        """Any classifier has one."""
