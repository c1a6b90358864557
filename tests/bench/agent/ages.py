"""Line 2: how old a frame is when the actuator moves, with a model slower than the camera; and whether it grows.

The network keeps its processor busy all the time, so the loop has no real-time priority: Linux would hold it up for
50 ms each second.
"""

import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np
from prepare import SLOW, SLOW_SIDE, Things
from rig import Records, Setting, agent, placement, read_records
from store import Spread, cell, remembered, spread

RATES = (30.0, 60.0, 120.0)
SLACK_MS, SHARE = 5.0, 1.2
PART = 0.25
"""Growth: the median of the last quarter less that of the first."""
STEADY_MS = 2.0


class Ages(msgspec.Struct, frozen=True, kw_only=True):
    """One rate."""

    fps: float
    seconds: float
    decisions: int
    age_ms: Spread
    invoke_ms: Spread
    limit_ms: float
    """One period + 1.2 x inference (its median) + 5 ms."""
    growth_ms: float
    load: float = 0.0

    @property
    def kept(self) -> bool:
        """Whether the line holds."""
        return self.age_ms.p99 <= self.limit_ms and self.growth_ms <= STEADY_MS


def measure(folder: Path, things: Things, seconds: float) -> None:
    """Every rate that is not there yet."""
    for fps in RATES:
        cell(folder / f"age-{fps:g}.json", Ages, lambda fps=fps: run(things, fps, seconds))  # type: ignore[misc]


def run(things: Things, fps: float, seconds: float) -> Ages:
    """One agent."""
    setting = Setting(things.bundle(SLOW), things.frames(SLOW_SIDE, SLOW_SIDE), fps, more=placement(urgent=False))
    with tempfile.TemporaryDirectory(prefix="edge-bench-", dir="/dev/shm") as name:
        with agent(Path(name), setting):
            time.sleep(seconds)
        return sum_up(read_records(Path(name) / "records.bin", skip=20), fps, seconds)


def sum_up(records: Records, fps: float, seconds: float) -> Ages:
    """Figures of one run."""
    ages_ms, invoke_ms = records.age_ns() / 1e6, spread(records.invoke_ns(), 1e6)
    part = max(1, int(len(ages_ms) * PART))
    return Ages(
        fps=fps,
        seconds=seconds,
        decisions=len(records.decided),
        age_ms=spread(ages_ms),
        invoke_ms=invoke_ms,
        limit_ms=round(1000 / fps + SHARE * invoke_ms.p50 + SLACK_MS, 2),
        growth_ms=round(float(np.median(ages_ms[-part:]) - np.median(ages_ms[:part])), 2),
    )


def collect(folder: Path) -> tuple[Ages, ...]:
    """What there is."""
    found = (remembered(folder / f"age-{fps:g}.json", Ages) for fps in RATES)
    return tuple(msgspec.structs.replace(one[1], load=one[0]) for one in found if one is not None)
