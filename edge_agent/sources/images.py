"""`images`: the pictures of a folder, in the order of their names. Frame id f shows picture (f - 1) % n."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge.errors import BadDataError, FileMissingError
from edge_agent.sources import Picture
from edge_agent.sources.opencv import load_cv2

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")


class Images:
    """Reads one file a frame; keeps the last one, so a folder of one picture costs nothing."""

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Which folder."""

        path: Path
        loop: bool = True
        """Begin again at the end."""

    live = False

    def __init__(self, options: Options) -> None:
        self._options = options
        self._files: list[Path] = []
        self._last: tuple[Path, NDArray[np.uint8]] | None = None

    def open(self, width: int, height: int, fps: float) -> None:  # noqa: ARG002 - pictures have the size they have
        """List the folder; raises `FileMissingError` if there is no picture in it."""
        folder = self._options.path
        load_cv2()
        if folder.is_dir():
            self._files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)
        if not self._files:
            raise FileMissingError(
                f"no pictures in {folder}", remedy=f"correct source.path; a picture ends in {', '.join(SUFFIXES)}"
            )

    def read(self, frame: int) -> Picture | None:
        """Picture `frame - 1`, counted round if `loop`; raises `BadDataError` if it cannot be read."""
        index = frame - 1
        if index >= len(self._files) and not self._options.loop:
            return None
        file = self._files[index % len(self._files)]
        captured_ns = time.monotonic_ns()
        if self._last is None or self._last[0] != file:
            cv2 = load_cv2()
            try:
                pixels: NDArray[np.uint8] | None = cv2.imread(str(file), cv2.IMREAD_COLOR)
            except cv2.error:  # it says that it is larger than any picture
                pixels = None
            if pixels is None:
                raise BadDataError(f"{file} is not a picture", remedy="remove it from the folder")
            self._last = (file, pixels)
        return Picture(self._last[1], captured_ns)

    def close(self) -> None:
        """Forget the last picture."""
        self._last = None
