"""What is asked of the model: its task, the metric, and where its decisions lie; settled on the select part only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray

from compiler.detection.packed import FIELDS, BoxReader
from compiler.detection.pairs import agreement
from compiler.metrics import Metric, Truth, Values, metric_for
from compiler.metrics.f1 import F1
from edge.errors import BadModelError
from edge.manifest import TaskName
from edge.score import mean_square_error

Array = NDArray[np.float32]
ALIKE = 0.1
"""Two regressions agree on a sample if they differ by less than this share of the truth's standard deviation, in the
root mean square of their outputs: of the 8,840 of a detector one always differs by more."""


@dataclass(frozen=True, slots=True)
class Yardstick:
    """Turns values into decisions, the same way for every model."""

    task: TaskName
    metric: Metric
    threshold: float = 0.0
    """anomaly: scores above it are alarms; regress: differences above it are disagreements; detect: boxes with at least
    this score are seen."""
    parts: Mapping[str, NDArray[np.intp]] = field(default_factory=dict, repr=False, compare=False)
    """Of a detector: where in its flattened outputs each part lies."""

    def decide(self, values: Values) -> NDArray[np.int64]:
        """Class of each sample; a detector's is how many boxes are seen; a regression decides nothing: 0."""
        if self.task == "classify":
            labels: NDArray[np.int64] = values.argmax(axis=1).astype(np.int64)
            return labels
        if self.task == "anomaly":
            return (values[:, 0] > self.threshold).astype(np.int64)
        if self.task == "detect":
            seen: NDArray[np.int64] = (values[:, ::FIELDS] >= self.threshold).sum(axis=1, dtype=np.int64)
            return seen
        return np.zeros(len(values), np.int64)

    def agreement(self, before: Values, after: Values) -> float:
        """Share of samples that both models decide alike; of a detector, of boxes that both see."""
        if self.task == "detect":
            return agreement(before, after, self.threshold)
        if self.task == "regress":
            apart = np.sqrt(((before.astype(np.float64) - after) ** 2).mean(axis=1))
            return float((apart <= self.threshold).mean())
        return float((self.decide(before) == self.decide(after)).mean())


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What one model said of some samples."""

    outputs: Array = field(repr=False)
    """[samples, k]: first outputs, flattened, as a device sees them. Of a detector all outputs, and of the first
    samples only where they would fill the memory."""
    values: Values = field(repr=False)
    """[samples, m]: what the metric judges; the outputs themselves, of an anomaly task the score, of a detector the
    boxes, packed."""


def fit(
    task: TaskName, metric: str | None, values: Values, truth: Truth, *, reader: BoxReader | None = None
) -> Yardstick:
    """Choose the metric, and the threshold that decides best on the float model's values.

    Raises: BadArgumentError, BadDataError if the metric cannot judge them.
    """
    chosen = metric_for(task, metric)
    chosen.check(values, truth)
    if task == "regress":
        return Yardstick(task, chosen, ALIKE * float(np.std(truth)))
    if task == "classify":
        return Yardstick(task, chosen)
    if reader is not None:
        return Yardstick(task, chosen, reader.head.floor, reader.parts())
    threshold = best_threshold(values[:, 0], truth)
    return Yardstick(task, F1(threshold) if chosen.name == "f1" else chosen, threshold)


def best_threshold(scores: NDArray[np.float32], truth: Truth) -> float:
    """Where recall minus false-alarm rate is highest (Youden's index); without anomalies the 99th percentile.

    Between two scores, in the middle. Source: W. Youden, "Index for rating diagnostic tests", Cancer 3, 1950.
    """
    if len(np.unique(truth)) < 2:
        return float(np.quantile(scores, 0.99))
    ordered = np.unique(scores.astype(np.float64))
    middles = (ordered[1:] + ordered[:-1]) / 2 if len(ordered) > 1 else ordered
    normal, anomaly = np.sort(scores[truth == 0]), np.sort(scores[truth == 1])
    recall = 1 - np.searchsorted(anomaly, middles, side="right") / len(anomaly)
    alarms = 1 - np.searchsorted(normal, middles, side="right") / len(normal)
    return float(middles[int((recall - alarms).argmax())])


def value_of(task: TaskName, x: Array, output: Array) -> Array:
    """What the metric judges of one sample, flat: `x` is the real-valued input, `output` the first output, flattened.

    Raises: BadModelError if an anomaly model gives neither one score nor something of its input's size.
    """
    if task != "anomaly" or output.size == 1:
        return output
    if output.size != prod(x.shape):
        raise BadModelError(
            f"an anomaly model gives one score, or rebuilds its input of {prod(x.shape)} numbers; this one gives "
            f"{output.size}",
            remedy="give the score as the output, or use --task classify or regress",
        )
    return np.array([mean_square_error(output, x)], np.float32)
