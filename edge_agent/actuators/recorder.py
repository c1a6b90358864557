"""`recorder`: appends every application to a file, one line each: the shipped fake, and the witness of tests and demos.

A line: applied_ns frame captured_ns action safe, divided by spaces; times are CLOCK_MONOTONIC, safe is 0 or 1.
"""

import os
from pathlib import Path
from typing import NamedTuple

import msgspec

from edge_agent.actuators import Application


class Recorder:
    """Each line is one write to a file opened for appending, so that a kill leaves whole lines."""

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Where to write."""

        path: Path

    def __init__(self, options: Options, _actions: tuple[str, ...]) -> None:
        options.path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(options.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def apply(self, application: Application) -> None:
        """Append one line."""
        a = application
        os.write(self._fd, f"{a.applied_ns} {a.frame} {a.captured_ns} {a.action} {a.safe:d}\n".encode())

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


class Line(NamedTuple):
    """One recorded application; the fields are those of `Application`."""

    applied_ns: int
    frame: int
    captured_ns: int
    action: str
    safe: bool


def read_lines(path: Path) -> list[Line]:
    """Read what a recorder wrote so far; an unfinished last line is left out."""
    if not path.exists():
        return []
    whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
    rows = [line.split(" ") for line in whole.splitlines()]
    return [Line(int(at), int(frame), int(captured), action, safe == "1") for at, frame, captured, action, safe in rows]
