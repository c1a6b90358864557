"""`control_timer.py OUT CPU PRIORITY`: how late this machine wakes a process that has only to wake on time.

It waits as the guard does: select with a timeout, off processor CPU, with real-time PRIORITY (-1: none, of both); 20 ms
at a time, until SIGTERM. Then it writes its latenesses in nanoseconds to OUT, as JSON.
"""

import json
import select
import signal
import sys
import time
from pathlib import Path

from edge_agent.cores import be_urgent, keep_off

PERIOD_NS = 20_000_000


def main() -> None:
    """Until SIGTERM."""
    running, late_ns, (out, cpu, priority) = True, [], sys.argv[1:]
    keep_off(int(cpu) if int(cpu) >= 0 else None)
    if int(priority) > 0:
        be_urgent(int(priority))

    def stop(*_: object) -> None:
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, stop)
    due_ns = time.monotonic_ns()
    while running:
        due_ns = max(due_ns + PERIOD_NS, time.monotonic_ns())
        while (left_ns := due_ns - time.monotonic_ns()) > 0:
            select.select([], [], [], left_ns / 1e9)
        late_ns.append(time.monotonic_ns() - due_ns)
    Path(out).write_text(json.dumps(late_ns))


if __name__ == "__main__":
    main()
