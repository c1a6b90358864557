"""How the machine is, once a minute, on a window that is sent anyway: no message more, and no row more in the outbox.

Of what was seen since the last time the worst is told, because a minute's mean hides what made a device slow. Only
where a minute begins without a decision, an empty window carries it: a machine that is too hot to work is the one that
a person asks about.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.messages import MachineMinute, WindowRow
from edge.statistics import LATENCY_EDGES_US, quantile
from edge_agent.uplink.windows import LONGEST
from edge_agent.watch.health import MachineHealth

MINUTE_S = 60
COLDEST_C, HOTTEST_C = -273.15, 999.0
"""A sensor that says anything else is broken: what it says is not known."""
N = TypeVar("N", int, float)


@dataclass(slots=True)
class _Sum:
    """Since the last time it was told."""

    machine: MachineHealth | None = None
    """The worst of every figure."""
    heat: int = 0
    span_s: float = 0.0
    decisions: int = 0
    latency_us: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(LATENCY_EDGES_US) + 1, np.int64))

    def add(self, windows: Sequence[WindowRow], span_s: float) -> None:
        """Add one window of time, with the rows of every version that decided in it."""
        self.span_s += span_s
        for row in windows:
            self.decisions += row.decisions
            if row.latency_us:
                self.latency_us += np.asarray(row.latency_us, np.int64)


class Minutes:
    """One device's minutes. They begin with those of the wall clock, so that each of them is told once."""

    def __init__(self, model: str) -> None:
        self._model, self._sum = model, _Sum()
        self._machine: MachineHealth | None = None
        self._minute = -1

    def look(self, machine: MachineHealth, *, heat: int) -> None:
        """Take one look at the machine, and what the agent does without because of it."""
        self._machine = machine
        self._sum.machine = _worse(self._sum.machine, machine)
        self._sum.heat = max(self._sum.heat, heat)

    def close(self, windows: list[WindowRow], *, version: int, span_s: float, wall_s: float) -> list[WindowRow]:
        """The same windows; the first one of a minute says how the machine was, and so does the first one of all.

        `version`: the one that decides; 0: none, and then there is no window that could say it.
        """
        self._sum.add(windows, span_s)
        minute, machine = int(wall_s // MINUTE_S), self._sum.machine
        if minute == self._minute or machine is None or not (windows or version):
            return windows
        ended, self._minute, self._sum = self._sum, minute, _Sum(machine=self._machine)
        carrier = windows[-1] if windows else _empty(self._model, version, span_s)
        return [*windows[:-1], msgspec.structs.replace(carrier, machine=_told(ended, machine))]


def _empty(model: str, version: int, span_s: float) -> WindowRow:
    """A window in which nothing was decided."""
    return WindowRow(
        model=model, version=version, span_ms=_millis(span_s), decisions=0, unsure=0, labels={}, scores=(),
        latency_us=(), age_ms=(), actions={},
    )  # fmt: skip


def _told(minute: _Sum, machine: MachineHealth) -> MachineMinute:
    return MachineMinute(
        span_ms=_millis(minute.span_s),
        decisions=minute.decisions,
        latency_p95_ms=_latency_p95_ms(minute.latency_us),
        temperature_c=machine.temperature_c,
        throttled=machine.throttled,
        memory_mib=machine.memory_mib,
        memory_free_mib=machine.memory_free_mib,
        load=machine.load,
        disk_free_mib=machine.disk_free_mib,
        heat=minute.heat,
    )


def _worse(one: MachineHealth | None, other: MachineHealth) -> MachineHealth:
    """The worse of every figure of two looks."""
    if one is None:
        return msgspec.structs.replace(other, temperature_c=_believed(other.temperature_c))
    return MachineHealth(
        temperature_c=_pick(max, one.temperature_c, _believed(other.temperature_c)),
        throttled=tuple(dict.fromkeys((*one.throttled, *other.throttled))),
        memory_mib=other.memory_mib,
        memory_free_mib=_pick(min, one.memory_free_mib, other.memory_free_mib),
        load=_pick(max, one.load, other.load),
        disk_free_mib=_pick(min, one.disk_free_mib, other.disk_free_mib),
    )


def _believed(temperature_c: float | None) -> float | None:
    return temperature_c if temperature_c is not None and COLDEST_C <= temperature_c <= HOTTEST_C else None


def _pick(worse: Callable[[N, N], N], one: N | None, other: N | None) -> N | None:
    """Of two figures the worse one; what is not known is no figure."""
    if one is None or other is None:
        return other if one is None else one
    return worse(one, other)


def _latency_p95_ms(latency_us: NDArray[np.int64]) -> float | None:
    return round(quantile(latency_us, LATENCY_EDGES_US, 0.95) / 1e3, 3) if latency_us.any() else None


def _millis(span_s: float) -> float:
    return round(min(span_s * 1e3, LONGEST), 1)
