"""The recorder process: from the loops' taps into a file, in the background of everything else.

It ends the recording when it is long or large enough, by telling the supervisor that there is nothing more to do.
"""

import os
import time
from pathlib import Path

import msgspec

import edge
from edge_agent.link import Ended, Link, die_with, start_child
from edge_agent.recording.chunks import ChunkWriter
from edge_agent.recording.messages import Closing, Items, Lost, Opening
from edge_agent.recording.outlet import Outlet, rounds
from edge_agent.specs import RecorderSpec

SYNC_S = 2.0
"""What a power cut may cost."""
_NICE = 5


def run(spec: RecorderSpec, link: Link) -> None:
    """Main path: wait for turns, append them, end when there is enough."""
    die_with(spec.parent)
    os.nice(_NICE)
    file = File(spec)
    outlets = [Outlet(tap) for tap in spec.taps]
    told = False
    for _ in rounds(outlets, link):
        for outlet in outlets:
            write(outlet, file)
        file.sync_now_and_then()
        if file.enough and not told:
            told = True
            link.say(Ended())
    for outlet in outlets:
        write(outlet, file)
    file.close()


def write(outlet: Outlet, file: "File") -> None:
    """Append everything that has come."""
    for message in outlet.drain():
        file.note_lost(message.lost)
        file.append_message(message.data, is_turn=message.is_turn)


class File:
    """The recording, and how much of it there is."""

    def __init__(self, spec: RecorderSpec) -> None:
        self._chunks = ChunkWriter(Path(spec.path))
        self._began_s, self._synced_s = 0.0, time.monotonic()
        self._seconds, self._max_bytes = spec.seconds, spec.max_bytes
        self._append(Opening(wall_ns=time.time_ns(), device=spec.device, model=spec.model, agent=edge.__version__))
        self._chunks.sync()

    @property
    def enough(self) -> bool:
        """Whether it is long or large enough."""
        return self._reason() != ""

    def note_lost(self, turns: int) -> None:
        """Some turns did not come."""
        if turns:
            self._append(Lost(turns=turns))

    def append_message(self, message: bytes, *, is_turn: bool) -> None:
        """Add a message of the loop as it is; nothing after the end. Time counts from the first turn on."""
        if not self.enough:
            self._began_s = self._began_s or (time.monotonic() if is_turn else 0.0)
            self._chunks.append(message)

    def sync_now_and_then(self) -> None:
        """Once in `SYNC_S`."""
        now_s = time.monotonic()
        if now_s - self._synced_s >= SYNC_S:
            self._synced_s = now_s
            self._chunks.sync()

    def close(self) -> None:
        """End in order."""
        self._append(Closing(reason=self._reason() or "the agent ended"))
        self._chunks.close()

    def _reason(self) -> str:
        if self._began_s and time.monotonic() - self._began_s >= self._seconds:
            return f"{self._seconds:g} s were recorded"
        if self._chunks.size >= self._max_bytes:
            return f"{self._max_bytes} bytes were recorded"
        return ""

    def _append(self, item: Items) -> None:
        self._chunks.append(msgspec.msgpack.encode(item))


if __name__ == "__main__":
    start_child(RecorderSpec, run)
