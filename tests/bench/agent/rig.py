"""Runs the real agent for a cell: all its processes, on noise, with a recorder as the actuator.

Its records (stamps of loop and guard for each frame) land in a file, which is read when the agent has ended.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.bundle import open_bundle
from edge.errors import BadConfigError
from edge_agent.cores import Placement
from edge_agent.records import RECORD_BYTES, Applied, Decided, unpack

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[3]
PATIENCE_S = 90.0
"""A model may take long to load on a busy machine."""
PRIORITY, REHEARSE_MS = 50, 0.8
WINDOW_S = 0.012
"""A window ends with the first records after it, which come every 10 ms: so 50 messages a second."""


def placement(*, urgent: bool = True) -> dict[str, Any]:
    """A loop that rehearses, with a processor to itself and a real-time priority as far as this machine allows."""
    cores, wanted = sorted(os.sched_getaffinity(0)), {"rehearse_ms": REHEARSE_MS, "rehearse_inference": True}
    if len(cores) > 1:
        wanted["cpu"] = cores[-1]
    if urgent and may_be_urgent():
        wanted["priority"] = PRIORITY
    return {"loop": wanted}


def may_be_urgent() -> bool:
    """Whether this user may have a real-time priority."""
    try:
        Placement(None, PRIORITY)
    except BadConfigError:
        return False
    return True


@dataclass(frozen=True)
class Setting:
    """What a cell asks of the agent; `more` replaces keys of its configuration."""

    bundle: Path
    frames: Path
    fps: float
    uplink: str = "keeping_uplink"
    environment: dict[str, str] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)


@dataclass
class Agent:
    """One that runs."""

    folder: Path
    process: "subprocess.Popen[bytes]"

    @property
    def records_path(self) -> Path:
        """Where loop and guard's records go."""
        return self.folder / "records.bin"

    def decisions(self) -> int:
        """How many records there are, roughly two a decision."""
        return self.records_path.stat().st_size // RECORD_BYTES if self.records_path.exists() else 0

    def until(self, done: Callable[[], object], what: str, limit_s: float = PATIENCE_S) -> None:
        """Poll. Raises `SystemExit` with the agent's last words."""
        until_s = time.monotonic() + limit_s
        while not done():
            if self.process.poll() is not None or time.monotonic() > until_s:
                raise SystemExit(f"waited in vain for {what}: {(self.folder / 'log.txt').read_text()[-2000:]}")
            time.sleep(0.02)

    def pids(self) -> dict[str, int]:
        """By module, the last word of its name: loop, guard, capture ... Where two loops run, the older one."""
        found: dict[str, int] = {}
        for pid, words in children(self.process.pid):
            found.setdefault(words[3].rpartition(".")[2], pid)
        return found

    def rss_mib(self) -> dict[str, float]:
        """Resident memory of each process, what it shares with others included."""
        return {name: _rss_mib(pid) for name, pid in self.pids().items()}


def children(parent: int) -> list[tuple[int, list[str]]]:
    """Process id and command line of what the supervisor has started, in the order of their ids."""
    found = []
    for pid in sorted(int(place.name) for place in Path("/proc").glob("[0-9]*")):
        with contextlib.suppress(OSError, IndexError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            if int(fields[1]) == parent and fields[0] != "Z" and len(words) > 4:
                found.append((pid, words))
    return found


@contextlib.contextmanager
def agent(folder: Path, setting: Setting, enrolment: Path | None = None) -> Iterator[Agent]:
    """Run an agent until the end of the block; it has made its first decisions when the block begins."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "agent.yaml"
    config.write_bytes(msgspec.json.encode(_config(setting, enrolment)))  # JSON is YAML
    kept = folder / "records.bin"
    paths = [str(ROOT), str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | setting.environment | {
        "BENCH_RECORDS": str(kept), "BENCH_FOLDER": str(folder), "PYTHONPATH": os.pathsep.join(paths),
    }  # fmt: skip
    command = [sys.executable, str(HERE / "run_agent.py"), str(config), str(setting.bundle), setting.uplink, str(kept)]
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stderr=log)
    running = Agent(folder, process)
    try:
        running.until(lambda: running.decisions() > 20, "the first decisions")
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _config(setting: Setting, enrolment: Path | None) -> dict[str, Any]:
    manifest = open_bundle(setting.bundle).manifest
    config: dict[str, Any] = {
        "device": "bench",
        "model": manifest.name,
        "state_dir": "state",
        "source": {"kind": "frames", "path": str(setting.frames), "fps": setting.fps},
        "decider": {"kind": "classify", "go": list(manifest.labels), "floor": 0.0, "hold_s": 0.0},
        "actuators": [{"kind": "recorder", "path": "applied.txt", "max_age_ms": 60_000.0}],
    }
    if enrolment is not None:
        config["fleet"] = {"enrol": str(enrolment), "target": manifest.target, "window_s": WINDOW_S}
    return config | setting.more


@dataclass(frozen=True)
class Records:
    """What loop and guard wrote, in nanoseconds; `applied` only what was no safe stop."""

    decided: tuple[Decided, ...]
    applied: tuple[Applied, ...]

    def times(self, later: str, earlier: str) -> NDArray[np.int64]:
        """Between two stamps of each decision."""
        return np.array([getattr(one, later) - getattr(one, earlier) for one in self.decided], np.int64)

    def loop_ns(self) -> NDArray[np.int64]:
        """Newest frame read -> decision handed to the guard."""
        return self.times("handed_ns", "read_ns")

    def invoke_ns(self) -> NDArray[np.int64]:
        """Inference."""
        return self.times("invoke_end_ns", "invoke_start_ns")

    def wake_ns(self) -> NDArray[np.int64]:
        """Published -> read."""
        return self.times("read_ns", "published_ns")

    def capture_ns(self) -> NDArray[np.int64]:
        """Captured -> published: resizing, and copying into the ring."""
        return self.times("published_ns", "captured_ns")

    def age_ns(self) -> NDArray[np.int64]:
        """Captured -> applied by the guard."""
        return np.array([one.applied_ns - one.captured_ns for one in self.applied], np.int64)


def read_records(path: Path, *, skip: int = 0) -> Records:
    """Read a file of records; the first `skip` decisions are not counted."""
    data = path.read_bytes()
    found = [
        unpack(data[at : at + RECORD_BYTES]) for at in range(0, len(data) // RECORD_BYTES * RECORD_BYTES, RECORD_BYTES)
    ]
    decided = [one for one in found if isinstance(one, Decided)]
    applied = [one for one in found if isinstance(one, Applied) and not one.safe]
    return Records(tuple(decided[skip:]), tuple(applied[skip:]))


def _rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0
