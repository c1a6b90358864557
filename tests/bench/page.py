# ruff: noqa: E501 - it holds the lines of a page
"""What `make bench` found: as agent.json for programs, and as agent.md, a page whose tables can be quoted."""

from pathlib import Path

import msgspec
from turns import Machine, Pair


class Commands(msgspec.Struct, frozen=True, kw_only=True):
    """Whole processes, in seconds."""

    help_rounds: int
    help_s: Pair
    """`edge --help` against a bare cyclopts app's --help."""
    compile_rounds: int
    compile_s: Pair
    """`edge compile` against importing the exporters that it needs, and nothing else."""


class Frames(msgspec.Struct, frozen=True, kw_only=True):
    """The agent against the naive loop, frame by frame."""

    rounds: int
    frames: int
    """Of each round, after 30 that are not counted."""
    fps: float
    runtime: str
    dtype: str
    accuracy: float
    floor_us_p50: float
    """The agent's model alone, one inference after the other."""
    floor_us_p99: float
    invoke_us_p50: float
    """The same in the naive loop, which waits for its pictures."""
    invoke_us_p99: float
    overhead_us_p50: Pair
    overhead_us_p99: Pair
    wake_us_p50: float
    wake_us_p99: float
    frame_age_ms_p50: Pair
    frame_age_ms_p99: Pair


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All of agent.json."""

    machine: Machine
    commands: Commands
    frames: Frames
    took_s: float


def write(report: Report, folder: Path) -> None:
    """Write agent.json and agent.md."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "agent.json").write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    (folder / "agent.md").write_text(page(report), encoding="utf-8")


def page(report: Report) -> str:
    """The page."""
    commands, frames, machine = report.commands, report.frames, report.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    return f"""# Benchmarks: the agent and the command line

Written by `make bench` from `agent.json` beside it; do not edit. What is compared ran in turns, in one run, who began alternated.
Figures are medians over the rounds; a ratio is the median of the rounds' ratios, below 1 where we are faster.

Machine: {machine.processor}, {machine.cores} cores, {machine.memory_gib:g} GiB of memory. Load average {machine.load_before:g} before the
run and {machine.load_after:g} after it, the run's own processes included. {versions}. The whole run took {report.took_s:.0f} s.

## From frame to decision

A classifier of our own, 96 x 96 x 3, {frames.dtype} on {frames.runtime} with one thread ({frames.accuracy:.1%} right on held-out pictures),
{frames.rounds} rounds of {frames.frames} frames at {frames.fps:g} a second. The alternative is one process, one loop (`tests/bench/naive.py`): take the
picture, normalise and quantize it with numpy, set the tensor, invoke, arg-max.

| | `edge bench` p50 | p99 | naive loop p50 | p99 | ratio p50 | p99 |
| --- | --- | --- | --- | --- | --- | --- |
| inference, us | {frames.floor_us_p50:,.0f} | {frames.floor_us_p99:,.0f} | {frames.invoke_us_p50:,.0f} | {frames.invoke_us_p99:,.0f} | | |
{_both("overhead around it, us", frames.overhead_us_p50, frames.overhead_us_p99, ",.0f")}
| wake-up, us | {frames.wake_us_p50:,.0f} | {frames.wake_us_p99:,.0f} | | | | |
{_both("frame age, ms", frames.frame_age_ms_p50, frames.frame_age_ms_p99, ".2f")}

- Inference: for `edge bench` its floor, one after the other in a process of its own; for the naive loop between its waits for pictures.
- Overhead: from the picture at hand to the decision, less the inference. The agent's includes handing it to the guard.
- Wake-up: from a frame published by the capture process to the loop that reads it. The naive loop has no second process.
- Frame age: from capture until the guard has applied the decision to an actuator; in the naive loop until it knows the label. The agent pays
  for two more processes here, and they are why a stalled camera, model or update cannot leave an actuator on.

## Commands

| | rounds | median | alternative | median | ratio |
| --- | --- | --- | --- | --- | --- |
| `edge --help` | {commands.help_rounds} | {_s(commands.help_s.ours)} | `--help` of a bare cyclopts app with one command | {_s(commands.help_s.other)} | {commands.help_s.ratio:.2f} |
| `edge compile` of that model | {commands.compile_rounds} | {_s(commands.compile_s.ours)} | importing torch and both exporters | {_s(commands.compile_s.other)} | {commands.compile_s.ratio:.2f} |
"""


def _both(what: str, p50: Pair, p99: Pair, form: str) -> str:
    figures = (p50.ours, p99.ours, p50.other, p99.other)
    return f"| {what} | {' | '.join(format(x, form) for x in figures)} | {p50.ratio:.2f} | {p99.ratio:.2f} |"


def _s(value: float) -> str:
    return f"{value:.1f} s" if value >= 10 else f"{value:.2f} s"
