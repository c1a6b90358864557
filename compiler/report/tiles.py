"""The big figures at the top of the page: quality, loss, agreement, size and time of what runs."""

from dataclasses import dataclass

from compiler.drop_bounds import upper95
from compiler.measure import Measured
from compiler.objection import least_agreement
from compiler.report.words import milliseconds
from compiler.result import Compiled
from compiler.words import kib, points, value

METRIC_TITLES = {
    "accuracy": "Accuracy",
    "top5": "Top-5 accuracy",
    "auc": "AUC",
    "f1": "F1",
    "mae": "Mean abs. error",
    "correlation": "Correlation",
    "map": "mAP .50:.95",
    "map50": "mAP at .50",
}


@dataclass(frozen=True, slots=True)
class Tile:
    """One of the big figures; `tone` is good, doubt or plain."""

    title: str
    value: str
    detail: str
    tone: str = "plain"


def tiles(compiled: Compiled) -> list[Tile]:
    """Quality, drop, agreement, size and time of the main candidate."""
    main, quality = compiled.main, compiled.main.quality
    return [
        Tile(
            METRIC_TITLES[quality.metric],
            value(quality.metric, quality.compiled),
            f"float {value(quality.metric, quality.reference)}, n = {quality.samples}",
        ),
        Tile(
            "Drop",
            points(quality.drop).replace(" points", " pt"),
            f"at most {100 * upper95(main):.2f} with 95 % confidence",
            "good" if compiled.judgement.drop.verdict == "kept" else "doubt",
        ),
        Tile(
            "Same decision",
            f"{quality.agreement:.1%}",
            f"as the float model; {least_agreement(quality.metric):.0%} wanted",
            "good" if quality.agreement >= least_agreement(quality.metric) else "doubt",
        ),
        _size(compiled),
        _time(main),
    ]


def _size(compiled: Compiled) -> Tile:
    size = len(compiled.main.candidate.data)
    floats = [len(one.candidate.data) for one in compiled.measured if one.candidate.dtype == "float32"]
    smaller = bool(floats) and max(floats) > 1.05 * size
    said = f"{max(floats) / size:.1f}x smaller than float" if smaller else "the float model's size"
    return Tile("Size", kib(size), said)


def _time(main: Measured) -> Tile:
    """On the target if anybody can say, else here."""
    if main.predicted is not None:
        low, high = milliseconds(main.predicted.low), milliseconds(main.predicted.high)
        said = f"{main.predicted.kind}: {low} to {high}, {main.predicted.core}"
        return Tile("On the target", milliseconds(main.predicted.ms), said)
    if main.timing.simulated:
        return Tile("On the target", "not known", f"measured in {main.timing.core}")
    low, high = milliseconds(main.timing.low), milliseconds(main.timing.high)
    return Tile("Latency here", milliseconds(main.timing.ms), f"{low} to {high}, one thread of this workstation")
