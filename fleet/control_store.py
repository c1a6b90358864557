"""control.db: who may connect, what each device should run, and every rollout. Written by the control process only.

Each method is one transaction with full sync: an order is durable before it is published, so that a service killed at
any point publishes after its restart exactly what it had decided.
"""

import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from edge.errors import DiskFullError
from edge.messages import Desired, Wish
from fleet.rollout_state import RolloutState
from fleet.views import Order

_SCHEMA = """
CREATE TABLE IF NOT EXISTS devices (id TEXT PRIMARY KEY, password TEXT NOT NULL, enrolled_s REAL NOT NULL);
CREATE TABLE IF NOT EXISTS wishes (
  device TEXT NOT NULL, model TEXT NOT NULL, version INTEGER NOT NULL, number INTEGER NOT NULL,
  PRIMARY KEY (device, model));
CREATE TABLE IF NOT EXISTS rollouts (number INTEGER PRIMARY KEY, state BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS shelved (path TEXT PRIMARY KEY, since_s REAL NOT NULL);
INSERT OR IGNORE INTO counter VALUES ('order', 0);
"""


class ControlStore:
    """One SQLite file. Not thread-safe: `Control` holds a lock around every call."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_SCHEMA)
        path.chmod(0o600)
        rows = self._db.execute("SELECT state FROM rollouts ORDER BY number").fetchall()
        decoded = [msgspec.json.decode(state, type=RolloutState) for (state,) in rows]
        self._rollouts = {state.id: state for state in decoded}

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # --- registry ------------------------------------------------------------------------------

    def set_device(self, device: str, password_hash: str) -> None:
        """Enrol a device, or replace its password."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO devices VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET password = excluded.password",
                (device, password_hash, time.time()),
            )

    def passwords(self) -> dict[str, str]:
        """Password hash by device."""
        return dict(self._db.execute("SELECT id, password FROM devices ORDER BY id"))

    # --- wishes --------------------------------------------------------------------------------

    def desired(self, devices: Iterable[str] | None = None) -> dict[str, Desired]:
        """What each device should run; a device whose wishes were all withdrawn has an empty one."""
        query = "SELECT device, model, version, number FROM wishes"
        if devices is None:
            rows = self._db.execute(query).fetchall()
        else:
            rows = [row for device in set(devices) for row in self._db.execute(f"{query} WHERE device = ?", (device,))]
        found: dict[str, dict[str, Wish]] = {}
        for device, model, version, number in rows:
            models = found.setdefault(device, {})
            if version:
                models[model] = Wish(version=version, order=number)
        return {device: Desired(models=models) for device, models in found.items()}

    # --- differences that are signed no more ---------------------------------------------------

    def shelved(self) -> dict[str, float]:
        """Since when (Unix seconds) each file has been there without being signed."""
        return dict(self._db.execute("SELECT path, since_s FROM shelved"))

    def set_shelved(self, since_s: Mapping[str, float]) -> None:
        """Note it anew, all of it."""
        with self._transaction():
            self._db.execute("DELETE FROM shelved")
            self._db.executemany("INSERT INTO shelved VALUES (?, ?)", since_s.items())

    # --- rollouts ------------------------------------------------------------------------------

    def next_rollout(self) -> str:
        """Name of the rollout to come."""
        return f"r{1 + max((int(name[1:]) for name in self._rollouts), default=0)}"

    def rollouts(self) -> list[RolloutState]:
        """Every rollout, oldest first."""
        return list(self._rollouts.values())

    def rollout(self, rollout_id: str) -> RolloutState | None:
        """One rollout."""
        return self._rollouts.get(rollout_id)

    def save(self, state: RolloutState, orders: Sequence[Order] = ()) -> None:
        """Keep a rollout together with the orders it just gave: both or neither."""
        with self._transaction():
            number = int(state.id.removeprefix("r"))
            self._db.execute(
                "INSERT INTO rollouts VALUES (?, ?) ON CONFLICT (number) DO UPDATE SET state = excluded.state",
                (number, msgspec.json.encode(state)),
            )
            for order in orders:
                self._wish(order)
        self._rollouts[state.id] = state

    def _wish(self, order: Order) -> None:
        self._db.execute("UPDATE counter SET value = value + 1 WHERE name = 'order'")
        self._db.execute(
            "INSERT INTO wishes VALUES (?, ?, ?, (SELECT value FROM counter WHERE name = 'order'))"
            " ON CONFLICT (device, model) DO UPDATE SET version = excluded.version, number = excluded.number",
            (order.device, order.model, order.version),
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException as exc:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if isinstance(exc, sqlite3.OperationalError) and "full" in str(exc):
                raise DiskFullError(f"control.db cannot grow: {exc}", remedy="free space on the fleet's disk") from exc
            raise
