"""Records of single frames in, one row a second and version out; and single decisions where something changed."""

import math
from collections import Counter
from dataclasses import dataclass, field

from edge.messages import DecisionRow, WindowRow
from edge.statistics import AGE_EDGES_MS, LATENCY_EDGES_US, SCORE_EDGES, count
from edge_agent.records import Applied, Decided

LONGEST = 9.9e8
"""Just below what `edge.messages.Millis` takes."""
DECISIONS_PER_WINDOW = 3
QUIET_WINDOWS = 10
"""A decision is sent after so many windows even if nothing changed."""


@dataclass(slots=True)
class _Sum:
    """What one epoch did in the window."""

    decided: list[Decided] = field(default_factory=list)
    ages_ms: list[float] = field(default_factory=list)
    actions: Counter[int] = field(default_factory=Counter)
    max_gap_ms: float = 0.0
    age_windows: int = 0


class Windows:
    """Adds up one model's records. Epochs become versions as the supervisor names them."""

    def __init__(self, model: str, actions: tuple[str, ...]) -> None:
        self._model, self._actions = model, actions
        self._labels: dict[int, tuple[str, ...]] = {}
        self._edges: dict[int, tuple[float, ...]] = {}
        self._versions: dict[int, int] = {}
        self._sums: dict[int, _Sum] = {}
        self._last_ns = 0
        self._last_shown: tuple[int, int, int] | None = None
        self._silent = 0

    def know_epoch(self, epoch: int, version: int) -> None:
        """Decisions of this epoch are made by this version."""
        self._versions[epoch] = version

    def know_labels(self, version: int, labels: tuple[str, ...]) -> None:
        """What a version's label numbers mean."""
        self._labels[version] = labels

    def know_edges(self, version: int, edges: tuple[float, ...]) -> None:
        """By what a version's bundle counts the model's own score; empty for a classifier's."""
        self._edges[version] = edges or SCORE_EDGES

    def version_of(self, epoch: int) -> int:
        """Version of an epoch; 0 while it is not known."""
        return self._versions.get(epoch, 0)

    def add(self, record: Decided | Applied) -> None:
        """Take one record of the loop or of the guard."""
        total = self._sums.setdefault(record.epoch, _Sum())
        if isinstance(record, Applied):
            total.actions[record.action] += 1
            if not record.safe:
                total.ages_ms.append(_bounded((record.applied_ns - record.captured_ns) / 1e6))
            return
        if self._last_ns:
            total.max_gap_ms = max(total.max_gap_ms, _bounded((record.handed_ns - self._last_ns) / 1e6))
        self._last_ns = max(self._last_ns, record.handed_ns)
        total.decided.append(record)

    def close(self, span_s: float) -> tuple[list[WindowRow], list[DecisionRow]]:
        """End the window. What an epoch did whose version is not known yet waits for the next one, at most ten."""
        rows, shown = [], []
        for epoch, total in list(self._sums.items()):
            if version := self.version_of(epoch):
                rows.append(self._row(version, total, span_s))
                shown += self._changes(version, total.decided)
                del self._sums[epoch]
            elif (total := self._sums[epoch]).age_windows >= 10:
                del self._sums[epoch]
            else:
                total.age_windows += 1
        return rows, self._thinned(shown)

    def _row(self, version: int, total: _Sum, span_s: float) -> WindowRow:
        decided = total.decided
        latencies_us = [(record.handed_ns - record.read_ns) / 1e3 for record in decided]
        return WindowRow(
            model=self._model,
            version=version,
            span_ms=min(span_s * 1e3, LONGEST),
            decisions=len(decided),
            unsure=sum(not record.score >= record.floor for record in decided),
            labels=dict(Counter(self._label(version, record.label) for record in decided if record.label >= 0)),
            scores=tuple(count([record.score for record in decided], SCORE_EDGES).tolist()),
            model_scores=self._model_scores(version, decided),
            latency_us=tuple(count(latencies_us, LATENCY_EDGES_US).tolist()),
            age_ms=tuple(count(total.ages_ms, AGE_EDGES_MS).tolist()),
            actions=self._action_counts(total.actions),
            dropped=sum(record.dropped for record in decided),
            max_gap_ms=total.max_gap_ms,
        )

    def _model_scores(self, version: int, decided: list[Decided]) -> tuple[int, ...]:
        """Empty where they are the decider's, and until the bundle has been read."""
        edges = self._edges.get(version)
        scores = [record.model_score for record in decided if not math.isnan(record.model_score)]
        return tuple(count(scores, edges).tolist()) if scores and edges else ()

    def _changes(self, version: int, decided: list[Decided]) -> list[DecisionRow]:
        """Decisions that differ from the one before."""
        rows = []
        for record in decided:
            key = (version, record.label, record.action)
            if key != self._last_shown or self._silent >= QUIET_WINDOWS:
                self._last_shown, self._silent = key, 0
                rows.append(self._decision(version, record))
        return rows

    def _thinned(self, rows: list[DecisionRow]) -> list[DecisionRow]:
        """At most three a window: a model that flickers must not fill the outbox."""
        self._silent = 0 if rows else self._silent + 1
        return [*rows[: DECISIONS_PER_WINDOW - 1], rows[-1]] if len(rows) > DECISIONS_PER_WINDOW else rows

    def _decision(self, version: int, record: Decided) -> DecisionRow:
        return DecisionRow(
            model=self._model,
            version=version,
            frame=record.frame,
            label=self._label(version, record.label) if record.label >= 0 else "",
            score=record.score if math.isfinite(record.score) else 0.0,
            action=_name(self._actions, record.action),
            age_ms=_bounded((record.handed_ns - record.captured_ns) / 1e6),
            latency_us=_bounded((record.handed_ns - record.read_ns) / 1e3),
        )

    def _label(self, version: int, index: int) -> str:
        return _name(self._labels.get(version, ()), index)

    def _action_counts(self, actions: Counter[int]) -> dict[str, int]:
        return {_name(self._actions, index): number for index, number in actions.items()}


def _name(names: tuple[str, ...], index: int) -> str:
    return names[index] if 0 <= index < len(names) else str(index)


def _bounded(time: float) -> float:
    return min(max(time, 0.0), LONGEST)
