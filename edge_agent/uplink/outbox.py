"""Telemetry that survives a broken line and a power cut: a row is deleted only when the fleet says that it has it.

SQLite keeps the promise (WAL, synchronous=FULL): a row that was sent is never forgotten, so its number is never given
to another row; AUTOINCREMENT keeps numbers from starting again when the table is empty. When the outbox is full the
least useful rows go first: single decisions, then windows, events last; and an event says how many.
"""

import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge.messages import Ack, Batch, Body, DecisionRow, EventRow, Row, WindowRow

BATCH_ROWS = 100
MAX_IN_FLIGHT = 4
RESEND_S = 10.0
_USE = {DecisionRow: 0, WindowRow: 1, EventRow: 2}
"""What is kept longest has the highest number."""
_LAST = 2**62
_TABLES = """
CREATE TABLE IF NOT EXISTS rows (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, use INTEGER NOT NULL, wall_ns INTEGER NOT NULL, mono_ns INTEGER NOT NULL,
  boot_id TEXT NOT NULL, clock_ok INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS by_use ON rows (use, seq);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Stamp:
    """When a row was made, by every clock there is."""

    wall_ns: int
    mono_ns: int
    boot_id: str
    clock_ok: bool


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """A row as it is stored."""

    seq: int
    use: int
    wall_ns: int
    mono_ns: int
    boot_id: str
    clock_ok: int
    """0 or 1, as SQLite has it."""
    body: bytes


@dataclass(slots=True)
class _Flight:
    first: int
    last: int
    sent_s: float


class Outbox:
    """The rows of one device. One thread only."""

    def __init__(
        self,
        path: Path,
        *,
        most_rows: int,
        now_s: Callable[[], float] = time.monotonic,
        most_bytes: int | None = None,
        identity: str = "",
    ) -> None:
        """Open it, or make it. A file that SQLite cannot read is set aside.

        `most_bytes`: size that SQLite may not grow the file beyond. `identity`: of a new one; its own by default.
        """
        self._most_rows, self.now_s = most_rows, now_s
        self._db = _open(path, most_bytes)
        self.id = self._fact("outbox_id", identity or secrets.token_hex(8))
        self.dropped = int(self._fact("dropped", "0"))
        self._session = int(self._fact("starts", "0")) + 1
        self._set("starts", str(self._session))
        self._db.commit()
        self.waiting: int = self._db.execute("SELECT count(*) FROM rows").fetchone()[0]
        """Rows that the fleet has not acknowledged."""
        self._flights: list[_Flight] = []

    @property
    def starts(self) -> int:
        """Times this outbox was opened, this time included: never the same twice."""
        return self._session

    def put(self, bodies: Iterable[Body], stamp: Stamp) -> None:
        """Store rows; returns when they are on the disk. What finds no room is dropped, and counted."""
        rows = [(_USE[type(body)], msgspec.json.encode(body)) for body in bodies]
        if not rows:
            return
        lost = self._make_room(len(rows))
        if not self._insert(rows, stamp):
            lost += self._drop(max(self.waiting // 10, len(rows)))
            lost += 0 if self._insert(rows, stamp) else len(rows)
        if lost:
            self._say_lost(lost, stamp)

    def after(self, seq: int) -> list[Kept]:
        """All rows with higher numbers that the fleet has not acknowledged."""
        found = self._db.execute(
            "SELECT seq, use, wall_ns, mono_ns, boot_id, clock_ok, body FROM rows WHERE seq > ? ORDER BY seq", (seq,)
        )
        return [Kept(*row) for row in found]

    def put_back(self, rows: Iterable[Kept]) -> None:
        """Store rows under the numbers that they had; what is there already is left."""
        before = self._db.total_changes
        self._db.executemany(
            "INSERT OR IGNORE INTO rows (seq, use, wall_ns, mono_ns, boot_id, clock_ok, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            [msgspec.structs.astuple(row) for row in rows],
        )
        self.waiting += self._db.total_changes - before
        self._db.commit()

    def batches(self) -> list[Batch]:
        """What to send now: batches that were not acknowledged in time, then new ones; at most 4 are under way."""
        now_s, due = self.now_s(), []
        for flight in [f for f in self._flights if now_s - f.sent_s >= RESEND_S]:
            if rows := self._rows(flight.first, flight.last):
                flight.sent_s = now_s
                due.append(self._batch(flight, rows))
            else:  # all of them were dropped meanwhile
                self._flights.remove(flight)
        while len(self._flights) < MAX_IN_FLIGHT:
            rows = self._rows(max((f.last for f in self._flights), default=0) + 1, _LAST)
            if not rows:
                break
            self._flights.append(_Flight(rows[0].seq, rows[-1].seq, now_s))
            due.append(self._batch(self._flights[-1], rows))
        return due

    def acknowledge(self, ack: Ack) -> None:
        """Delete exactly the rows that the fleet has; an acknowledgement for another outbox changes nothing."""
        if ack.outbox_id != self.id:
            return
        try:
            self._delete("seq BETWEEN ? AND ?", (ack.first_seq, ack.last_seq))
        except sqlite3.OperationalError as exc:
            self._db.rollback()
            if not takes_nothing(exc):
                raise
            return  # deleting takes room, too: they are under way still, and so sent once more, in a while
        self._flights = [f for f in self._flights if not ack.first_seq <= f.first <= f.last <= ack.last_seq]

    def line_lost(self) -> None:
        """The connection ended: whatever was under way is sent again after the next one."""
        self._flights.clear()

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    # --- rows ------------------------------------------------------------------------------------

    def _batch(self, flight: _Flight, rows: tuple[Row, ...]) -> Batch:
        return Batch(outbox_id=self.id, first_seq=flight.first, last_seq=flight.last, rows=rows)

    def _rows(self, first: int, last: int) -> tuple[Row, ...]:
        found = self._db.execute(
            "SELECT seq, wall_ns, mono_ns, boot_id, clock_ok, body FROM rows"
            " WHERE seq BETWEEN ? AND ? ORDER BY seq LIMIT ?",
            (first, last, BATCH_ROWS),
        )
        return tuple(
            Row(seq=seq, wall_ns=wall, mono_ns=mono, boot_id=boot, clock_ok=bool(ok), body=msgspec.Raw(body))
            for seq, wall, mono, boot, ok, body in found
        )

    def _insert(self, rows: list[tuple[int, bytes]], stamp: Stamp) -> bool:
        """Say whether there was room for all of them; else none is stored."""
        when = (stamp.wall_ns, stamp.mono_ns, stamp.boot_id, stamp.clock_ok)
        try:
            self._db.executemany(
                "INSERT INTO rows (use, wall_ns, mono_ns, boot_id, clock_ok, body) VALUES (?, ?, ?, ?, ?, ?)",
                [(use, *when, body) for use, body in rows],
            )
            self._db.commit()
        except sqlite3.OperationalError as exc:
            self._db.rollback()
            if "full" in str(exc):
                return False
            raise
        self.waiting += len(rows)
        return True

    def _make_room(self, count: int) -> int:
        over = self.waiting + count - self._most_rows
        return self._drop(max(over, self._most_rows // 100)) if over > 0 else 0

    def _drop(self, count: int) -> int:
        """Delete the least useful rows, the oldest of them first; on a disk so full that even this fails, none."""
        try:
            return self._delete("seq IN (SELECT seq FROM rows ORDER BY use, seq LIMIT ?)", (count,))
        except sqlite3.OperationalError:
            self._db.rollback()
            return 0

    def _delete(self, where: str, values: tuple[int, ...]) -> int:
        gone = self._db.execute(f"DELETE FROM rows WHERE {where}", values).rowcount  # noqa: S608 -- our own words
        self._db.commit()
        self.waiting -= gone
        return gone

    def _say_lost(self, lost: int, stamp: Stamp) -> None:
        self.dropped += lost
        text = f"the outbox was full: {lost} rows were dropped, {self.dropped} since it was made"
        if self._insert([(_USE[EventRow], msgspec.json.encode(EventRow(kind="outbox", text=text)))], stamp):
            self._set("dropped", str(self.dropped))
            self._db.commit()

    # --- facts -----------------------------------------------------------------------------------

    def _fact(self, name: str, otherwise: str) -> str:
        self._db.execute("INSERT OR IGNORE INTO facts VALUES (?, ?)", (name, otherwise))
        return str(self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()[0])

    def _set(self, name: str, value: str) -> None:
        self._db.execute("UPDATE facts SET value = ? WHERE name = ?", (value, name))


def takes_nothing(error: sqlite3.OperationalError) -> bool:
    """Whether the disk is full, or fails."""
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)  # the lower byte of it


def _open(path: Path, most_bytes: int | None) -> sqlite3.Connection:
    try:
        return _connect(path, most_bytes)
    except sqlite3.DatabaseError as exc:
        if isinstance(exc, sqlite3.OperationalError):  # busy, full, not allowed: the file itself may be well
            raise
    for part in path.parent.glob(f"{path.name}*"):
        if not part.name.endswith(".damaged"):
            part.replace(part.with_name(f"{part.name}.damaged"))
    return _connect(path, most_bytes)


def _connect(path: Path, most_bytes: int | None) -> sqlite3.Connection:
    db = sqlite3.connect(path, check_same_thread=True)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    if most_bytes:
        page_bytes = db.execute("PRAGMA page_size").fetchone()[0]
        db.execute(f"PRAGMA max_page_count={most_bytes // page_bytes}")
    db.executescript(_TABLES)
    return db
