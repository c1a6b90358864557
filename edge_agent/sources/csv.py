"""`csv`: a recording of sensors, a row a line, played at `fps` rows a second; for trying a series without its machine.

Rows become windows as the model's input contract says. It is read line by line, so its size does not matter.
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated

import msgspec

from edge.errors import BadConfigError, BadDataError, FileMissingError
from edge_agent.plugins import nearest
from edge_agent.sources import Rows


class Csv:
    """Plays a file with a header."""

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """What to play."""

        path: Path
        columns: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
        """Names in the header, in the order of the model's columns."""
        delimiter: Annotated[str, msgspec.Meta(min_length=1, max_length=1)] = ","
        loop: bool = True
        """Begin again at the end, with a window that starts anew."""

    live = False

    def __init__(self, options: Options) -> None:
        self._options = options
        self._file: IO[str] | None = None
        self._lines: Iterator[list[str]] = iter(())
        self._picks: list[int] = []

    def open(self, width: int, height: int, fps: float) -> None:  # noqa: ARG002 - a row has the columns it has
        """Read the header; raises `FileMissingError`, `BadConfigError` for a column that is not in it."""
        try:
            self._file = self._options.path.open(encoding="utf-8", newline="")
        except OSError as exc:
            raise FileMissingError(f"no recording {self._options.path}", remedy="correct source.path") from exc
        self._lines = csv.reader(self._file, delimiter=self._options.delimiter)
        header = next(self._lines, [])
        for name in self._options.columns:
            if name not in header:
                raise BadConfigError(f"{self._options.path.name} has no column {name!r}", remedy=nearest(name, header))
        self._picks = [header.index(name) for name in self._options.columns]

    def read(self, frame: int) -> Rows | None:  # noqa: ARG002 - rows are read in order
        """The next row; the first one again after the end if `loop`. Raises `BadDataError` where it is no number."""
        line, gap = next(self._lines, None), ""
        if line is None and self._options.loop:
            self.close()
            self.open(0, 0, 0)
            line, gap = next(self._lines, None), "the recording begins again"
            if line is None:
                raise BadDataError(f"{self._options.path.name} holds no rows", remedy="record some")
        return None if line is None else self._row(line, gap)

    def _row(self, line: list[str], gap: str) -> Rows:
        import numpy as np

        try:
            values = [float(line[index]) for index in self._picks]
        except (ValueError, IndexError) as exc:
            raise BadDataError(f"{self._options.path.name}: no numbers in {line}", remedy="repair that line") from exc
        if not all(map(math.isfinite, values)):
            return Rows(np.empty((0, len(values)), np.float32), time.monotonic_ns(), "a value is missing")
        return Rows(np.array([values], np.float32), time.monotonic_ns(), gap)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
