"""The telemetry database: written by ingest only, read by control and web. SQLite by default, PostgreSQL by URL.

A row's identity is (device, outbox_id, seq), so taking a batch twice changes nothing. One call is one transaction; what
it returns may be acknowledged to the device, because it is on disk.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine

from edge.errors import BadConfigError, FleetError
from edge.messages import Ack, Batch, ModelReport, Presence, Reported, UpdateStatus
from fleet import store_read as read
from fleet import store_tables as t
from fleet.store_columns import add_missing
from fleet.store_machines import MachineStep, MinuteSpan, machine_steps
from fleet.store_rows import Record, clean, sort_rows
from fleet.views import DeviceView, Observation

LOCK_WAIT_S = 30.0
"""How long a transaction waits for another process's before it is an error (SQLite)."""


@dataclass(frozen=True, slots=True)
class Telemetry:
    """One batch as it arrived."""

    device: str
    batch: Batch
    received_ns: int


@dataclass(frozen=True, slots=True)
class Heard:
    """One message of state (presence, reported, update) as it arrived."""

    device: str
    message: Presence | Reported | UpdateStatus
    received_ns: int


@dataclass(frozen=True, slots=True)
class Unreadable:
    """One message that is none of ours."""

    topic: str
    reason: str
    payload: bytes
    received_ns: int


Item = Telemetry | Heard | Unreadable


