"""`edge bench`: what the agent adds to a bare inference, from the stamps that the running agent always writes.

The real processes run (supervisor, capture, ring, loop, guard) on noise of the model's own size, with a recorder as
the actuator; this process only reads their records.
"""

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge.bundle import Bundle, open_bundle
from edge.errors import AgentError
from edge.manifest import InputContract
from edge.preprocess import empty_sample
from edge.runtimes import Session, open_session
from edge_agent.channels import make_pipe
from edge_agent.config import load_config
from edge_agent.plan import Boot
from edge_agent.records import RECORD_BYTES, Applied, Decided, unpack
from edge_agent.supervisor import RECORDS_BYTES, Supervisor

WARM_UP = 30
"""Decisions that are not counted."""
BUSY, MOST_FPS = 0.4, 100.0
"""Frames come so fast that inference takes this share of the time, but no faster than a fast camera."""
PATIENCE_S = 60.0
"""Longest time without a record: a model may take long to load."""
END_S = 2.0
"""How long an agent whose records have ended may take to end itself."""


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Of one kind of time."""

    p50: float
    p99: float
    max: float


class BenchResult(msgspec.Struct, frozen=True, kw_only=True):
    """What `edge bench --json` prints."""

    bundle: str
    runtime: str
    frames: int
    fps: float
    floor_us: Spread
    """Inference alone, in a process of its own with nothing beside it."""
    loop_us: Spread
    """Newest slot read after wake-up -> decision handed to the guard's channel."""
    overhead_us: Spread
    """loop - its inference."""
    wake_us: Spread
    """Published -> slot read."""
    frame_age_ms: Spread
    """Captured -> applied by the guard."""


def bench(path: Path, *, frames: int) -> BenchResult:
    """Time `frames` decisions of the real agent; raises what keeps the bundle from running."""
    bundle = open_bundle(path)
    session = open_session(bundle)
    floor_us = time_invoke(session, frames)
    runtime = session.variant.runtime
    session.close()
    fps = min(MOST_FPS, BUSY * 1e6 / float(np.median(floor_us)))
    with tempfile.TemporaryDirectory(prefix="edge-bench-") as folder:
        config = write_config(Path(folder), bundle, fps)
        with running("edge_agent.bench", config, path.resolve(), log=Path(folder, "agent.log")) as records_fd:
            decided, applied = collect(records_fd, frames + WARM_UP)
    kept = decided[WARM_UP:]
    loop_ns = np.array([d.handed_ns - d.read_ns for d in kept])
    invoke_ns = np.array([d.invoke_end_ns - d.invoke_start_ns for d in kept])
    return BenchResult(
        bundle=path.name,
        runtime=runtime,
        frames=len(kept),
        fps=round(fps, 1),
        floor_us=spread(floor_us),
        loop_us=spread(loop_ns / 1e3),
        overhead_us=spread((loop_ns - invoke_ns) / 1e3),
        wake_us=spread([(d.read_ns - d.published_ns) / 1e3 for d in kept]),
        frame_age_ms=spread([(a.applied_ns - a.captured_ns) / 1e6 for a in applied[WARM_UP:]]),
    )


def time_invoke(session: Session, times: int) -> NDArray[np.float64]:
    """Microseconds of each of `times` inferences, after as many warm ones as the agent gets."""
    taken_us = []
    for _ in range(times + WARM_UP):
        start_ns = time.monotonic_ns()
        session.invoke()
        taken_us.append((time.monotonic_ns() - start_ns) / 1e3)
    return np.array(taken_us[WARM_UP:])


def spread(values: ArrayLike) -> Spread:
    """Median, 99th percentile and maximum, to the thousandth."""
    p50, p99, most = np.percentile(np.asarray(values, np.float64), [50, 99, 100])
    return Spread(p50=round(float(p50), 3), p99=round(float(p99), 3), max=round(float(most), 3))


def noise(contract: InputContract, count: int = 8) -> NDArray[np.generic]:
    """Frames that `contract` takes: pictures of noise, or rows of it."""
    rng, sample = np.random.default_rng(0), empty_sample(contract)
    if sample.dtype == np.uint8:
        return rng.integers(0, 256, (count, *sample.shape), np.uint8)
    return rng.standard_normal((count, *sample.shape), np.float32)


