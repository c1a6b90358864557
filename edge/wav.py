"""Reads WAV files: 16-bit PCM, one channel, at the rate that is wanted; anything else is refused with what to do.

Compiler and agent read the same files alike. Nothing is resampled here: how a resampler filters changes what the model
hears, so it is the user's choice, made once.
"""

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.errors import BadDataError, FileMissingError

Samples = NDArray[np.int16]
SUFFIX = ".wav"


class WavReader:
    """One open file, read piece by piece."""

    def __init__(self, path: Path) -> None:
        """Open it; raises `FileMissingError`, or `BadDataError` if it is not 16-bit PCM of one channel."""
        self.path = path
        try:
            self._file = wave.open(str(path), "rb")  # noqa: SIM115 - closed by `close`
        except (FileNotFoundError, IsADirectoryError) as exc:
            raise FileMissingError(f"no sound at {path}", remedy="name a .wav file") from exc
        except (wave.Error, EOFError) as exc:
            raise BadDataError(f"{path} is no WAV file with PCM: {exc or 'it ends early'}", remedy=_advice()) from exc
        self.rate, self.length = self._file.getframerate(), self._file.getnframes()
        bits, channels = 8 * self._file.getsampwidth(), self._file.getnchannels()
        if (bits, channels) != (16, 1):
            self.close()
            raise BadDataError(f"{path} has {bits} bits and {channels} channels", remedy=_advice(self.rate))

    def hold_to(self, rate: int) -> None:
        """Raise `BadDataError` if it was sampled at another rate."""
        if self.rate != rate:
            raise BadDataError(
                f"{self.path} is sampled at {self.rate} Hz, the model hears {rate} Hz", remedy=_advice(rate)
            )

    def read(self, count: int) -> Samples:
        """The next `count` samples, fewer at the end, none after it."""
        return np.frombuffer(self._file.readframes(count), "<i2").astype(np.int16)

    def rewind(self) -> None:
        """Begin again."""
        self._file.rewind()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_wav(path: Path, rate: int | None = None) -> Samples:
    """All samples of a file; `rate` in Hz, if it must have one. Raises what `WavReader` raises."""
    reader = WavReader(path)
    try:
        if rate is not None:
            reader.hold_to(rate)
        return reader.read(reader.length)
    finally:
        reader.close()


def _advice(rate: int | None = None) -> str:
    at = f" -r {rate}" if rate else ""
    return f"convert it first, for example with: sox IN.wav{at} -b 16 -c 1 OUT.wav"