class Store:
    """Open database; safe to use from several threads and processes. Made by `open_store`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # --- in: one transaction a call ------------------------------------------------------------

    def commit(self, items: Sequence[Item]) -> list[Ack]:
        """Take many messages in one transaction, in order; returns one acknowledgement for each batch of telemetry."""
        with self._engine.begin() as link:
            self._insert_rows(link, [item for item in items if isinstance(item, Telemetry)])
            for item in items:
                if isinstance(item, Heard):
                    _hear(link, item, self._insert)
            self._insert_poison(link, [item for item in items if isinstance(item, Unreadable)])
            self._touch(link, items)
        return [_ack(item.batch) for item in items if isinstance(item, Telemetry)]

    def ingest(self, device: str, batch: Batch, received_ns: int) -> Ack:
        """Take one batch of telemetry; its bad rows are quarantined and acknowledged with the others."""
        return self.commit([Telemetry(device, batch, received_ns)])[0]

    def set_presence(self, device: str, presence: Presence, at_ns: int) -> None:
        """Note that a device came or went; what is older than already known is dropped."""
        self.commit([Heard(device, presence, at_ns)])

    def set_reported(self, device: str, reported: Reported, at_ns: int) -> None:
        """Note what runs on a device."""
        self.commit([Heard(device, reported, at_ns)])

    def add_status(self, device: str, status: UpdateStatus, at_ns: int) -> None:
        """Note one step of an update."""
        self.commit([Heard(device, status, at_ns)])

    def forget(self, days: float, now_ns: int) -> int:
        """Delete telemetry older than `days`, an hour a transaction so that ingest never waits long; returns rows."""
        limit_ns, gone = now_ns - int(days * 86400e9), 0
        for table in t.AGING:
            while (oldest := self._value(sa.select(sa.func.min(table.c.received_ns)))) is not None:
                if oldest >= limit_ns:
                    break
                with self._engine.begin() as link:
                    until_ns = min(limit_ns, oldest + 3600 * 10**9)
                    gone += link.execute(sa.delete(table).where(table.c.received_ns < until_ns)).rowcount
        return gone

    # --- out: see store_read for what the queries are ------------------------------------------

    def devices(self) -> list[DeviceView]:
        """Every device that ever spoke, by id."""
        with self._engine.connect() as link:
            return read.devices(link)

    def observe(
        self, model: str, version: int, devices: Collection[str] | None, since_ns: int, until_ns: int
    ) -> dict[str, Observation]:
        """Sums of the windows received in [since_ns, until_ns), by device; `devices` None: of all that sent any."""
        with self._engine.connect() as link:
            return read.observe(link, model, version, devices, (since_ns, until_ns))

    def pulse(self, since_ns: int, until_ns: int) -> dict[str, read.Pulse]:
        """By device: which model it runs by its windows in that span, and their sums; for pages that show now."""
        with self._engine.connect() as link:
            return read.pulse(link, since_ns, until_ns)

    def windows(self, device: str, since_ns: int, limit: int) -> list[read.StoredWindow]:
        """The newest `limit` windows of a device, oldest first."""
        with self._engine.connect() as link:
            return read.windows(link, device, since_ns, limit)

    def decisions(self, device: str, limit: int) -> list[read.StoredDecision]:
        """The newest decisions of a device, newest first."""
        with self._engine.connect() as link:
            return read.decisions(link, device, limit)

    def latest_decisions(self, since_ns: int) -> dict[str, read.StoredDecision]:
        """The newest decision of every device that sent one since then."""
        with self._engine.connect() as link:
            return read.latest_decisions(link, since_ns)

    def events(self, limit: int, device: str | None = None) -> list[read.StoredEvent]:
        """The newest events, newest first, of one device or of all."""
        with self._engine.connect() as link:
            return read.events(link, limit, device)

    def updates(self, limit: int, device: str | None = None) -> list[read.StoredUpdate]:
        """The newest steps of updates, newest first, of one device or of all."""
        with self._engine.connect() as link:
            return read.updates(link, limit, device)

    def machine(self, device: str, span: MinuteSpan) -> list[MachineStep]:
        """How a device's machine was, the oldest step first; a step in which it said nothing is absent."""
        with self._engine.connect() as link:
            return machine_steps(link, device, span)

    def quarantined(self, limit: int) -> list[read.StoredBad]:
        """The newest rows and messages that could not be read, newest first."""
        with self._engine.connect() as link:
            return read.quarantined(link, limit)

    def counts(self) -> Mapping[str, int]:
        """Rows of every table; a full count, for tests and people, not for pages."""
        return {name: self._value(sa.select(sa.func.count()).select_from(table)) for name, table in _BY_NAME.items()}

    def identities(self, kind: str, device: str) -> list[tuple[str, int]]:
        """(outbox_id, seq) of every row of one device in table `kind`; for proving that nothing is lost or doubled."""
        table = _BY_NAME[kind]
        query = sa.select(table.c.outbox_id, table.c.seq).where(table.c.device == device)
        with self._engine.connect() as link:
            return [(row.outbox_id, row.seq) for row in link.execute(query.order_by(table.c.seq))]

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()

    # --- inside --------------------------------------------------------------------------------

    def _insert(self, table: sa.Table) -> Any:  # noqa: ANN401  (two classes without a common base)
        """An INSERT of the dialect at hand: both know ON CONFLICT, but SQLAlchemy has no common word for it."""
        return postgresql.insert(table) if self._engine.dialect.name == "postgresql" else sqlite.insert(table)

    def _insert_rows(self, link: Connection, items: Sequence[Telemetry]) -> None:
        parts = [sort_rows(item.device, item.batch, item.received_ns) for item in items]
        for name in ("windows", "decisions", "events", "machines", "quarantine"):
            rows: list[Record] = [row for part in parts for row in getattr(part, name)]
            if rows:
                # the same order in every worker: two that were sent the same batches wait, instead of dead-locking
                rows.sort(key=lambda row: (row["device"], row["outbox_id"], row["seq"]))
                link.execute(self._insert(_BY_NAME[name]).on_conflict_do_nothing(), rows)

    def _insert_poison(self, link: Connection, items: Sequence[Unreadable]) -> None:
        rows = [
            {
                "received_ns": item.received_ns, "topic": clean(item.topic)[:500], "reason": clean(item.reason)[:500],
                "payload": clean(item.payload[:1000].decode("utf-8", "replace")),
            }
            for item in items
        ]  # fmt: skip
        if rows:
            link.execute(sa.insert(t.poison), rows)

    def _touch(self, link: Connection, items: Sequence[Item]) -> None:
        """Note when each device was last heard."""
        seen: dict[str, int] = {}
        for item in items:
            if isinstance(item, Telemetry | Heard):
                seen[item.device] = max(item.received_ns, seen.get(item.device, 0))
        if not seen:
            return
        rows = [
            {"device": d, "seen_ns": at, "online": False, "boot_id": "", "session": -1, "target": "", "agent": ""}
            for d, at in sorted(seen.items())
        ]
        query = self._insert(t.devices)
        later = sa.case(
            (t.devices.c.seen_ns > query.excluded.seen_ns, t.devices.c.seen_ns), else_=query.excluded.seen_ns
        )
        link.execute(query.on_conflict_do_update(index_elements=["device"], set_={"seen_ns": later}), rows)

    def _value(self, query: sa.Select[Any]) -> Any:  # noqa: ANN401  (whatever the query selects)
        with self._engine.connect() as link:
            return link.execute(query).scalar()


_BY_NAME = {table.name: table for table in t.AGING}


