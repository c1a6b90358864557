"""What the telemetry database answers; every function takes an open connection and returns frozen values."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edge.messages import ModelReport
from fleet import store_tables as t
from fleet.views import DeviceView, Observation

_COUNTS = msgspec.json.Decoder(tuple[int, ...])
_MAP = msgspec.json.Decoder(dict[str, int])


@dataclass(frozen=True, slots=True)
class StoredWindow:
    """One window of one device."""

    received_ns: int
    wall_ns: int
    model: str
    version: int
    sums: Observation


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """One decision of one device."""

    device: str
    received_ns: int
    wall_ns: int
    clock_ok: bool
    model: str
    version: int
    frame: int
    label: str
    score: float
    action: str
    age_ms: float
    latency_us: float


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """Something a device thought worth saying."""

    device: str
    received_ns: int
    wall_ns: int
    clock_ok: bool
    kind: str
    text: str
    model: str
    version: int


@dataclass(frozen=True, slots=True)
class StoredUpdate:
    """One step of an update of one device."""

    device: str
    received_ns: int
    model: str
    version: int
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class StoredBad:
    """A row or a message that could not be read. `origin`: the device, or the topic of a whole message."""

    origin: str
    received_ns: int
    reason: str
    payload: str


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a device did in the last moments."""

    model: str
    version: int
    sums: Observation


class Sums:
    """Adds windows up; mutable on purpose, one for each device and question."""

    def __init__(self) -> None:
        self._totals = {"windows": 0, "span_ms": 0.0, "decisions": 0, "unsure": 0, "dropped": 0, "max_gap_ms": 0.0}
        self._maps: dict[str, dict[str, int]] = {"labels": {}, "actions": {}}
        self._bins: dict[str, list[int]] = {"scores": [], "model_scores": [], "latency_us": [], "age_ms": []}

    def add(self, other: Observation) -> None:
        """Add one window, or the sum of many."""
        for name in ("windows", "span_ms", "decisions", "unsure", "dropped"):
            self._totals[name] += getattr(other, name)
        self._totals["max_gap_ms"] = max(self._totals["max_gap_ms"], other.max_gap_ms)
        for name, total in self._maps.items():
            for key, count in getattr(other, name).items():
                total[key] = total.get(key, 0) + count
        for name, bins in self._bins.items():
            counts: tuple[int, ...] = getattr(other, name)
            if not bins:
                bins.extend(counts)
            elif counts:
                bins[:] = [a + b for a, b in zip(bins, counts, strict=True)]

    def total(self) -> Observation:
        """What was added so far."""
        maps = {name: dict(total) for name, total in self._maps.items()}
        bins = {name: tuple(counts) for name, counts in self._bins.items()}
        return Observation(**self._totals, **maps, **bins)  # type: ignore[arg-type]  # names and types are Observation's


def devices(link: Connection) -> list[DeviceView]:
    """Every device, with what it last said of each model."""
    said: dict[str, dict[str, ModelReport]] = {}
    changed: dict[str, dict[str, int]] = {}
    for row in link.execute(sa.select(t.reports)):
        said.setdefault(row.device, {})[row.model] = _report(row)
        changed.setdefault(row.device, {})[row.model] = row.changed_ns
    return [
        DeviceView(
            id=row.device, online=row.online, seen_ns=row.seen_ns, target=row.target, agent=row.agent,
            models=said.get(row.device, {}), changed_ns=changed.get(row.device, {}),
        )
        for row in link.execute(sa.select(t.devices).order_by(t.devices.c.device))
    ]  # fmt: skip


def reports(link: Connection, device: str) -> dict[str, ModelReport]:
    """By model: what one device last said."""
    query = sa.select(t.reports).where(t.reports.c.device == device)
    return {row.model: _report(row) for row in link.execute(query)}


def _report(row: Any) -> ModelReport:  # noqa: ANN401  (a database row)
    return ModelReport(version=row.version, state=row.state, attempted=row.attempted, reason=row.reason)


def observe(
    link: Connection, model: str, version: int, devices: Collection[str] | None, span_ns: tuple[int, int]
) -> dict[str, Observation]:
    """Sums by device of one version's windows received in [since, until)."""
    w = t.windows.c
    query = sa.select(t.windows).where(w.model == model, w.version == version)
    query = query.where(w.received_ns >= span_ns[0], w.received_ns < span_ns[1])
    # a list of thousands of names is slower than reading everybody, and has a limit in SQLite
    if devices is not None and len(devices) <= 500:
        query = query.where(w.device.in_(sorted(devices)))
    sums: dict[str, Sums] = {}
    for row in link.execute(query):
        if devices is None or row.device in devices:
            sums.setdefault(row.device, Sums()).add(_window(row))
    return {device: total.total() for device, total in sums.items()}


