"""From what the guard applied and what was really there to the figures that count. Pure: values in, values out.

A *false GO* is a frame that shows red while the wheels are told to go. A *missed GO* is a frame that shows green, for
longer than the decider's hold time, while they are told to stop.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edge_agent.actuators.recorder import Line

RED, GREEN = 0, 2
"""Indices into `scenes.LABELS`."""
Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Truth:
    """What the frames of a stream show: row (f - 1) % n belongs to frame f."""

    labels: NDArray[np.int8]
    phases: NDArray[np.int8]
    fps: float


@dataclass(frozen=True, slots=True)
class Span:
    """From `start_ns` to `end_ns` (CLOCK_MONOTONIC) this version surely decided."""

    version: int
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class PhaseScore:
    """Of one version, one device, one light."""

    red: int = 0
    false_go: int = 0
    green: int = 0
    """Green frames after the hold time."""
    missed_go: int = 0

    @property
    def false_go_share(self) -> float | None:
        """Of red frames; None without any."""
        return self.false_go / self.red if self.red else None

    @property
    def go_share(self) -> float | None:
        """Of green frames after the hold time; None without any."""
        return 1 - self.missed_go / self.green if self.green else None


@dataclass(frozen=True, slots=True)
class Pace:
    """How a device's decisions follow one another, over its whole life."""

    decisions: int
    per_s: float
    age_p50_ms: float
    age_p99_ms: float
    """Capture -> applied by the guard."""
    max_gap_s: float
    """Longest time between two decisions."""


def score_phases(
    lines: Sequence[Line], truth: Truth, spans: Sequence[Span], *, hold_s: float
) -> dict[int, dict[int, PhaseScore]]:
    """Judge every decided frame; returns version -> phase -> score. Frames outside of every span count nowhere."""
    decided = decisions(lines)
    if not decided:
        return {}
    rows = np.array([(line.frame - 1) % len(truth.labels) for line in decided])
    goes = np.array([line.action == "go" for line in decided])
    captured = np.array([line.captured_ns for line in decided], np.int64)
    # one frame more: the hold time begins with the first green frame and ends with the first one after it
    held = (held_frames(truth.labels) >= hold_s * truth.fps + 1)[rows]
    red, green = truth.labels[rows] == RED, (truth.labels[rows] == GREEN) & held
    found: dict[int, dict[int, PhaseScore]] = {}
    for version in sorted({span.version for span in spans}):
        inside = np.zeros(len(decided), bool)
        for span in spans:
            if span.version == version:
                # what is held began to be seen at the span's start at the earliest
                inside |= (captured >= span.start_ns) & (captured < span.end_ns)
        found[version] = {
            int(phase): PhaseScore(
                red=int((here & red).sum()),
                false_go=int((here & red & goes).sum()),
                green=int((here & green).sum()),
                missed_go=int((here & green & ~goes).sum()),
            )
            for phase in np.unique(truth.phases)
            if (here := inside & (truth.phases[rows] == phase)).any()
        }
    return found


def decisions(lines: Sequence[Line]) -> list[Line]:
    """The lines by which a frame first moved something: no refreshes, nothing that the dead-man chose."""
    first: dict[int, Line] = {}
    for line in lines:
        if line.frame and not line.safe:
            first.setdefault(line.frame, line)
    return list(first.values())


def held_frames(labels: NDArray[np.int8]) -> NDArray[np.int64]:
    """For how many frames the label has been the same, the current one not counted."""
    starts = np.r_[True, labels[1:] != labels[:-1]]
    places = np.arange(len(labels))
    held: NDArray[np.int64] = places - np.maximum.accumulate(np.where(starts, places, 0))
    return held


def pace(lines: Sequence[Line]) -> Pace:
    """Rate, frame age and the longest gap; switches and rollbacks are inside."""
    decided = decisions(lines)
    if len(decided) < 2:
        return Pace(len(decided), 0.0, 0.0, 0.0, 0.0)
    applied = [line.applied_ns for line in decided]
    ages = np.array([line.applied_ns - line.captured_ns for line in decided]) / 1e6
    p50, p99 = np.quantile(ages, [0.5, 0.99])
    return Pace(
        decisions=len(decided),
        per_s=(len(decided) - 1) / ((applied[-1] - applied[0]) / 1e9),
        age_p50_ms=float(p50),
        age_p99_ms=float(p99),
        max_gap_s=max(after - before for before, after in pairwise(applied)) / 1e9,
    )


def join_spans(seen: Sequence[tuple[int, int]]) -> tuple[Span, ...]:
    """From (time in ns, version) as observed now and then to spans in which the version is certain.

    Between two observations of different versions nobody knows which one decided, so that time belongs to neither.
    """
    spans: list[Span] = []
    for (start, version), (end, after) in pairwise(seen):
        if version != after or not version:
            continue
        if spans and spans[-1].version == version and spans[-1].end_ns == start:
            spans[-1] = Span(version, spans[-1].start_ns, end)
        else:
            spans.append(Span(version, start, end))
    return tuple(spans)
