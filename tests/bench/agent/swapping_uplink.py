"""In the place of the uplink process: asks the supervisor for one switch after the other, as an update does.

Of BENCH_SWAPS (JSON: bundle, versions, pause_s) it stages a version, switches, lets it decide and retires the old one.
It keeps all records in BENCH_RECORDS, and appends when it asked for each switch to BENCH_RECORDS.swaps.
"""

import os
import select
import sys
import threading
import time
from pathlib import Path

import msgspec

from edge_agent.uplink.seat import SupervisorSeat
from edge_agent.uplink.spec import UplinkSpec


class Wishes(msgspec.Struct, frozen=True):
    """What BENCH_SWAPS says."""

    bundles: tuple[str, ...]
    """Taken in turns."""
    swaps: int
    pause_s: float


def swap(seat: SupervisorSeat, model: str, wishes: Wishes, log: Path) -> None:
    """All switches, one line each: when it was asked, when it was done, and whether all went well."""
    time.sleep(wishes.pause_s)
    with log.open("a", buffering=1) as lines:
        for number in range(wishes.swaps):
            bundle = Path(wishes.bundles[(number + 1) % len(wishes.bundles)])
            staged = seat.stage(bundle, model, number + 2)
            asked_ns = time.monotonic_ns()
            switched = seat.switch()
            time.sleep(wishes.pause_s)
            retired = seat.retire()
            well = staged.ok and switched.ok and retired.ok
            lines.write(f"{asked_ns} {time.monotonic_ns()} {well:d} {staged.reason or switched.reason}\n")
        lines.write("end\n")


def main() -> None:
    """Copy records until the supervisor is gone."""
    import socket

    spec = msgspec.json.decode(sys.argv[1], type=UplinkSpec)
    wishes = msgspec.json.decode(os.environ["BENCH_SWAPS"], type=Wishes)
    kept = Path(os.environ["BENCH_RECORDS"])
    out = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    line = socket.socket(fileno=spec.control_fd)
    seat = SupervisorSeat(
        line, version=spec.version, probation_s=1, quiet_s=1,
        on_health=lambda _: None, on_fault=lambda fault: sys.stderr.write(f"{fault}\n"), on_notice=lambda _: None,
    )  # fmt: skip
    os.set_blocking(spec.records_fd, False)
    asking = threading.Thread(target=swap, args=(seat, spec.model, wishes, kept.with_suffix(".swaps")), daemon=True)
    asking.start()
    while True:
        ready, _, _ = select.select([line, spec.records_fd], [], [], 1.0)
        if line in ready and not seat.receive():
            return
        if spec.records_fd in ready:
            os.write(out, os.read(spec.records_fd, 1 << 16))


if __name__ == "__main__":
    main()