def pulse(link: Connection, since_ns: int, until_ns: int) -> dict[str, Pulse]:
    """By device: sums over the windows of that span that belong to the model and version it ran last."""
    w = t.windows.c
    query = sa.select(t.windows).where(w.received_ns >= since_ns, w.received_ns < until_ns)
    newest: dict[str, tuple[str, int]] = {}
    sums: dict[str, Sums] = {}
    for row in link.execute(query.order_by(w.received_ns.desc(), w.seq.desc())):
        ran = newest.setdefault(row.device, (row.model, row.version))
        if ran == (row.model, row.version):
            sums.setdefault(row.device, Sums()).add(_window(row))
    return {device: Pulse(*newest[device], total.total()) for device, total in sums.items()}


def windows(link: Connection, device: str, since_ns: int, limit: int) -> list[StoredWindow]:
    """The newest windows of a device, oldest first."""
    w = t.windows.c
    query = sa.select(t.windows).where(w.device == device, w.received_ns >= since_ns)
    rows = link.execute(query.order_by(w.received_ns.desc(), w.seq.desc()).limit(limit)).all()
    return [StoredWindow(row.received_ns, row.wall_ns, row.model, row.version, _window(row)) for row in reversed(rows)]


def _window(row: Any) -> Observation:  # noqa: ANN401  (a database row)
    return Observation(
        windows=1, span_ms=row.span_ms, decisions=row.decisions, unsure=row.unsure, dropped=row.dropped,
        max_gap_ms=row.max_gap_ms, labels=_MAP.decode(row.labels), actions=_MAP.decode(row.actions),
        scores=_COUNTS.decode(row.scores), model_scores=_COUNTS.decode(row.model_scores),
        latency_us=_COUNTS.decode(row.latency_us), age_ms=_COUNTS.decode(row.age_ms),
    )  # fmt: skip


_DECISION = [c for c in t.decisions.c if c.name not in ("outbox_id", "seq", "mono_ns", "boot_id")]


def decisions(link: Connection, device: str, limit: int) -> list[StoredDecision]:
    """The newest decisions of a device, newest first."""
    d = t.decisions.c
    query = sa.select(*_DECISION).where(d.device == device).order_by(d.received_ns.desc(), d.seq.desc()).limit(limit)
    return [StoredDecision(**row._mapping) for row in link.execute(query)]


def latest_decisions(link: Connection, since_ns: int) -> dict[str, StoredDecision]:
    """The newest decision of every device since then."""
    d = t.decisions.c
    query = sa.select(*_DECISION).where(d.received_ns >= since_ns).order_by(d.received_ns, d.seq)
    return {row.device: StoredDecision(**row._mapping) for row in link.execute(query)}


def events(link: Connection, limit: int, device: str | None) -> list[StoredEvent]:
    """The newest events, newest first."""
    e = t.events.c
    columns = [c for c in e if c.name not in ("outbox_id", "seq", "mono_ns", "boot_id")]
    query = _of(device, e.device, sa.select(*columns)).order_by(e.received_ns.desc(), e.seq.desc()).limit(limit)
    return [StoredEvent(**row._mapping) for row in link.execute(query)]


def updates(link: Connection, limit: int, device: str | None) -> list[StoredUpdate]:
    """The newest steps of updates, newest first."""
    u = t.updates.c
    columns = [c for c in u if c.name != "id"]
    query = _of(device, u.device, sa.select(*columns)).order_by(u.received_ns.desc(), u.id.desc()).limit(limit)
    return [StoredUpdate(**row._mapping) for row in link.execute(query)]


def _of(device: str | None, column: sa.Column[str], query: Any) -> Any:  # noqa: ANN401  (any SELECT)
    return query if device is None else query.where(column == device)


def quarantined(link: Connection, limit: int) -> list[StoredBad]:
    """The newest rows and messages that could not be read, newest first."""
    q, p = t.quarantine.c, t.poison.c
    rows = link.execute(
        sa.select(q.device, q.received_ns, q.reason, q.body).order_by(q.received_ns.desc()).limit(limit)
    )
    whole = link.execute(
        sa.select(p.topic, p.received_ns, p.reason, p.payload).order_by(p.received_ns.desc()).limit(limit)
    )
    bad = [StoredBad(*row) for row in (*rows, *whole)]
    return sorted(bad, key=lambda each: -each.received_ns)[:limit]


def add_up(parts: Iterable[dict[str, Observation]]) -> dict[str, Observation]:
    """Sums by device of several answers of `observe`."""
    sums: dict[str, Sums] = {}
    for part in parts:
        for device, observation in part.items():
            sums.setdefault(device, Sums()).add(observation)
    return {device: total.total() for device, total in sums.items()}
