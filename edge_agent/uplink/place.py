"""Where the outbox lies: on the disk, or in memory where a second's telemetry is not worth a write to flash.

In memory it survives its own process, not the agent's end or a power cut. A new one has a new identity, so its numbers
are nobody else's; only the count of starts must go on, and is one small file.
"""

from pathlib import Path

from edge_agent.uplink.outbox import Outbox

MEMORY_BYTES = 32 << 20
"""Of an outbox in memory; what finds no room is dropped as on a full disk."""


def open_outbox(state_dir: Path, *, most_rows: int, in_memory: bool) -> tuple[Outbox, int]:
    """Open it; also returns how often this device has started its uplink, this time included."""
    if not in_memory:
        outbox = Outbox(state_dir / "outbox.sqlite", most_rows=most_rows)
        return outbox, outbox.starts
    (state_dir / "run").mkdir(parents=True, exist_ok=True)
    outbox = Outbox(state_dir / "run" / "outbox.sqlite", most_rows=most_rows, most_bytes=MEMORY_BYTES)
    return outbox, _count_start(state_dir / "starts")


def _count_start(file: Path) -> int:
    """One more than the file says; a file that cannot be read says nothing, as on a new device."""
    try:
        starts = int(file.read_text()) + 1
    except (FileNotFoundError, ValueError):
        starts = 1
    fresh = file.with_suffix(".new")
    fresh.write_text(str(starts))
    fresh.replace(file)
    return starts
