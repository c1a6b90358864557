"""Tables of the telemetry database; SQLite and PostgreSQL alike.

All `*_ns` are Unix nanoseconds. `received_ns` is the clock of the fleet, the one that windows of gates go by: the clock
of a device (`wall_ns`) may be wrong, and is kept for people. Histograms and maps are JSON text.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()


def _identity() -> tuple[Column[str], Column[str], Column[int]]:
    """A row of telemetry is the same one everywhere when these three are: inserting it again does nothing."""
    return (
        Column("device", String(64), primary_key=True),
        Column("outbox_id", String(64), primary_key=True),
        Column("seq", BigInteger, primary_key=True, autoincrement=False),
    )


def _stamps() -> tuple[Column[int], Column[int], Column[int], Column[str], Column[bool]]:
    return (
        Column("received_ns", BigInteger, nullable=False),
        Column("wall_ns", BigInteger, nullable=False),
        Column("mono_ns", BigInteger, nullable=False),
        Column("boot_id", String(64), nullable=False),
        Column("clock_ok", Boolean, nullable=False),
    )


def _model() -> tuple[Column[str], Column[int]]:
    return Column("model", String(64), nullable=False), Column("version", BigInteger, nullable=False)


windows = Table(
    "windows", metadata, *_identity(), *_stamps(), *_model(),
    Column("span_ms", Float, nullable=False),
    Column("decisions", BigInteger, nullable=False),
    Column("unsure", BigInteger, nullable=False),
    Column("dropped", BigInteger, nullable=False),
    Column("max_gap_ms", Float, nullable=False),
    Column("labels", Text, nullable=False),
    Column("actions", Text, nullable=False),
    Column("scores", Text, nullable=False),
    Column("model_scores", Text, nullable=False, server_default="[]"),
    Column("latency_us", Text, nullable=False),
    Column("age_ms", Text, nullable=False),
    Index("windows_by_version", "model", "version", "received_ns"),
    Index("windows_by_device", "device", "received_ns"),
    Index("windows_by_time", "received_ns"),
    sqlite_with_rowid=False,
)  # fmt: skip

decisions = Table(
    "decisions", metadata, *_identity(), *_stamps(), *_model(),
    Column("frame", BigInteger, nullable=False),
    Column("label", Text, nullable=False),
    Column("score", Float, nullable=False),
    Column("action", Text, nullable=False),
    Column("age_ms", Float, nullable=False),
    Column("latency_us", Float, nullable=False),
    Index("decisions_by_device", "device", "received_ns"),
    Index("decisions_by_time", "received_ns"),
    sqlite_with_rowid=False,
)  # fmt: skip

events = Table(
    "events", metadata, *_identity(), *_stamps(), *_model(),
    Column("kind", Text, nullable=False),
    Column("text", Text, nullable=False),
    Index("events_by_device", "device", "received_ns"),
    Index("events_by_time", "received_ns"),
    sqlite_with_rowid=False,
)  # fmt: skip

machines = Table(
    "machines", metadata, *_identity(),
    Column("received_ns", BigInteger, nullable=False),
    Column("minute", BigInteger, nullable=False),
    Column("span_ms", Float, nullable=False),
    Column("decisions", BigInteger, nullable=False),
    Column("latency_p95_ms", Float),
    Column("temperature_c", Float),
    Column("throttled", Text, nullable=False),
    Column("memory_mib", BigInteger),
    Column("memory_free_mib", BigInteger),
    Column("load", Float),
    Column("disk_free_mib", BigInteger),
    Column("heat", Integer, nullable=False),
    UniqueConstraint("device", "minute"),
    Index("machines_by_time", "received_ns"),
    sqlite_with_rowid=False,
)  # fmt: skip
"""How a device's machine was, as a window told; the identity is the window's. `minute`: of Unix time, by the device's
clock where that can be, so that what waited on the device lies where it happened; one row each, whoever sends more."""

quarantine = Table(
    "quarantine", metadata, *_identity(),
    Column("received_ns", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("body", Text, nullable=False),
    Index("quarantine_by_time", "received_ns"),
    sqlite_with_rowid=False,
)  # fmt: skip
"""Rows that were delivered but cannot be read; acknowledged like the others, or they would block the device's queue."""

poison = Table(
    "poison", metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("received_ns", BigInteger, nullable=False),
    Column("topic", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Index("poison_by_time", "received_ns"),
)  # fmt: skip
"""Whole messages that cannot be read; nobody can acknowledge what has no sequence number."""

updates = Table(
    "updates", metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("received_ns", BigInteger, nullable=False),
    Column("device", String(64), nullable=False),
    *_model(),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Index("updates_by_device", "device", "received_ns"),
    Index("updates_by_time", "received_ns"),
)  # fmt: skip

devices = Table(
    "devices", metadata,
    Column("device", String(64), primary_key=True),
    Column("online", Boolean, nullable=False, default=False),
    Column("boot_id", String(64), nullable=False, default=""),
    Column("session", BigInteger, nullable=False, default=-1),
    Column("seen_ns", BigInteger, nullable=False, default=0),
    Column("target", Text, nullable=False, default=""),
    Column("agent", Text, nullable=False, default=""),
)  # fmt: skip

reports = Table(
    "reports", metadata,
    Column("device", String(64), primary_key=True),
    Column("model", String(64), primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempted", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("changed_ns", BigInteger, nullable=False),
)  # fmt: skip
"""What each device last said of each model; `changed_ns` moves only when the content changes."""

AGING = (windows, decisions, events, machines, quarantine, poison, updates)
"""Tables that retention empties; all have `received_ns`."""
