"""Where the outbox lies: on the disk, in memory, or in memory with a copy on the disk of what waits for long.

Memory is tmpfs: it survives its own process, not the agent's end or a power cut. A new one has a new identity, so its
numbers are nobody else's; only the count of starts must go on, and is one small file.
"""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from edge.errors import DiskFullError
from edge_agent.disk import Disk, RealDisk, replace_file
from edge_agent.uplink import backlog
from edge_agent.uplink.outbox import Outbox, takes_nothing
from edge_agent.uplink.outboxes import MEMORY_BYTES, Outboxes
from edge_agent.uplink.spec import Keeping

ON_DISK = "outbox.sqlite"
DIGITS = 20
"""Of the count of starts: always as long, so that it can be written over."""


def open_outbox(
    state_dir: Path, *, most_rows: int, keeping: Keeping, now_s: Callable[[], float] = time.monotonic
) -> tuple[Outboxes, int]:
    """Open it; also returns how often this device has started its uplink, this time included."""
    memory, folder = state_dir / "run", state_dir / "outbox"
    memory.mkdir(parents=True, exist_ok=True)
    on_disk = _on_disk(state_dir / ON_DISK, most_rows, now_s) if keeping == "disk" else None
    if on_disk is not None:
        own, starts = on_disk, on_disk.starts
        _move_over(memory / ON_DISK, folder, most_rows)
    else:
        starts = 0 if keeping == "disk" else _move_over(state_dir / ON_DISK, folder, most_rows)
        own = Outbox(memory / ON_DISK, most_rows=most_rows, now_s=now_s, most_bytes=MEMORY_BYTES)
    spills = on_disk is None and keeping != "memory"
    outboxes = Outboxes(own, memory=memory, folder=folder, spills=spills, most_rows=most_rows)
    return outboxes, count_start(RealDisk(), state_dir / "starts", at_least=starts)


def _on_disk(file: Path, most_rows: int, now_s: Callable[[], float]) -> Outbox | None:
    """None where the disk takes nothing: then memory must do until the next start, or nobody would hear of it."""
    try:
        return Outbox(file, most_rows=most_rows, now_s=now_s)
    except sqlite3.OperationalError as exc:
        if not takes_nothing(exc):
            raise
        return None


def _move_over(file: Path, folder: Path, most_rows: int) -> int:
    """Take the rows along that were kept elsewhere, if there is room; returns the count of starts of that outbox."""
    old = _on_disk(file, most_rows, time.monotonic) if file.exists() else None
    if old is None:
        return 0
    with closing(old), suppress(DiskFullError):
        if old.waiting:
            backlog.append(RealDisk(), folder / f"{old.id}{backlog.SUFFIX}", old.after(0))
        for part in file.parent.glob(f"{file.name}*"):
            part.unlink()
    return old.starts


def count_start(disk: Disk, file: Path, *, at_least: int) -> int:
    """One more than the file says; a file that cannot be read says nothing, as on a new device.

    A disk that is full must not keep the uplink from saying so: the number is then written over the old one, which
    takes no room; if it has none either, this start's is not remembered.
    """
    try:
        starts = int(disk.read(file)) + 1
    except (FileNotFoundError, ValueError):
        starts = 1
    starts = max(starts, at_least)
    data = str(starts).rjust(DIGITS).encode()
    try:
        replace_file(disk, file, data)
    except DiskFullError:
        with suppress(DiskFullError, FileNotFoundError):
            disk.write(file, 0, data)
            disk.sync_file(file)
    return starts
