"""What is asked of the model: its task, the metric, and where its decisions lie; settled on the select part only."""

from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray

from compiler.metrics import Metric, Truth, Values, metric_for
from compiler.metrics.f1 import F1
from edge.errors import BadModelError
from edge.manifest import TaskName

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
    """anomaly: scores above it are alarms; regress: differences above it are disagreements."""

    def decide(self, values: Values) -> NDArray[np.int64]:
        """Class of each sample; a regression decides nothing: 0."""
        if self.task == "classify":
            labels: NDArray[np.int64] = values.argmax(axis=1).astype(np.int64)
            return labels
        if self.task == "anomaly":
            return (values[:, 0] > self.threshold).astype(np.int64)
        return np.zeros(len(values), np.int64)

    def agreement(self, before: Values, after: Values) -> float:
        """Share of samples that both models decide alike."""
        if self.task == "regress":
            apart = np.sqrt(((before.astype(np.float64) - after) ** 2).mean(axis=1))
            return float((apart <= self.threshold).mean())
        return float((self.decide(before) == self.decide(after)).mean())


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What one model said of some samples."""

    outputs: Array = field(repr=False)
    """[samples, k]: first outputs, flattened, as a device sees them."""
    values: Values = field(repr=False)
    """[samples, m]: what the metric judges; the outputs themselves, or of an anomaly task the score."""


def fit(task: TaskName, metric: str | None, values: Values, truth: Truth) -> Yardstick:
    """Choose the metric, and the threshold that decides best on the float model's values.

    Raises: BadArgumentError, BadDataError if the metric cannot judge them.
    """
    chosen = metric_for(task, metric)
    chosen.check(values, truth)
    if task == "regress":
        return Yardstick(task, chosen, ALIKE * float(np.std(truth)))
    if task == "classify":
        return Yardstick(task, chosen)
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
    return np.array([np.mean((x.ravel().astype(np.float64) - output) ** 2)], np.float32)
