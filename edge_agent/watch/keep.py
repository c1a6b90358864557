"""A bounded folder of pictures; what must not be seen is blacked out before anything is written. Oldest go first."""

import contextlib
import os
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.kept import Remark, kept_name
from edge_agent.png import encode_png

Mask = tuple[float, float, float, float]
"""Left, top, width, height, each a share of the picture."""
_HOUR_S = 3600.0


def black_out(picture: NDArray[np.uint8], masks: Sequence[Mask]) -> NDArray[np.uint8]:
    """A copy whose masked rectangles are black; their edges are rounded outwards."""
    seen = picture.copy()
    height, width = seen.shape[:2]
    for left, top, wide, high in masks:
        rows = slice(int(top * height), int(np.ceil((top + high) * height)))
        columns = slice(int(left * width), int(np.ceil((left + wide) * width)))
        seen[rows, columns] = 0
    return seen


class Store:
    """The folder. One process only."""

    def __init__(self, folder: Path, *, max_bytes: int, max_per_hour: int, masks: Sequence[Mask]) -> None:
        """Go on with what lies there."""
        folder.mkdir(parents=True, exist_ok=True)
        for torn in folder.glob("*.new"):
            torn.unlink()
        self._folder, self._max_bytes, self._max_per_hour, self._masks = folder, max_bytes, max_per_hour, masks
        self._files = deque((file, file.stat().st_size) for file in sorted(folder.glob("*.png")))
        self._bytes = sum(size for _, size in self._files)
        self._kept_s: deque[float] = deque()
        self._shrink(0)

    def keep(self, picture: NDArray[np.uint8], remark: Remark, now_s: float) -> bool:
        """Write one picture, unless there were enough in the last hour; says whether it was written."""
        while self._kept_s and now_s - self._kept_s[0] >= _HOUR_S:
            self._kept_s.popleft()
        if len(self._kept_s) >= self._max_per_hour:
            return False
        data = encode_png(black_out(picture, self._masks), msgspec.json.encode(remark).decode())
        if len(data) > self._max_bytes:
            return False
        self._shrink(len(data))
        self._write(self._folder / kept_name(remark), data)
        self._kept_s.append(now_s)
        return True

    def _write(self, path: Path, data: bytes) -> None:
        fresh = path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        self._files.append((path, len(data)))
        self._bytes += len(data)

    def _shrink(self, wanted_bytes: int) -> None:
        while self._files and self._bytes + wanted_bytes > self._max_bytes:
            path, size = self._files.popleft()
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            self._bytes -= size
