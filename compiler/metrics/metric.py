"""What a metric is."""

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.errors import BadArgumentError, BadDataError
from edge.manifest import MetricName

Values = NDArray[np.float32]
"""[samples, k]: scores of classes, one anomaly score, or the numbers of a regression."""
Truth = NDArray[Any]
"""[samples] class numbers (1 is the anomaly), or [samples, k] numbers."""


class Outcome(NamedTuple):
    """Both models by one metric; `drop` is what the compiled one lost, as a share."""

    reference: float
    compiled: float
    drop: float


class Metric(Protocol):
    """Compares what two models say of the same samples."""

    @property
    def name(self) -> MetricName:
        """As the manifest says it."""

    def compare(self, before: Values, after: Values, truth: Truth) -> Outcome:
        """Judge the float and the compiled model; NaN where these samples say nothing."""

    def hits(self, values: Values, truth: Truth) -> NDArray[np.bool_] | None:
        """Which samples are right, if the metric is their share: then its bounds are exact."""

    def evidence(self, truth: Truth) -> int:
        """How many samples it rests on: all, or those of the rarer class."""

    def check(self, values: Values, truth: Truth) -> None:
        """Raise BadArgumentError or BadDataError if it cannot judge such values."""


def positive_scores(values: Values) -> NDArray[np.float64]:
    """How much each sample looks like class 1: the one score, or the second of two minus the first."""
    wide = values.astype(np.float64)
    return wide[:, 0] if wide.shape[1] == 1 else wide[:, 1] - wide[:, 0]


def check_two_classes(values: Values, truth: Truth, name: str) -> None:
    """Raise unless there are two classes, both with samples."""
    if values.shape[1] > 2:
        raise BadArgumentError(
            f"{name} is for two classes, and this model has {values.shape[1]}", remedy="use --metric accuracy"
        )
    if len(np.unique(truth)) < 2:
        raise BadDataError(
            f"all samples of one part are of one class, so there is no {name}",
            remedy="add samples of the other class, or use --metric correlation, which needs no labels",
        )


def rarer(truth: Truth) -> int:
    """Samples of the rarer of two classes."""
    ones = int((truth == 1).sum())
    return max(1, min(ones, len(truth) - ones))
