"""The acceptance lines, answered from the figures. Pure."""

from dataclasses import dataclass
from math import exp, log

from figures import BETTER_DB, Judged, Paired
from results import Model, Row


@dataclass(frozen=True, slots=True)
class Duel:
    """Ours against the best peer of one model."""

    model: Model
    best: Row
    """Highest metric of all peers and settings; of equal ones, the highest SQNR."""
    nearest: Row
    """Highest SQNR of all."""
    default: Row | None
    """The best of the peers' defaults."""

    @property
    def not_worse(self) -> bool:
        """By the paired test."""
        return not paired(self.best).worse

    @property
    def near(self) -> bool:
        """Not more than half a decibel below the peer with the highest SQNR."""
        return paired(self.nearest).gain_db >= -BETTER_DB

    @property
    def beats_default(self) -> bool:
        """Strictly better than the best of the defaults."""
        return self.default is not None and paired(self.default).better


def paired(row: Row) -> Paired:
    """Of a row that has one."""
    assert row.ours_against is not None
    return row.ours_against


def judged(row: Row) -> Judged:
    """Of a row that has one."""
    assert row.judged is not None
    return row.judged


def runs(model: Model) -> list[Row]:
    """Peers' files that run."""
    return [row for row in model.rows if row.is_peer and row.judged is not None]


def duel(model: Model) -> Duel | None:
    """None: no peer gave a file."""
    rows = runs(model)
    if not rows:
        return None
    defaults = [row for row in rows if row.setting == "default"]
    return Duel(
        model,
        max(rows, key=_quality),
        max(rows, key=lambda row: judged(row).sqnr_db),
        max(defaults, key=_quality) if defaults else None,
    )


def _quality(row: Row) -> tuple[float, float]:
    return judged(row).value, judged(row).sqnr_db


def collapsed(model: Model) -> list[Row]:
    """Files of this model that lost more than anyone would take."""
    return [row for row in model.rows if row.judged is not None and row.judged.collapsed]


def fastest_equal(model: Model) -> Row | None:
    """The fastest peer's file that is not worse than ours by the test, and has not collapsed."""
    rows = [r for r in runs(model) if not judged(r).collapsed and not (paired(r).p < 0.05 and paired(r).gain > 0)]
    return min(rows, key=lambda row: judged(row).seconds_p50, default=None)


def against_float_onnx(model: Model) -> float | None:
    """Time of our choice divided by float32 onnxruntime's."""
    row = next((row for row in model.rows if (row.who, row.format) == ("float32", "onnx")), None)
    return None if row is None else row.chosen_time


def mean(ratios: list[float]) -> float | None:
    """Geometric."""
    return exp(sum(map(log, ratios)) / len(ratios)) if ratios else None