def open_store(url: str) -> Store:
    """Open the telemetry database, and make its tables when they are not there.

    `url`: sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME. Raises: BadConfigError, FleetError.
    """
    try:
        engine = _engine(url)
    except OSError as exc:
        remedy = "check that the folder exists or can be made, and has room"
        raise FleetError(f"telemetry database {_shown(url)}: {exc}", remedy=remedy) from exc
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ImportError) as exc:
        remedy = "use sqlite:///FILE, or postgresql+psycopg://USER@HOST/NAME with: pip install 'edgewright[postgres]'"
        raise BadConfigError(f"cannot open telemetry database {_shown(url)}: {exc}", remedy=remedy) from exc
    for attempt in range(10):
        try:
            t.metadata.create_all(engine)
            add_missing(engine)
            return Store(engine)
        except sa.exc.DBAPIError as exc:
            # two workers starting at once both make tables and columns; the slower one sees them exist, and looks again
            if attempt == 9 or not _worth_retrying(exc):
                engine.dispose()
                remedy = "check that the folder exists and has room, or that the server runs and lets this user in"
                raise FleetError(f"telemetry database {_shown(url)}: {exc.orig}", remedy=remedy) from exc
            time.sleep(0.1)
    raise AssertionError("unreachable")


def _worth_retrying(exc: sa.exc.DBAPIError) -> bool:
    text = str(exc.orig)
    return "already exists" in text or "duplicate column" in text or "duplicate key" in text or "locked" in text


def _engine(url: str) -> Engine:
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return sa.create_engine(parsed, pool_pre_ping=True, pool_size=4)
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(parsed, connect_args={"timeout": LOCK_WAIT_S})

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:  # noqa: ANN401  (the driver's own class)
        # FULL: an acknowledgement promises that the row survives a power cut
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "temp_store=MEMORY", "cache_size=-16000"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _shown(url: str) -> str:
    """The URL without its password."""
    try:
        return sa.make_url(url).render_as_string(hide_password=True)
    except sa.exc.ArgumentError:
        return repr(url)


def _ack(batch: Batch) -> Ack:
    """Exactly the range that was committed or quarantined, never more."""
    return Ack(outbox_id=batch.outbox_id, first_seq=batch.first_seq, last_seq=batch.last_seq)


# --- state of devices --------------------------------------------------------------------------


def is_news(known: Presence | None, said: Presence) -> bool:
    """Whether a presence is newer than the known one: a will can overtake the birth that followed it.

    A birth with a boot we do not know is always news, so that a device whose counter began again is not shut out.
    """
    if known is None or said.session > known.session:
        return True
    if said.boot_id != known.boot_id:
        return said.online
    return said.session == known.session


def _hear(link: Connection, item: Heard, insert: Any) -> None:  # noqa: ANN401  (Store._insert)
    match item.message:
        case Presence():
            _hear_presence(link, item.device, item.message, insert)
        case Reported():
            _hear_reported(link, item, item.message, insert)
        case UpdateStatus() as said:
            row = {"device": item.device, "received_ns": item.received_ns, "model": said.model, "state": said.state}
            link.execute(sa.insert(t.updates), row | {"version": said.version, "reason": clean(said.reason)})


def _hear_presence(link: Connection, device: str, said: Presence, insert: Any) -> None:  # noqa: ANN401
    row = link.execute(sa.select(t.devices).where(t.devices.c.device == device)).first()
    known = None
    if row is not None and row.session >= 0:
        known = Presence(online=row.online, boot_id=row.boot_id, session=row.session)
    if not is_news(known, said):
        return
    news = {"online": said.online, "boot_id": clean(said.boot_id)[:64], "session": said.session}
    query = insert(t.devices).values(device=device, **news)
    link.execute(query.on_conflict_do_update(index_elements=["device"], set_=news))


def _hear_reported(link: Connection, item: Heard, said: Reported, insert: Any) -> None:  # noqa: ANN401
    facts = {"target": clean(said.target), "agent": clean(said.agent)}
    query = insert(t.devices).values(device=item.device, **facts)
    link.execute(query.on_conflict_do_update(index_elements=["device"], set_=facts))
    known = read.reports(link, item.device)
    for model, report in said.models.items():
        if known.get(model) == report:
            continue
        row = _report_row(report) | {"changed_ns": item.received_ns}
        query = insert(t.reports).values(device=item.device, model=model, **row)
        link.execute(query.on_conflict_do_update(index_elements=["device", "model"], set_=row))
    for model in known.keys() - said.models.keys():
        where = (t.reports.c.device == item.device) & (t.reports.c.model == model)
        link.execute(sa.delete(t.reports).where(where))


def _report_row(report: ModelReport) -> Record:
    return {
        "version": report.version, "state": report.state, "attempted": report.attempted, "reason": clean(report.reason),
    }  # fmt: skip
