"""How good a model is: one file a metric; a new one is a file and a line in METRICS."""

from collections.abc import Mapping

from compiler.metrics.accuracy import Accuracy
from compiler.metrics.auc import Auc
from compiler.metrics.correlation import Correlation, correlation
from compiler.metrics.f1 import F1, alarm_rates
from compiler.metrics.mae import Mae
from compiler.metrics.mean_average_precision import MeanAveragePrecision
from compiler.metrics.metric import Metric, Outcome, Truth, Values
from compiler.metrics.sqnr import sqnr_db
from compiler.metrics.top5 import Top5
from edge.errors import BadArgumentError
from edge.manifest import MetricName, TaskName

__all__ = ["METRICS", "Metric", "Outcome", "Truth", "Values", "alarm_rates", "correlation", "metric_for", "sqnr_db"]

METRICS: Mapping[MetricName, Metric] = {
    metric.name: metric
    for metric in (
        Accuracy(),
        Top5(),
        Auc(),
        F1(),
        Mae(),
        Correlation(),
        MeanAveragePrecision(),
        MeanAveragePrecision("map50", (0.5,)),
    )
}
BY_TASK: Mapping[TaskName, tuple[MetricName, ...]] = {
    "classify": ("accuracy", "top5", "auc", "f1", "correlation"),
    "anomaly": ("auc", "f1", "correlation"),
    "regress": ("mae", "correlation"),
    "detect": ("map", "map50"),
}
"""The first one is the task's own."""


def metric_for(task: TaskName, name: str | None) -> Metric:
    """The metric asked for, or the task's own; raises BadArgumentError if it says nothing of this task."""
    names = BY_TASK[task]
    chosen = next((one for one in names if one == name), None) if name is not None else names[0]
    if chosen is None:
        raise BadArgumentError(f"no metric {name!r} for the task {task}", remedy=f"one of {', '.join(names)}")
    return METRICS[chosen]
