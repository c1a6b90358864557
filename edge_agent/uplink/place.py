"""Where the outbox lies: on the disk, in memory, or in memory with a copy on the disk of what waits for long.

Memory is tmpfs: it survives its own process, not the agent's end or a power cut. A new one has a new identity, so its
numbers are nobody else's; only the count of starts must go on, and is one small file.
"""

import time
from collections.abc import Callable
from pathlib import Path

from edge_agent.disk import RealDisk, replace_file
from edge_agent.uplink import backlog
from edge_agent.uplink.outbox import Outbox
from edge_agent.uplink.outboxes import MEMORY_BYTES, Outboxes
from edge_agent.uplink.spec import Keeping

ON_DISK = "outbox.sqlite"


def open_outbox(
    state_dir: Path, *, most_rows: int, keeping: Keeping, now_s: Callable[[], float] = time.monotonic
) -> tuple[Outboxes, int]:
    """Open it; also returns how often this device has started its uplink, this time included."""
    memory, folder = state_dir / "run", state_dir / "outbox"
    memory.mkdir(parents=True, exist_ok=True)
    if keeping == "disk":
        own = Outbox(state_dir / ON_DISK, most_rows=most_rows, now_s=now_s)
        starts = own.starts
    else:
        starts = _move_over(state_dir / ON_DISK, folder, most_rows)
        own = Outbox(memory / ON_DISK, most_rows=most_rows, now_s=now_s, most_bytes=MEMORY_BYTES)
    outboxes = Outboxes(own, memory=memory, folder=folder, spills=keeping == "spill", most_rows=most_rows)
    return outboxes, _count_start(state_dir / "starts", at_least=starts)


def _move_over(file: Path, folder: Path, most_rows: int) -> int:
    """Take the rows along that were kept with `disk`; returns its count of starts."""
    if not file.exists():
        return 0
    old = Outbox(file, most_rows=most_rows)
    if old.waiting:
        backlog.append(RealDisk(), folder / f"{old.id}{backlog.SUFFIX}", old.after(0))
    old.close()
    for part in file.parent.glob(f"{file.name}*"):
        part.unlink()
    return old.starts


def _count_start(file: Path, *, at_least: int) -> int:
    """One more than the file says; a file that cannot be read says nothing, as on a new device."""
    try:
        starts = int(file.read_text()) + 1
    except (FileNotFoundError, ValueError):
        starts = 1
    starts = max(starts, at_least)
    replace_file(RealDisk(), file, str(starts).encode())
    return starts
