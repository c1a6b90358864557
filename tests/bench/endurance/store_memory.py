"""What the fleet's database keeps in memory while it grows: `python store_memory.py`.

The soak shows that ingest and web grow. Here the same store takes 120,000 rows in a few seconds: its memory must stop
growing when SQLite's page cache is full, long before the rows end.
"""

import tempfile
import time
from pathlib import Path

import msgspec
from endurance_page import write_page
from in_service import WINDOW, must_have_windows
from rig import remember

from edge.messages import Batch, Row
from fleet.store import open_store

BATCHES, BATCH_ROWS, LOOKS = 1200, 100, 12


def rss_mib() -> float:
    """Resident set of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) / 1024


def main() -> None:
    """Fill, look now and then, and keep the result."""
    body = msgspec.Raw(msgspec.json.encode(WINDOW))
    with tempfile.TemporaryDirectory(prefix="edge-store-") as top:
        store = open_store(f"sqlite:///{top}/telemetry.db")
        found = []
        for number in range(BATCHES):
            first = number * BATCH_ROWS + 1
            seqs = range(first, first + BATCH_ROWS)
            rows = tuple(Row(seq=seq, wall_ns=1, mono_ns=seq, boot_id="b", clock_ok=True, body=body) for seq in seqs)
            batch = Batch(outbox_id="o", first_seq=first, last_seq=seqs[-1], rows=rows)
            store.ingest("car", batch, time.time_ns())
            if (number + 1) % (BATCHES // LOOKS) == 0:
                found.append({"rows": seqs[-1], "rss_mib": round(rss_mib(), 2)})
        store.close()
        must_have_windows(Path(top) / "telemetry.db", "car", BATCHES * BATCH_ROWS)
    remember("store", {"looks": found})
    write_page()


if __name__ == "__main__":
    main()
