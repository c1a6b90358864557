"""`microphone`: sound through ALSA, at the model's own sample rate, stamped period by period.

`arecord` (package alsa-utils, part of Raspberry Pi OS) reads the device in a process of its own, and we its pipe: no
Python package is needed, a driver that hangs can be killed, and no callback competes for the GIL. (The wheels of
PortAudio's Python binding hold no library for Linux, so it would need a system package, too.)
A lost period (overrun) ends arecord, for `--fatal-errors` is set: the window starts anew, and no model hears a gap.
"""

from __future__ import annotations

import os
import select
import subprocess
import time
from functools import partial
from typing import Annotated

import msgspec

from edge.errors import MissingExtraError, SourceError
from edge_agent.link import die_with
from edge_agent.sources import Rows

SAMPLE_BYTES = 2
DRIFT = 1e-3
"""Share by which a sound card's clock may differ from ours; crystals keep 1e-4."""


class Microphone:
    """Reads one channel, 16 bits a sample."""

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Which microphone."""

        device: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] = "default"
        """As `arecord -L` lists them: plughw:1 converts where the card has another rate or two channels."""
        period_ms: Annotated[float, msgspec.Meta(ge=1, le=1000)] = 20.0
        """Sound is delivered in pieces of this length."""
        buffer_ms: Annotated[float, msgspec.Meta(ge=4, le=10_000)] = 500.0
        """What the driver holds while nobody reads; beyond it sound is lost, and the window starts anew."""
        silent_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 2.0
        """A device that delivers nothing for so long has broken off."""

    live = True

    def __init__(self, options: Options) -> None:
        self._options = options
        self._arecord: subprocess.Popen[bytes] | None = None
        self._rate, self._odd = 0, b""
        self._clock = SampleClock(1)

    def open(self, width: int, height: int, fps: float) -> None:  # noqa: ARG002 - sound has no size
        """Start arecord at `fps` samples a second; raises `MissingExtraError` where it is not installed."""
        self._rate, self._odd = round(fps), b""
        options = self._options
        command = ["arecord", "-q", "-D", options.device, "-t", "raw", "-f", "S16_LE", "-c", "1", "-r", str(self._rate)]
        command += [
            f"--period-time={round(options.period_ms * 1000)}",
            f"--buffer-time={round(options.buffer_ms * 1000)}",
        ]
        try:
            self._arecord = subprocess.Popen(
                [*command, "--fatal-errors"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                # killed with us, so that the device is free for the capture process that follows
                preexec_fn=partial(die_with, os.getpid()),  # noqa: PLW1509 - capture has one thread
            )
        except FileNotFoundError as exc:
            raise MissingExtraError("no arecord on this device", remedy="sudo apt-get install alsa-utils") from exc
        self._clock = SampleClock(self._rate)

    def read(self, frame: int) -> Rows:  # noqa: ARG002 - a microphone hears what there is
        """At most one period of sound, as [n, 1] from -1 to 1; raises `SourceError` when the device has gone."""
        import numpy as np

        from edge.sound import to_real

        data = self._odd + self._next_bytes()
        whole = len(data) // SAMPLE_BYTES * SAMPLE_BYTES
        self._odd = data[whole:]
        samples = to_real(np.frombuffer(data[:whole], "<i2").astype(np.int16))
        return Rows(samples.reshape(-1, 1), self._clock.stamp(len(samples), time.monotonic_ns()))

    def _next_bytes(self) -> bytes:
        assert self._arecord is not None, "open() comes first"  # noqa: S101 - a mistake in our own code
        assert self._arecord.stdout is not None  # noqa: S101 - it is a pipe
        fd, most = self._arecord.stdout.fileno(), self._period_bytes()
        if not select.select([fd], [], [], self._options.silent_s)[0]:
            raise SourceError(
                f"microphone {self._options.device!r} is silent", remedy="look at its plug; `arecord -L` lists devices"
            )
        data = os.read(fd, most)
        if not data:
            raise SourceError(
                f"microphone {self._options.device!r} broke off: {self._last_words()}",
                remedy="look at its plug and at source.device; `arecord -L` lists devices",
            )
        return data

    def _period_bytes(self) -> int:
        return max(1, round(self._rate * self._options.period_ms / 1000)) * SAMPLE_BYTES

    def _last_words(self) -> str:
        """Why arecord ended, as it says itself."""
        assert self._arecord is not None  # noqa: S101 - only asked of one that ran
        _, said = self._arecord.communicate()
        lines = said.decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), f"exit code {self._arecord.returncode}")

    def close(self) -> None:
        """End arecord."""
        if self._arecord is not None:
            self._arecord.kill()
            self._arecord.communicate()  # closes both pipes, and leaves no zombie
            self._arecord = None


class SampleClock:
    """When samples were taken, told by counting them: what waited in a pipe is as old as it is.

    A sample arrives after it was taken, never before. So the earliest arrival so far, by the count, is the best guess;
    it may grow later by `DRIFT`, for the sound card has a clock of its own.
    """

    def __init__(self, rate: int) -> None:
        self._rate, self._count = rate, 0
        self._offset_ns: float | None = None
        """When sample 0 was taken."""
        self._last_ns = 0

    def stamp(self, samples: int, now_ns: int) -> int:
        """When the last of `samples` that just arrived was taken; never after `now_ns`."""
        self._count += samples
        arrived_ns = now_ns - self._count * 1e9 / self._rate
        if self._offset_ns is None:
            self._offset_ns = arrived_ns
        else:
            self._offset_ns = min(arrived_ns, self._offset_ns + DRIFT * (now_ns - self._last_ns))
        self._last_ns = now_ns
        return min(now_ns, round(self._offset_ns + self._count * 1e9 / self._rate))
