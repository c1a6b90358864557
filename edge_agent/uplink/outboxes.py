"""All telemetry of one device that waits: the outbox of this life, and what earlier lives left on the disk.

Where the own outbox lies in memory, it spares the flash: while the fleet answers, nothing is written. Otherwise all
rows that wait are appended to one file at `SPILL_S` after the first of them, soon after an event, and at the end. A
power cut takes what came since; no row is ever doubled, since each life of the memory has an identity of its own, and
rows that come back from the disk keep the one that they had.
"""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from edge.errors import EdgeError
from edge.messages import Ack, Batch, Body, EventRow
from edge_agent.disk import Disk, RealDisk
from edge_agent.uplink import backlog
from edge_agent.uplink.outbox import Outbox, Stamp

SPILL_S = 600.0
EVENT_SPILL_S = 10.0
"""An event is what one asks for after a power cut; within this the fleet has it, if it is there."""
MEMORY_BYTES = 32 << 20
"""Of one life's rows in memory; what finds no room is dropped as on a full disk."""
FILE_BYTES = 32 << 20
"""A file that grew beyond this is written anew, with the rows that still wait."""


class Outboxes:
    """What `Outbox` offers, over the rows of this life and of earlier ones. One thread only."""

    def __init__(
        self, own: Outbox, *, memory: Path, folder: Path, spills: bool, most_rows: int, disk: Disk | None = None
    ) -> None:
        """Take back what earlier lives left on the disk.

        Args:
            own: the outbox of this life.
            memory: a folder on tmpfs.
            folder: on the disk, for what is spilled; made when it is needed.
            spills: whether rows of `own` that wait for long go there.
            most_rows: of each earlier life.
            disk: how to reach `folder`.
        """
        self._own, self._spills, self._most_rows, self._now_s = own, spills, most_rows, own.now_s
        self._disk, self._folder, self._memory = disk or RealDisk(), folder, memory
        self._left = {file: len(list(backlog.read(self._disk, file))) for file in self._files()}
        """Files of earlier lives that were not opened yet, and how many rows they hold."""
        self._earlier = self._open_next()
        self._on_disk = self._last_on_disk()
        self._due_s = float("inf")

    @property
    def waiting(self) -> int:
        """Rows that the fleet has not acknowledged."""
        return sum(outbox.waiting for outbox in self._all()) + sum(self._left.values())

    @property
    def dropped(self) -> int:
        """Rows that found no room, in this life."""
        return self._own.dropped

    def put(self, bodies: Iterable[Body], stamp: Stamp) -> None:
        """Store rows in memory, and all that wait on the disk if it is time for that."""
        rows = list(bodies)
        self._own.put(rows, stamp)
        if rows and self._spills:
            patience_s = EVENT_SPILL_S if any(isinstance(row, EventRow) for row in rows) else SPILL_S
            self._due_s = min(self._due_s, self._now_s() + patience_s)
        if self._now_s() >= self._due_s:
            self.spill()

    def batches(self) -> list[Batch]:
        """What to send now, the oldest life first."""
        return list(chain.from_iterable(outbox.batches() for outbox in self._all()))

    def acknowledge(self, ack: Ack) -> None:
        """Forget exactly the rows that the fleet has; a file whose rows it all has is deleted."""
        for outbox in self._all():
            outbox.acknowledge(ack)
        while self._earlier is not None and not self._earlier.waiting:
            self._forget(self._earlier)
            self._earlier = self._open_next()
        if not self._own.waiting:
            self._due_s = float("inf")
            if self._on_disk:
                self._disk.unlink(self._file(self._own.id))
                self._on_disk = 0

    def line_lost(self) -> None:
        """The connection ended: whatever was under way is sent again after the next one."""
        for outbox in self._all():
            outbox.line_lost()

    def spill(self) -> None:
        """Put on the disk what waits and is not there yet. A disk that is full is tried again later."""
        self._due_s = float("inf")
        if not self._spills:
            return
        file = self._file(self._own.id)
        try:
            is_full = (self._disk.size(file) or 0) > FILE_BYTES
            if rows := self._own.after(0 if is_full else self._on_disk):
                (backlog.rewrite if is_full else backlog.append)(self._disk, file, rows)
                self._on_disk = rows[-1].seq
        except EdgeError:
            self._due_s = self._now_s() + SPILL_S

    # --- lives -----------------------------------------------------------------------------------

    def _all(self) -> list[Outbox]:
        return [self._own] if self._earlier is None else [self._earlier, self._own]

    def _open_next(self) -> Outbox | None:
        """One earlier life at a time: a device may start a thousand times before the fleet answers."""
        if not self._left:
            return None
        file = next(iter(self._left))
        del self._left[file]
        identity = file.name.removesuffix(backlog.SUFFIX)
        name = _name_of(identity)
        is_killed = (self._memory / name).exists()  # the process, not the machine: what was acknowledged is known
        outbox = Outbox(
            self._memory / name,
            most_rows=self._most_rows,
            now_s=self._now_s,
            most_bytes=MEMORY_BYTES,
            identity=identity,
        )
        if not is_killed:
            outbox.put_back(backlog.read(self._disk, file))
        return outbox

    def _forget(self, outbox: Outbox) -> None:
        outbox.close()
        for part in self._memory.glob(f"{_name_of(outbox.id)}*"):
            part.unlink()
        self._disk.unlink(self._file(outbox.id))

    # --- files -----------------------------------------------------------------------------------

    def _file(self, identity: str) -> Path:
        return self._folder / f"{identity}{backlog.SUFFIX}"

    def _files(self) -> list[Path]:
        own = self._file(self._own.id).name
        names = [name for name in self._disk.names(self._folder) if name.endswith(backlog.SUFFIX) and name != own]
        return [self._folder / name for name in names]

    def _last_on_disk(self) -> int:
        file = self._file(self._own.id)
        return max((row.seq for row in backlog.read(self._disk, file)), default=0) if self._disk.size(file) else 0


def _name_of(identity: str) -> str:
    return f"outbox-{identity}.sqlite"
