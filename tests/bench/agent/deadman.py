"""Line 4: six faults, 100 times each: how long after its last frame the actuator is safe, and how late the machine is.

A control timer process runs in the same run: what it wakes too late, the machine is late, not the guard.
"""

import contextlib
import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from prepare import Things
from rig import HERE, Agent, Setting, agent, children, placement
from store import Spread, cell, remembered, spread

from edge_agent.actuators.recorder import Line, read_lines
from edge_agent.ring_memory import RingMemory

LIMIT_MS, SLACK_MS, FPS = 100.0, 5.0, 50.0
REPETITIONS, FAULT_S = 100, 0.3
MISSED_MS = 3 * LIMIT_MS
NETWORK, SIDE = "m96", 96
TABLE, STRIDE = 64, 64
"""Where the headers of the ring's slots lie, in bytes; see `edge_agent.ring_memory`."""
BACKED_OFF = 5
"""Faults after which a process is started again are tried so often with one agent: its pauses grow, as they should."""


class DeadMan(msgspec.Struct, frozen=True, kw_only=True):
    """One fault."""

    fault: str
    repetitions: int
    missed: int
    safe_ms: Spread
    """Capture of the last frame in force -> the guard chose the safe state."""
    late_ms: Spread
    """Of the control timer."""
    stale: int
    """Commands that were carried out after their limit; there must be none."""
    load: float = 0.0

    @property
    def kept(self) -> bool:
        """Whether the line holds."""
        within = LIMIT_MS + SLACK_MS
        return (
            not self.missed
            and not self.stale
            and self.safe_ms.p99 <= within + self.late_ms.p99
            and self.safe_ms.max <= within + self.late_ms.max
        )


# --- the faults: each strikes, and takes itself back after FAULT_S ----------------------------------


def stall(kind: str) -> Callable[[Agent], None]:
    """The decider stands still."""

    def strike(running: Agent) -> None:
        fresh = running.folder / "stall.new"
        fresh.write_text(f"{kind} {FAULT_S}")
        fresh.rename(running.folder / "stall")
        time.sleep(FAULT_S + 0.1)

    return strike


def stop(running: Agent) -> None:
    """The loop process is stopped."""
    pid = running.pids()["loop"]
    os.kill(pid, signal.SIGSTOP)
    time.sleep(FAULT_S)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def kill(running: Agent) -> None:
    """The loop process is killed; the supervisor starts another."""
    os.kill(running.pids()["loop"], signal.SIGKILL)
    time.sleep(FAULT_S)


def unplug(running: Agent) -> None:
    """The camera is gone."""
    (running.folder / "gone").touch()
    time.sleep(FAULT_S)
    (running.folder / "gone").unlink()


def corrupt(running: Agent) -> None:
    """A stranger claims every slot of the ring and writes over their headers; it leaves the garbage there."""
    pid, words = next((pid, words) for pid, words in children(running.process.pid) if words[3] == "edge_agent.loop")
    spec = json.loads(words[4])
    fd = os.open(f"/proc/{pid}/fd/{spec['ring_fd']}", os.O_RDWR)
    ring = RingMemory(fd, bytes.fromhex(spec["token"]))
    os.close(fd)
    rng, left, until_s = random.Random(running.decisions()), set(range(ring.slots)), time.monotonic() + FAULT_S
    while left and time.monotonic() < until_s:
        left -= {slot for slot in left if ring.claim(slot, fcntl.F_WRLCK)}
    for slot in range(ring.slots):
        ring.map[TABLE + slot * STRIDE : TABLE + (slot + 1) * STRIDE] = rng.randbytes(STRIDE)
    time.sleep(max(0.0, until_s - time.monotonic()))
    ring.close()


FAULTS: dict[str, tuple[Callable[[Agent], None], int]] = {
    "Python stall": (stall("python"), REPETITIONS),
    "GIL held in C": (stall("gil"), REPETITIONS),
    "SIGSTOP": (stop, REPETITIONS),
    "kill -9": (kill, BACKED_OFF),
    "camera gone": (unplug, BACKED_OFF),
    "ring corrupted": (corrupt, REPETITIONS),
}
"""What strikes, and how often with one agent."""

# --- measuring -----------------------------------------------------------------------------------------


