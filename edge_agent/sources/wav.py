"""`wav`: recorded sound instead of a microphone, a file or all .wav files of a folder in the order of their names.

It keeps the pace of the recording, or `speed` times it; a window never reaches from one file into the next.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from edge.errors import BadDataError, FileMissingError
from edge_agent.sources import Rows

if TYPE_CHECKING:
    from edge.wav import WavReader


class Wav:
    """Plays files."""

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """What to play, and how fast."""

        path: Path
        """A file, or a folder: 16-bit PCM, one channel, at the model's sample rate."""
        loop: bool = True
        """Begin again at the end, with a window that starts anew."""
        speed: Annotated[float, msgspec.Meta(ge=0, le=1000)] = 1.0
        """Times the pace of the recording; 0: as fast as it is read, and what the model misses is lost."""
        period_ms: Annotated[float, msgspec.Meta(ge=1, le=1000)] = 20.0
        """Sound is delivered in pieces of this length, as by a microphone."""

    live = True

    def __init__(self, options: Options) -> None:
        self._options = options
        self._files: list[Path] = []
        self._at = 0
        self._reader: WavReader | None = None
        self._rate = self._period = 1
        self._due_s = 0.0

    def open(self, width: int, height: int, fps: float) -> None:  # noqa: ARG002 - sound has no size
        """List the files; `fps`: samples a second. Raises `FileMissingError` or `BadDataError`."""
        path = self._options.path
        self._files = sorted(path.glob("*.wav")) if path.is_dir() else [path]
        if not self._files:
            raise FileMissingError(f"no .wav files in {path}", remedy="correct source.path")
        self._rate = round(fps)
        self._period = max(1, round(self._rate * self._options.period_ms / 1000))
        self._at = 0
        self._begin()
        self._due_s = time.monotonic()

    def read(self, frame: int) -> Rows | None:  # noqa: ARG002 - sound is read in order
        """The next period, when its last sample is due; None at the end. Raises `BadDataError` for a file as `open`."""
        from edge.sound import to_real

        assert self._reader is not None, "open() comes first"  # noqa: S101 - a mistake in our own code
        samples, gap = self._reader.read(self._period), ""
        if not len(samples):
            self._at += 1
            if self._at == len(self._files) and not self._options.loop:
                return None
            self._at %= len(self._files)
            samples, gap = self._begin().read(self._period), f"{self._files[self._at].name} begins"
            if not len(samples):
                raise BadDataError(f"{self._files[self._at]} holds no sound", remedy="remove it")
        self._keep_pace(len(samples))
        return Rows(to_real(samples).reshape(-1, 1), time.monotonic_ns(), gap)

    def _begin(self) -> WavReader:
        from edge.wav import WavReader

        self.close()
        self._reader = WavReader(self._files[self._at])
        self._reader.hold_to(self._rate)
        return self._reader

    def _keep_pace(self, samples: int) -> None:
        """Wait until so many samples would have been taken. After a stall it goes on from now."""
        if not self._options.speed:
            return
        now_s = time.monotonic()
        self._due_s = max(self._due_s, now_s - 1) + samples / self._rate / self._options.speed
        time.sleep(max(0.0, self._due_s - now_s))

    def close(self) -> None:
        """Close the file."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
