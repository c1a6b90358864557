"""A sound card without sound: an ALSA device that hears what is written to a pipe."""

import os
import shutil
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from tones import HIGH_HZ, PERIOD, RATE, tone

needs_arecord = pytest.mark.skipif(shutil.which("arecord") is None, reason="needs arecord, of alsa-utils")


class Card:
    """An ALSA device that hears what is written to a pipe, in real time, until it is unplugged."""

    def __init__(self, folder: Path) -> None:
        self.name = f"card_{os.getpid()}"  # other tests may run beside us
        self.config, self._fifo = folder / "asound.conf", folder / "sound"
        self.hears, self._ended = tone(HIGH_HZ), threading.Event()
        os.mkfifo(self._fifo)
        self._fd = os.open(self._fifo, os.O_RDWR)  # ours is a reader, too: no end of file, no broken pipe
        self._thread = threading.Thread(target=self._run)
        self.plug()
        self._thread.start()

    def plug(self) -> None:
        self.config.write_text(
            textwrap.dedent(f"""
            </usr/share/alsa/alsa.conf>
            pcm.{self.name} {{ type file, slave.pcm "null", file "/dev/null", infile "{self._fifo}", format "raw" }}
        """)
        )

    def unplug(self) -> None:
        self.config.write_text("</usr/share/alsa/alsa.conf>\n")

    def _run(self) -> None:
        os.set_blocking(self._fd, False)
        due_s = time.monotonic() + PERIOD / RATE
        while not self._ended.wait(max(0.0, due_s - time.monotonic())):
            due_s += PERIOD / RATE  # on a busy machine, too: sound that comes late counts as old
            try:
                os.write(self._fd, self.hears[:PERIOD].tobytes())
            except BlockingIOError:
                continue  # nobody listens
            self.hears = np.roll(self.hears, -PERIOD)

    def end(self) -> None:
        self._ended.set()
        self._thread.join()
        os.close(self._fd)


def recorders(card: Card) -> list[int]:
    """Process ids of every arecord that listens to it."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = line.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"arecord") and card.name.encode() in words:
            found.append(int(line.parent.name))
    return found