def measure(folder: Path, things: Things, repetitions: int) -> None:
    """Every fault that is not there yet."""
    for fault in FAULTS:
        cell(path_of(folder, fault), DeadMan, lambda fault=fault: run(things, fault, repetitions))  # type: ignore[misc]


def path_of(folder: Path, fault: str) -> Path:
    """Where its figures lie."""
    return folder / f"deadman-{fault.replace(' ', '-').lower()}.json"


def run(things: Things, fault: str, repetitions: int) -> DeadMan:
    """As many agents as it takes, with one control timer beside all of them."""
    strike, of_one = FAULTS[fault]
    taken_ms: list[float] = []
    missed = stale = 0
    with tempfile.TemporaryDirectory(prefix="edge-bench-", dir="/dev/shm") as name:
        with control_timer(Path(name) / "late.json"):
            for first in range(0, repetitions, of_one):
                part = Path(name) / f"agent-{first}"
                found = one_agent(part, things, strike, min(of_one, repetitions - first))
                taken_ms += found[0]
                missed, stale = missed + found[1], stale + found[2]
                shutil.rmtree(part)
        late_ns = json.loads((Path(name) / "late.json").read_text())
    return DeadMan(
        fault=fault, repetitions=repetitions, missed=missed, safe_ms=spread(taken_ms or [MISSED_MS]),
        late_ms=spread(late_ns, 1e6), stale=stale,
    )  # fmt: skip


@contextlib.contextmanager
def control_timer(out: Path) -> Iterator[None]:
    """A process that only wakes, placed like the guard."""
    loop = placement()["loop"]
    words = (out, loop.get("cpu", -1), loop.get("priority", -2) + 1)
    process = subprocess.Popen([sys.executable, str(HERE / "control_timer.py"), *map(str, words)])
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def one_agent(
    folder: Path, things: Things, strike: Callable[[Agent], None], repetitions: int
) -> tuple[list[float], int, int]:
    """Strike one agent: the times until it was safe (ms), how many were missed, how many commands were stale."""
    taken_ms, missed = [], 0
    with agent(folder, setting(things)) as running:
        for number in range(repetitions):
            fresh(running)
            time.sleep(random.Random(number).uniform(0, 1 / FPS))  # at any moment of a period
            struck_ns = time.monotonic_ns()
            strike(running)
            safe = first_safe(lines(running), struck_ns)
            if safe is None or (safe.applied_ns - safe.captured_ns) / 1e6 > MISSED_MS:
                missed += 1
            else:
                taken_ms.append((safe.applied_ns - safe.captured_ns) / 1e6)
        done = lines(running)
    stale = sum(not one.safe and one.applied_ns - one.captured_ns > LIMIT_MS * 1e6 for one in done)
    return taken_ms, missed, stale


def setting(things: Things) -> Setting:
    """Faulty plug-ins, and a limit."""
    manifest_labels = [f"label-{number}" for number in range(10)]
    plug_ins = HERE / "faulty.py"
    return Setting(
        things.bundle(NETWORK), things.frames(SIDE, SIDE), FPS,
        more=placement()
        | {
            "decider": {"kind": f"{plug_ins}:Stalling", "go": manifest_labels, "floor": 0.0, "hold_s": 0.0},
            "source": {"kind": f"{plug_ins}:Vanishing", "path": str(things.frames(SIDE, SIDE)), "fps": FPS},
            "actuators": [{"kind": "recorder", "path": "applied.txt", "max_age_ms": LIMIT_MS}],
        },
    )  # fmt: skip


def lines(running: Agent) -> list[Line]:
    """What the actuator did so far."""
    return read_lines(running.folder / "applied.txt")


def fresh(running: Agent) -> None:
    """Wait until frames of now move the actuator."""
    now_ns = time.monotonic_ns()
    running.until(lambda: any(not x.safe and x.captured_ns > now_ns for x in lines(running)[-5:]), "a fresh frame")


def first_safe(done: list[Line], since_ns: int) -> Line | None:
    """The first safe stop of the dead-man after the fault; a new guard's own, which rests on no frame, is none."""
    return next((x for x in done if x.safe and x.frame and x.applied_ns > since_ns), None)


def collect(folder: Path) -> tuple[DeadMan, ...]:
    """What there is."""
    found = (remembered(path_of(folder, fault), DeadMan) for fault in FAULTS)
    return tuple(msgspec.structs.replace(one[1], load=one[0]) for one in found if one is not None)
