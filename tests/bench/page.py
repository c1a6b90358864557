# ruff: noqa: E501 - it holds the lines of a page
"""What `make bench` found: as commands.json for programs, and as commands.md, a page whose tables can be quoted."""

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


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All of commands.json."""

    machine: Machine
    commands: Commands
    took_s: float


def write(report: Report, folder: Path) -> None:
    """Write commands.json and commands.md."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "commands.json").write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    (folder / "commands.md").write_text(page(report), encoding="utf-8")


def page(report: Report) -> str:
    """The page."""
    commands, machine = report.commands, report.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    return f"""# Benchmarks: the command line

Written by `make bench` from `commands.json` beside it; do not edit. What is compared ran in turns, in one run, who began alternated.
Figures are medians over the rounds; a ratio is the median of the rounds' ratios, below 1 where we are faster. The model that is compiled is a small
classifier of our own (`tests/bench/shapes.py`), 96 x 96 x 3.

Machine: {machine.processor}, {machine.cores} cores, {machine.memory_gib:g} GiB of memory. Load average {machine.load_before:g} before the
run and {machine.load_after:g} after it, the run's own processes included. {versions}. The whole run took {report.took_s:.0f} s.

| | rounds | median | alternative | median | ratio |
| --- | --- | --- | --- | --- | --- |
| `edge --help` | {commands.help_rounds} | {_s(commands.help_s.ours)} | `--help` of a bare cyclopts app with one command | {_s(commands.help_s.other)} | {commands.help_s.ratio:.2f} |
| `edge compile` of it | {commands.compile_rounds} | {_s(commands.compile_s.ours)} | importing torch and both exporters | {_s(commands.compile_s.other)} | {commands.compile_s.ratio:.2f} |
"""


def _s(value: float) -> str:
    return f"{value:.1f} s" if value >= 10 else f"{value:.2f} s"
