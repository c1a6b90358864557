"""Line 5: 50 hot swaps at 200 Hz against the same loop without swaps; the old loop's late command; memory."""

import json
import os
import tempfile
import time
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
from prepare import Things
from rig import Agent, Records, Setting, agent, children, placement, read_records
from store import Spread, cell, remembered, spread

from edge_agent.channels import Command
from edge_agent.status import read_status

FPS, SWAPS, PAUSE_S = 200.0, 50, 0.25
NETWORK, SIDE = "m96", 96
LOOP_MIB, GUARD_MIB = 90.0, 25.0


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One agent at 200 Hz."""

    swaps: int
    well: int
    """Swaps that the supervisor said went well."""
    seconds: float
    decisions: int
    dropped: int
    """Frames that were published, and that no loop decided on."""
    twice: int
    """Frames that two loops decided on."""
    late: int
    """Decisions that came more than one period after the frame's capture."""
    age_ms: Spread
    """Captured -> decision handed on."""
    rss_mib: dict[str, float]
    refused_epoch: int = 0
    """What the guard had refused because of its epoch after the old loop's command, less what it had before."""


class Swaps(msgspec.Struct, frozen=True, kw_only=True):
    """With and without."""

    swapping: Run
    steady: Run
    loads: tuple[float, float]

    @property
    def kept(self) -> bool:
        """Whether the line holds."""
        per_second = self.steady.late / max(1e-9, self.steady.seconds)
        late = self.swapping.late <= per_second * self.swapping.seconds + 1
        return not self.swapping.dropped and late and self.swapping.refused_epoch == 1 and self.swapping.well == SWAPS


def measure(folder: Path, things: Things, swaps: int) -> None:
    """Both runs; the steady one takes as long as the other did."""
    swapping = cell(folder / "swaps-swapping.json", Run, lambda: run(things, swaps, 0.0))
    cell(folder / "swaps-steady.json", Run, lambda: run(things, 0, swapping.seconds))


def run(things: Things, swaps: int, seconds: float) -> Run:
    """One agent: `swaps` swaps, or none for `seconds`."""
    wishes = {
        "bundles": [str(things.bundle(NETWORK, version)) for version in (1, 2)],
        "swaps": swaps,
        "pause_s": PAUSE_S,
    }
    with tempfile.TemporaryDirectory(prefix="edge-bench-", dir="/dev/shm") as name:
        folder = Path(name)
        (folder / "nobody.enrol").write_text("{}")  # the uplink of this cell speaks to the supervisor only
        setting = Setting(
            things.bundle(NETWORK), things.frames(SIDE, SIDE), FPS, uplink="swapping_uplink",
            environment={"BENCH_SWAPS": json.dumps(wishes)}, more=placement(),
        )  # fmt: skip
        with agent(folder, setting, folder / "nobody.enrol") as running:
            began_s = time.monotonic()
            log = folder / "records.swaps"
            if swaps:
                running.until(lambda: log.exists() and "end" in log.read_text(), "the last swap", 60 + swaps * 20)
            else:
                time.sleep(seconds)
            took_s, rss = time.monotonic() - began_s, running.rss_mib()
            refused = late_command(running) if swaps else 0
        words = [line.split() for line in log.read_text().splitlines() if line != "end"] if swaps else []
        records = read_records(folder / "records.bin", skip=100)
    return sum_up(records, took_s, rss, swaps, sum(line[2] == "1" for line in words), refused)


def late_command(running: Agent) -> int:
    """Send what the loop of the first epoch might send too late, down its own pipe; how many the guard refused."""
    before = _refused(running)
    pid, words = next((pid, words) for pid, words in children(running.process.pid) if words[3] == "edge_agent.loop")
    pipe = os.open(f"/proc/{pid}/fd/{json.loads(words[4])['commands_fd']}", os.O_WRONLY | os.O_NONBLOCK)
    now_ns = time.monotonic_ns()
    os.write(pipe, Command(1, 1, 2**40, now_ns, now_ns).pack())
    os.close(pipe)
    until_s = time.monotonic() + 10
    while _refused(running) == before and time.monotonic() < until_s:
        time.sleep(0.1)
    return _refused(running) - before


def _refused(running: Agent) -> int:
    status = read_status(running.folder / "state")
    return status.guard.refused_epoch if status.guard else 0


def sum_up(records: Records, seconds: float, rss: dict[str, float], swaps: int, well: int, refused: int) -> Run:
    """Every frame between the first and the last decision was published."""
    seen = Counter(one.frame for one in records.decided)
    ages_ns = records.times("handed_ns", "captured_ns")
    return Run(
        swaps=swaps, well=well, seconds=round(seconds, 1), decisions=len(records.decided),
        dropped=max(seen) - min(seen) + 1 - len(seen), twice=sum(number > 1 for number in seen.values()),
        late=int(np.sum(ages_ns > 1e9 / FPS)), age_ms=spread(ages_ns, 1e6), rss_mib=rss, refused_epoch=refused,
    )  # fmt: skip


def collect(folder: Path) -> Swaps | None:
    """What there is, if both are."""
    swapping, steady = (remembered(folder / f"swaps-{how}.json", Run) for how in ("swapping", "steady"))
    if swapping is None or steady is None:
        return None
    return Swaps(swapping=swapping[1], steady=steady[1], loads=(swapping[0], steady[0]))
