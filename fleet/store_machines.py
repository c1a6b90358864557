"""How a device's machine was, over an hour or a month: the database adds up, so that a page reads few rows."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from fleet import store_tables as t


@dataclass(frozen=True, slots=True)
class MinuteSpan:
    """Minutes of Unix time in [since, since + steps * minutes_each)."""

    since: int
    steps: int
    minutes_each: int

    @property
    def until(self) -> int:
        """The first minute after it."""
        return self.since + self.steps * self.minutes_each


@dataclass(frozen=True, slots=True)
class MachineStep:
    """The worst of some minutes of one device; None where no minute said."""

    step: int
    """Place in its `MinuteSpan`, from 0."""
    minutes: int
    """Minutes that were told, of those that the step has."""
    throttled: int
    """Minutes of these in which the machine made itself slower, or its supply was too weak."""
    ways: str
    """How, as one of these minutes said; empty when none did."""
    spared: int
    """Minutes of these in which the agent did without frames because of heat."""
    span_ms: float
    decisions: int
    latency_p95_ms: float | None
    temperature_c: float | None
    memory_mib: int | None
    memory_free_mib: int | None
    load: float | None
    disk_free_mib: int | None


def machine_steps(link: Connection, device: str, span: MinuteSpan) -> list[MachineStep]:
    """The steps in which the device said something, the oldest first."""
    m = t.machines.c
    query = sa.select(
        ((m.minute - span.since) // span.minutes_each).label("step"),
        sa.func.count().label("minutes"),
        _minutes_with(m.throttled != "").label("throttled"),
        _minutes_with(m.heat > 0).label("spared"),
        sa.func.sum(m.span_ms).label("span_ms"),
        sa.cast(sa.func.sum(m.decisions), sa.BigInteger).label("decisions"),
        *(sa.func.max(c).label(c.name) for c in (m.latency_p95_ms, m.temperature_c, m.memory_mib, m.load)),
        sa.func.max(m.throttled).label("ways"),
        *(sa.func.min(c).label(c.name) for c in (m.memory_free_mib, m.disk_free_mib)),
    ).where(m.device == device, m.minute >= span.since, m.minute < span.until)
    return [MachineStep(**row._mapping) for row in link.execute(query.group_by("step").order_by("step"))]


def _minutes_with(condition: sa.ColumnElement[bool]) -> Any:  # noqa: ANN401  (a function of the database)
    return sa.cast(sa.func.sum(sa.case((condition, 1), else_=0)), sa.BigInteger)