def write_config(folder: Path, bundle: Bundle, fps: float) -> Path:
    """A configuration that plays noise to `bundle` and refuses no frame."""
    manifest = bundle.manifest
    np.save(folder / "frames.npy", noise(manifest.input))
    config = {
        "device": "bench",
        "model": manifest.name,
        "state_dir": "state",
        "source": {"kind": "frames", "path": "frames.npy", "fps": fps},
        "decider": {"kind": "classify", "go": [manifest.labels[0]]},
        "actuators": [{"kind": "recorder", "path": "applied.txt", "max_age_ms": 60_000.0}],
    }
    path = folder / "bench.yaml"
    path.write_bytes(msgspec.json.encode(config))  # JSON is YAML
    return path


@contextmanager
def running(module: str, *words: str | Path, log: Path) -> Iterator[int]:
    """Run an agent: `python -m MODULE WORDS... RECORDS_FD`; yields the end of the pipe where its records come out.

    Raises: `AgentError` with the last it wrote to `log` if it ended itself.
    """
    pipe = make_pipe(RECORDS_BYTES)
    with log.open("wb") as stderr:
        command = [sys.executable, "-P", "-m", module, *map(str, words), str(pipe.write_fd)]
        agent = subprocess.Popen(command, pass_fds=(pipe.write_fd,), stdin=subprocess.DEVNULL, stderr=stderr)
    os.close(pipe.write_fd)
    try:
        yield pipe.read_fd
    except AgentError:
        with suppress(subprocess.TimeoutExpired):  # its pipe closes a moment before it ends
            agent.wait(END_S)
        _must_run(agent, log)
        raise
    else:
        _must_run(agent, log)
    finally:
        agent.send_signal(signal.SIGTERM)
        agent.wait()
        os.close(pipe.read_fd)


def _must_run(agent: subprocess.Popen[bytes], log: Path) -> None:
    if agent.poll() is not None:
        said = log.read_text(errors="replace").strip()[-500:]
        raise AgentError(f"the agent ended: {said}", remedy="try `edge run CONFIG.yaml --unsigned` on the bundle")


def collect(records_fd: int, wanted: int) -> tuple[list[Decided], list[Applied]]:
    """Read records until there are `wanted` decisions and commands; fewer if the agent falls silent or ends."""
    decided: list[Decided] = []
    applied: list[Applied] = []
    while len(decided) < wanted or len(applied) < wanted:
        ready, _, _ = select.select([records_fd], [], [], PATIENCE_S)
        data = os.read(records_fd, RECORD_BYTES * 512) if ready else b""
        if not data:
            break
        for at in range(0, len(data), RECORD_BYTES):
            record = unpack(data[at : at + RECORD_BYTES])
            if isinstance(record, Decided):
                decided.append(record)
            elif not record.safe:
                applied.append(record)
    if min(len(decided), len(applied)) <= WARM_UP:
        raise AgentError("the agent made no decisions", remedy="try `edge run CONFIG.yaml --unsigned` on the bundle")
    return decided, applied


def describe(result: BenchResult) -> str:
    """A table for people."""
    from edge.console import table

    names = {"floor": "floor_us", "loop": "loop_us", "overhead": "overhead_us", "wake": "wake_us"}
    rows: list[tuple[str, ...]] = []
    for label, field in names.items():
        one: Spread = getattr(result, field)
        rows.append((f"{label}, us", *(f"{value:,.0f}" for value in (one.p50, one.p99, one.max))))
    age = result.frame_age_ms
    rows.append(("frame age, ms", *(f"{value:,.2f}" for value in (age.p50, age.p99, age.max))))
    head = f"{result.bundle} on {result.runtime}: {result.frames} frames at {result.fps:g} a second\n"
    return head + table(("", "p50", "p99", "max"), rows)


def main() -> None:
    """Run the agent of `running`: CONFIG BUNDLE RECORDS_FD."""
    config, bundle, records_fd = sys.argv[1:]
    Supervisor(load_config(Path(config)), Boot(Path(bundle)), records_fd=int(records_fd)).run()


if __name__ == "__main__":
    main()
