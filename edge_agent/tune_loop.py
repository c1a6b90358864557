"""`edge bench BUNDLE --config FILE`: chooses the settings of the loop for one bundle on this machine, and writes them.

Main path: read both, time a bare inference, try the steps of `choose_loop` on the running agent, write the file.
"""

import os
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np

from edge.bundle import Bundle
from edge.console import progress, say, table
from edge.errors import AgentError, BadConfigError
from edge.manifest import AudioInput, InputContract, SeriesInput
from edge.runtimes import open_session
from edge_agent.bench import BUSY, time_invoke
from edge_agent.choose_loop import (
    PRIORITY,
    Choice,
    Machine,
    Measure,
    Outcome,
    Round,
    Settings,
    choose,
    make_steps,
    settings_of,
)
from edge_agent.config import AgentConfig, LoopConfig, load_config
from edge_agent.cores import Placement
from edge_agent.edit_loop import loop_line
from edge_agent.loop import open_named
from edge_agent.loop_trials import prepare_trials
from edge_agent.report import look
from edge_agent.start import choose_boot
from edge_agent.write_loop import check_writable, write_loop

LEAST_FRAMES = 50
"""Of a run: below this a 99th percentile is the slowest of all."""
LEAST_FPS = 5.0
"""A slower series is timed at this rate: between two frames its code has left the caches just the same."""


class Tuned(msgspec.Struct, frozen=True, kw_only=True):
    """What `edge bench --config --json` prints."""

    bundle: str
    runtime: str
    frames: int
    """Of each run."""
    wanted_fps: float
    """Frames a second that the configuration asks for, as the model sees them."""
    fps: float
    """At which was timed."""
    start: Round
    """With nothing chosen."""
    steps: tuple[Outcome, ...]
    loop: Settings
    line: str
    """The same for the file."""
    written: bool


def tune_loop(bundle_path: Path, config_path: Path, *, frames: int, write: bool) -> Tuned:
    """Choose settings for the loop of a configuration, and put them into the file if `write`.

    Raises what `edge run` would raise for the two files, and `BadConfigError` where the file cannot be edited.
    """
    config = load_config(config_path)
    bundle = open_named(_there(config, bundle_path), config.model)
    if write:
        check_writable(config_path)
    mention_agent(config)
    frames = max(frames, LEAST_FRAMES)
    runtime, inference_ms = time_inference(bundle, LEAST_FRAMES)
    wanted_fps = frames_per_s(config.source.fps, bundle.manifest.input)
    fps = bounded(wanted_fps, inference_ms)
    with prepare_trials(config_path, bundle_path, bundle, fps=fps, frames=frames) as trials:
        choice = _choose(config.loop, 1e3 / wanted_fps, trials.run)
    if write:
        write_loop(config_path, choice.loop)
    return Tuned(
        bundle=bundle_path.name,
        runtime=runtime,
        frames=frames,
        wanted_fps=round(wanted_fps, 3),
        fps=round(fps, 3),
        start=choice.start,
        steps=choice.outcomes,
        loop=settings_of(choice.loop),
        line=loop_line(choice.loop),
        written=write,
    )


def _there(config: AgentConfig, path: Path) -> Path:
    """The bundle, if it is; raises as `edge run` does."""
    return choose_boot(config, path).path or path


def mention_agent(config: AgentConfig) -> None:
    """One that runs here is not in the way, but in the figures."""
    with suppress(AgentError):
        say(f"an agent runs on this device (process {look(config.state_dir).agent.pid}): its work is in the figures")


def _choose(own: LoopConfig, period_ms: float, measure: Measure) -> Choice:
    base = LoopConfig(hang_s=own.hang_s, start_s=own.start_s)
    steps = make_steps(look_at_machine(), own, hindrance_of(own))
    with progress("timing the agent", total=len(steps)) as advance:
        return choose(base, steps, period_ms, measure, advance)


def time_inference(bundle: Bundle, times: int) -> tuple[str, float]:
    """The runtime that runs the bundle here, and the median of its inferences with one thread, in ms."""
    session = open_session(bundle)
    try:
        return session.variant.runtime, float(np.median(time_invoke(session, times))) / 1e3
    finally:
        session.close()


def frames_per_s(fps: float, contract: InputContract) -> float:
    """How often a source of `fps` frames or rows a second shows the model something new."""
    match contract:
        case SeriesInput(stride=stride):
            return fps / stride
        case AudioInput(sample_rate=rate, hop_length=hop, stride=stride):
            return rate / (hop * stride)
    return fps


def bounded(fps: float, inference_ms: float) -> float:
    """The rate at which is timed: so that inference takes a share `BUSY` of the time at most, and not for hours."""
    return min(max(fps, LEAST_FPS), BUSY * 1e3 / inference_ms)


def look_at_machine() -> Machine:
    """What this process may use."""
    urgent = hindrance_of(LoopConfig(priority=PRIORITY)) == ""
    return Machine(tuple(sorted(os.sched_getaffinity(0))), urgent)


def hindrance_of(loop: LoopConfig) -> str:
    """Why these settings cannot run here, or nothing. The guard has a higher priority than the loop by one."""
    try:
        Placement(loop.cpu, None if loop.priority is None else loop.priority + 1)
    except BadConfigError as exc:
        return exc.problem
    return ""


def describe(tuned: Tuned) -> str:
    """A table for people."""
    lines = [f"{tuned.bundle} on {tuned.runtime}: runs of {tuned.frames} frames at {tuned.fps:.4g} a second"]
    if tuned.fps < tuned.wanted_fps:
        lines.append(f"(not {tuned.wanted_fps:.4g}: inference would take more than {BUSY:.0%} of the time)")
    elif tuned.fps > tuned.wanted_fps:
        lines.append(f"(not {tuned.wanted_fps:.4g}: that would take too long)")
    start = tuned.start
    rows = [("as it comes", f"{start.age_p50_ms:.2f}", f"{start.age_p99_ms:.2f}", f"{start.loop_p50_ms:.2f}", "start")]
    rows += [_row(step) for step in tuned.steps]
    lines.append(table(("setting", "age p50, ms", "age p99, ms", "loop p50, ms", "verdict"), rows))
    return "\n".join([*lines, tuned.line])


def _row(step: Outcome) -> tuple[str, str, str, str, str]:
    if step.without is None or step.within is None:
        return step.setting, "", "", "", step.verdict
    without, within = step.without, step.within
    return (
        step.setting,
        f"{without.age_p50_ms:.2f} -> {within.age_p50_ms:.2f}",
        f"{without.age_p99_ms:.2f} -> {within.age_p99_ms:.2f}",
        f"{without.loop_p50_ms:.2f} -> {within.loop_p50_ms:.2f}",
        step.verdict,
    )
