"""`video`: a film, played at the configured `fps`. Any format that OpenCV reads."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec

from edge.errors import FileMissingError, SourceError
from edge_agent.sources import Picture
from edge_agent.sources.opencv import load_cv2


class Video:
    """Reads a film from its beginning; it cannot be asked for another size."""

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Which film."""

        path: Path
        loop: bool = True
        """Begin again at the end."""

    live = False

    def __init__(self, options: Options) -> None:
        self._options = options
        self._film: Any = None  # cv2.VideoCapture; cv2 is untyped

    def open(self, width: int, height: int, fps: float) -> None:  # noqa: ARG002 - a film has the size it has
        """Open the film; raises `FileMissingError`, or `SourceError` if it is none."""
        if not self._options.path.is_file():
            raise FileMissingError(f"no film {self._options.path}", remedy="correct source.path")
        self._film = load_cv2().VideoCapture(str(self._options.path))
        if not self._film.isOpened():
            raise SourceError(f"{self._options.path} is no film that OpenCV reads", remedy="convert it to MP4 or AVI")

    def read(self, frame: int) -> Picture | None:  # noqa: ARG002 - films are read in order
        """The next picture; the first one again after the end if `loop`."""
        captured_ns = time.monotonic_ns()
        whole, pixels = self._film.read()
        if not whole and self._options.loop:
            self.close()
            self.open(0, 0, 0)
            whole, pixels = self._film.read()
            if not whole:
                raise SourceError(f"{self._options.path} holds no picture", remedy="convert it to MP4 or AVI")
        return Picture(pixels, captured_ns) if whole else None

    def close(self) -> None:
        """Close the film."""
        if self._film is not None:
            self._film.release()
