"""top5: the share of samples whose class is among the five highest scores."""

import numpy as np
from numpy.typing import NDArray

from compiler.metrics.accuracy import Accuracy
from compiler.metrics.metric import Truth, Values
from edge.errors import BadArgumentError
from edge.manifest import MetricName

COUNT = 5


class Top5(Accuracy):
    """Top-5 accuracy; an equal score counts as lower only if its class has a higher number."""

    name: MetricName = "top5"

    def hits(self, values: Values, truth: Truth) -> NDArray[np.bool_]:
        """Class among the five."""
        best = np.argsort(-values, axis=1, kind="stable")[:, :COUNT]
        found: NDArray[np.bool_] = (best == truth[:, None]).any(axis=1)
        return found

    def check(self, values: Values, truth: Truth) -> None:
        """Five of five classes would always be right."""
        if values.shape[1] <= COUNT:
            raise BadArgumentError(f"top5 of {values.shape[1]} classes is always right", remedy="use --metric accuracy")
