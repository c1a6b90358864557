"""Plug-ins of the bench: a decider that stalls and a source that vanishes, when a file says so."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path

from edge.errors import SourceError
from edge_agent.deciders.classify import Classify
from edge_agent.sources.frames import Frames

FOLDER = Path(os.environ["BENCH_FOLDER"])
STALL, GONE = str(FOLDER / "stall"), str(FOLDER / "gone")
"""STALL holds "python" or "gil" and for how many seconds."""


class Stalling(Classify):
    """`classify`, which stands still once for each file STALL."""

    def step(self, output, now_s):
        """As classify, later perhaps."""
        if os.path.exists(STALL):
            kind, seconds = Path(STALL).read_text().split()
            os.unlink(STALL)
            stall(kind, float(seconds))
        return super().step(output, now_s)


def stall(kind: str, seconds: float) -> None:
    """python: other threads of the process may run; gil: a C function holds the GIL all the time."""
    if kind == "gil":
        ctypes.PyDLL(None).usleep(round(seconds * 1e6))  # PyDLL does not release it
        return
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        pass


class Vanishing(Frames):
    """`frames`, gone for as long as there is a file GONE."""

    def read(self, frame):
        """As frames, or no more."""
        if os.path.exists(GONE):
            raise SourceError("the camera was unplugged", remedy="plug it in")
        return super().read(frame)

    def open(self, width, height, fps):
        """As frames, or not yet."""
        if os.path.exists(GONE):
            raise SourceError("no camera", remedy="plug it in")
        super().open(width, height, fps)
