"""`frames`: an .npy file, uint8 [n, height, width, 3] in BGR order or float32 [n, rows, columns]; for replay and bench.

Up to 64 MiB it is loaded, beyond that mapped. Frame id f shows picture (f - 1) % n, whatever was restarted in between.
Each picture is written to memory before it is stamped, as by a camera's driver: reading the disk is no part of its age.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge.errors import BadDataError, FileMissingError
from edge_agent.sources import Picture

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


LOADED_BYTES = 64 << 20
"""What is mapped may have to be read from the disk while its frame waits."""


class Frames:
    """Plays an array."""

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """What to play."""

        path: Path
        loop: bool = True
        """Begin again at the end."""

    live = False

    def __init__(self, options: Options) -> None:
        self._options = options
        self._frames: NDArray[np.generic] | None = None
        self._seen: NDArray[np.generic] | None = None

    def open(self, width: int, height: int, fps: float) -> None:  # noqa: ARG002 - a recording has the size it has
        """Load or map the file; raises `FileMissingError` or `BadDataError`."""
        import numpy as np

        try:
            mapped = self._options.path.stat().st_size > LOADED_BYTES
            frames = np.load(self._options.path, mmap_mode="r" if mapped else None, allow_pickle=False)
        except (FileNotFoundError, IsADirectoryError) as exc:
            raise FileMissingError(f"no frames {self._options.path}", remedy="correct source.path") from exc
        except (ValueError, EOFError) as exc:
            raise BadDataError(
                f"{self._options.path} is no .npy file: {exc}", remedy="write it with numpy.save"
            ) from exc
        picture = frames.dtype == np.uint8 and frames.ndim == 4 and frames.shape[3] == 3
        if not len(frames) or not (picture or (frames.dtype == np.float32 and frames.ndim in {2, 3, 4})):
            raise BadDataError(
                f"{self._options.path} holds {frames.dtype} of shape {frames.shape}",
                remedy="save uint8 [n, height, width, 3] in BGR order, or float32 [n, rows, columns]",
            )
        self._frames, self._seen = frames, np.empty(frames.shape[1:], frames.dtype)

    def read(self, frame: int) -> Picture | None:
        """Picture `frame - 1`, counted round if `loop`."""
        assert self._frames is not None, "open() comes first"  # noqa: S101 - a mistake in our own code
        assert self._seen is not None  # noqa: S101 - set together
        index = frame - 1
        if index >= len(self._frames):
            if not self._options.loop:
                return None
            index %= len(self._frames)
        self._seen[...] = self._frames[index]
        return Picture(self._seen, time.monotonic_ns())

    def close(self) -> None:
        """Let go of it."""
        self._frames = self._seen = None
