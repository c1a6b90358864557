"""Line 3: the loop's p99 / p50 with the uplink and a busy Python process beside it, and without both, in turns."""

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import msgspec
from fleet_side import fleet_side
from prepare import Things
from rig import Setting, agent, placement, read_records
from store import Spread, cell, remembered, spread

FPS, SECONDS, ROUNDS, LIMIT = 100.0, 15.0, 3, 1.5
NETWORK, SIDE = "m96", 96


class Jitter(msgspec.Struct, frozen=True, kw_only=True):
    """One turn."""

    loop_us: Spread
    """Frame read -> decision handed on, inference included."""

    @property
    def tail(self) -> float:
        """p99 / p50."""
        return self.loop_us.p99 / self.loop_us.p50


class JitterResult(msgspec.Struct, frozen=True, kw_only=True):
    """Medians over the rounds."""

    rounds: int
    alone: float
    beside: float
    ratio: float
    """Of a round, median."""
    alone_us: Spread
    """Of the first round."""
    beside_us: Spread
    loads: tuple[float, ...]

    @property
    def kept(self) -> bool:
        """Whether the line holds."""
        return self.ratio <= LIMIT


def measure(folder: Path, things: Things) -> None:
    """Every turn that is not there yet."""
    for number in range(ROUNDS):
        for busy in (False, True) if number % 2 == 0 else (True, False):
            path = folder / f"jitter-{number}-{'beside' if busy else 'alone'}.json"
            cell(path, Jitter, lambda busy=busy: run(things, busy=busy))  # type: ignore[misc]


def run(things: Things, *, busy: bool) -> Jitter:
    """One agent, for `SECONDS`."""
    setting = Setting(things.bundle(NETWORK), things.frames(SIDE, SIDE), FPS, more=placement())
    with tempfile.TemporaryDirectory(prefix="edge-bench-", dir="/dev/shm") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        enrolment = stack.enter_context(fleet_side(folder)).enrolment if busy else None
        if busy:
            stack.enter_context(busy_python())
        with agent(folder / "agent", setting, enrolment):
            time.sleep(SECONDS)
        return Jitter(loop_us=spread(read_records(folder / "agent" / "records.bin", skip=30).loop_ns(), 1e3))


@contextlib.contextmanager
def busy_python() -> Iterator[None]:
    """A process that computes without end."""
    with subprocess.Popen([sys.executable, "-c", "n = 0\nwhile True:\n    n += 1"]) as process:
        try:
            yield
        finally:
            process.kill()


def collect(folder: Path) -> JitterResult | None:
    """What there is, if every turn is."""
    rounds = []
    for number in range(ROUNDS):
        found = [remembered(folder / f"jitter-{number}-{how}.json", Jitter) for how in ("alone", "beside")]
        if found[0] is not None and found[1] is not None:
            rounds.append((found[0], found[1]))
    if not rounds:
        return None
    return JitterResult(
        rounds=len(rounds),
        alone=round(median(a[1].tail for a, _ in rounds), 2),
        beside=round(median(b[1].tail for _, b in rounds), 2),
        ratio=round(median(b[1].tail / a[1].tail for a, b in rounds), 2),
        alone_us=rounds[0][0][1].loop_us,
        beside_us=rounds[0][1][1].loop_us,
        loads=tuple(a[0] for a, _ in rounds),
    )
