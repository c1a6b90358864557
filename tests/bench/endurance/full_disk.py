"""The disk is full from each step of an update on: `python full_disk.py [--rounds 3] [--outbox disk]`. Needs root.

The state folder lies on a tmpfs of 64 MiB. When the journal says a step, the uplink is stopped (SIGSTOP), the rest of
the tmpfs is filled, and the uplink goes on. The old model must go on deciding; the update ends COMMITTED, or FAILED
with the reason DISK_FULL. Then the agent is started anew on the disk that is still full, room is made, and a new order
must succeed.
"""

import argparse
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from endurance_page import write_page
from rig import STEPS, VERSIONS, Device, StuckError, group_members, make_bundle, remark, remember, running_fleet, until

from edge_agent.actuators.recorder import read_lines

SIZE_BYTES, DISK_MIB = 3_000_000, 64
PIECE_BYTES = 1 << 16


@contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """A tmpfs; descriptors of nobody may be left open in it."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path) -> None:
    """Take every byte."""
    with (place / "ballast").open("ab", buffering=0) as file:
        size = PIECE_BYTES
        while size:
            try:
                file.write(b"x" * size)
            except OSError:
                size //= 2


def uplink(device: Device) -> int:
    """The process that updates."""
    return next(pid for pid, words in group_members(device.process.pid).items() if "uplink.process" in words)


def serves(device: Device) -> bool:
    """Whether decisions go on."""
    now_ns = time.monotonic_ns()

    def fresh() -> bool:
        lines = read_lines(device.fleet.record(device.name))[-5:]
        return bool(lines) and all(line.captured_ns > now_ns and not line.safe for line in lines)

    return bool(until(fresh, "decisions", 60))


def strike(device: Device, place: Path, step: str) -> dict[str, Any]:
    """One order on a disk that is full from `step` on (empty: before the order)."""
    running, version = device.entry().running, device.another()
    if not step:
        fill(place)
    device.order(version)
    if step:
        device.reach(step, version)
        pid = uplink(device)
        os.kill(pid, signal.SIGSTOP)
        fill(place)
    hit = device.entry().state if step else "before it"
    if step:
        os.kill(pid, signal.SIGCONT)
    until(lambda: device.entry().attempted == version, "the order")
    entry = device.await_rest()
    serves(device)
    result = {
        "wanted": step,
        "hit": hit,
        "ended": entry.state,
        "reason": entry.reason.partition(":")[0],
        "from": running,
    }
    device.stop()
    device.start()
    device.await_verified()
    until(lambda: uplink_runs(device), "the uplink on a full disk", 60)
    result["restarted"] = device.status()["version"]
    (place / "ballast").unlink()
    for _ in range(4):
        device.order(version)
        with suppress(StuckError):
            until(lambda: device.entry().running == version, "the update after room was made", 60)
            break
    return result | {"after": device.await_rest().running == version}


def uplink_runs(device: Device) -> bool:
    """Whether it has said something since the start."""
    with suppress(OSError):
        return (device.state_dir / "run" / "update.json").stat().st_mtime_ns > device.began_wall_ns
    return False


def main() -> None:
    """Each step some times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--outbox", default="spill", help="where telemetry waits; `disk` shares the full one")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="edge-full-") as top,
        small_disk(Path(top) / "disk") as place,
        running_fleet(Path(top)) as fleet,
    ):
        for version in VERSIONS:
            text = remark(version, SIZE_BYTES)
            fleet.publish(make_bundle(fleet.folder, version, gain=20.0 + version, remark=text))
        device = Device(
            fleet, "car-full", model="colours", fleet_keys={"outbox": options.outbox}, state_dir=place / "state"
        )
        device.install_first()
        for _ in range(options.rounds):
            for step in ("", *STEPS):
                line = strike(device, place, step)
                line["outbox"] = options.outbox
                remember("full_disk", line)
                print(line, flush=True)
        device.stop()
    write_page()


if __name__ == "__main__":
    main()
