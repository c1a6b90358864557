"""Runs the agent of a configuration with other settings of its loop, and times its frames.

The decider is the configuration's own. Frames are noise of the model's own size and the actuator is a recorder: nothing
moves, no sensor, camera, fleet or watchdog is touched, and an agent that runs on this device goes on, though it
disturbs the figures.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np

from edge.bundle import Bundle
from edge.errors import EdgeError
from edge_agent.bench import WARM_UP, collect, noise, running, spread
from edge_agent.choose_loop import Round
from edge_agent.config import ActuatorConfig, AgentConfig, HealthConfig, LoopConfig, load_config
from edge_agent.cores import keep_off
from edge_agent.plan import Boot
from edge_agent.supervisor import Supervisor

NEVER_TOO_OLD_MS = 60_000.0


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of the agent is told."""

    config: str
    bundle: str
    folder: str
    """For what it writes, and with the frames that it plays."""
    fps: float
    loop: LoopConfig


class Trials:
    """Runs of one bundle under one configuration, in one temporary folder."""

    def __init__(self, config: Path, bundle: Path, folder: Path, *, fps: float, frames: int) -> None:
        """`fps`: frames a second; `frames`: how many are timed in a run."""
        self._config, self._bundle, self._folder = config.resolve(), bundle.resolve(), folder
        self._fps, self._frames = fps, frames

    def run(self, loop: LoopConfig) -> Round:
        """Start the agent, time its frames, end it. Raises `AgentError` if it does not decide."""
        told = Trial(
            config=str(self._config), bundle=str(self._bundle), folder=str(self._folder), fps=self._fps, loop=loop
        )
        words = msgspec.json.encode(told).decode()
        log = self._folder / "agent.log"
        with staying_off(loop.cpu), running("edge_agent.loop_trials", words, log=log) as records_fd:
            decided, applied = collect(records_fd, self._frames + WARM_UP)
        age = spread([(one.applied_ns - one.captured_ns) / 1e6 for one in applied[WARM_UP:]])
        loops = spread([(one.handed_ns - one.read_ns) / 1e6 for one in decided[WARM_UP:]])
        return Round(age_p50_ms=age.p50, age_p99_ms=age.p99, loop_p50_ms=loops.p50)


@contextmanager
def prepare_trials(config: Path, path: Path, bundle: Bundle, *, fps: float, frames: int) -> Iterator[Trials]:
    """Runs of `bundle`, which lies at `path`; their folder goes with the context."""
    with tempfile.TemporaryDirectory(prefix="edge-bench-") as name:
        np.save(Path(name, "frames.npy"), noise(bundle.manifest.input))
        yield Trials(config, path, Path(name), fps=fps, frames=frames)


@contextmanager
def staying_off(cpu: int | None) -> Iterator[None]:
    """Keep this process, which reads the records, away from a loop that has its processor to itself."""
    before = os.sched_getaffinity(0)
    keep_off(cpu)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def disarm(config: AgentConfig, trial: Trial) -> AgentConfig:
    """The same configuration, touching nothing but the trial's folder."""
    folder = Path(trial.folder)
    replace = msgspec.structs.replace
    recorder = ActuatorConfig(
        kind="recorder",
        max_age_ms=NEVER_TOO_OLD_MS,
        safe_state=config.decider.actions[0],
        options={"path": str(folder / "applied.txt")},
    )
    return replace(
        config,
        state_dir=folder / "state",
        source=replace(config.source, kind="frames", fps=trial.fps, options={"path": str(folder / "frames.npy")}),
        actuators=(recorder,),
        sensors=(),
        guard=replace(config.guard, watchdog=None),
        loop=trial.loop,
        health=HealthConfig(thermal=folder / "none", throttled=folder / "none"),  # always this model, always this rate
        fleet=None,
        capture_store=None,
        view=None,
    )


def main() -> None:
    """Run the agent of a `Trial`: TRIAL RECORDS_FD."""
    trial = msgspec.json.decode(sys.argv[1], type=Trial)
    try:
        config = disarm(load_config(Path(trial.config)), trial)
        Supervisor(config, Boot(Path(trial.bundle)), records_fd=int(sys.argv[2])).run()
    except EdgeError as exc:
        sys.exit(str(exc))


if __name__ == "__main__":
    main()
