"""mae: mean absolute error of a regression, in the unit of the truth."""

import numpy as np
from numpy.typing import NDArray

from compiler.metrics.metric import Outcome, Truth, Values
from edge.errors import BadDataError
from edge.manifest import MetricName


class Mae:
    """Mean absolute error. The drop is the error added, as a share of the error of always saying the median.

    So 0 is a perfect model and 1 one that knows nothing, and a drop of 1 % means the same for metres and millivolts.
    """

    name: MetricName = "mae"

    def compare(self, before: Values, after: Values, truth: Truth) -> Outcome:
        """Error of both."""
        reference, compiled = float(np.abs(before - truth).mean()), float(np.abs(after - truth).mean())
        guess = _of_the_median(truth)
        return Outcome(reference, compiled, (compiled - reference) / guess if guess > 0 else float("nan"))

    def hits(self, values: Values, truth: Truth) -> NDArray[np.bool_] | None:
        """It is no share of right samples."""
        return None

    def evidence(self, truth: Truth) -> int:
        """All samples."""
        return len(truth)

    def check(self, values: Values, truth: Truth) -> None:
        """The truth must vary, or there is nothing to predict."""
        if not _of_the_median(truth) > 0:
            raise BadDataError("all samples have the same y", remedy="give samples of the whole range")


def _of_the_median(truth: Truth) -> float:
    return float(np.abs(truth - np.median(truth, axis=0)).mean())
