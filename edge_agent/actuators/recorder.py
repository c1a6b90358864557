"""`recorder`: appends every application to a file, one line each: the shipped fake, and the witness of tests and demos.

A line: applied_ns frame captured_ns action safe, divided by spaces; times are CLOCK_MONOTONIC, safe is 0 or 1.
"""

import os
import queue
import threading
from pathlib import Path
from typing import NamedTuple

import msgspec

from edge_agent.actuators import Application


class Recorder:
    """Each write ends with a whole line, and goes to a file opened for appending, so that a kill leaves whole lines.

    A thread writes: a disk that is busy for seconds must not keep the guard from its dead-man.
    """

    LONGEST = 100_000
    """Lines that wait for the disk at most; later ones are lost rather than waited for."""

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Where to write."""

        path: Path

    def __init__(self, options: Options, _actions: tuple[str, ...]) -> None:
        options.path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(options.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="recorder", daemon=True)
        self._writer.start()

    def apply(self, application: Application) -> None:
        """Hand one line to the writer."""
        a = application
        if self._lines.qsize() < self.LONGEST:
            self._lines.put(f"{a.applied_ns} {a.frame} {a.captured_ns} {a.action} {a.safe:d}\n".encode())

    def close(self) -> None:
        """Write what waits, and close the file."""
        self._lines.put(b"")
        self._writer.join()
        os.close(self._fd)

    def _write(self) -> None:
        while line := self._lines.get():
            os.write(self._fd, line)


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
