"""A reader's end of one loop's tap: every message in order, and how many were missed before it.

Also what every process that reads taps does: wait for messages, and show the supervisor that it lives.
"""

import select
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from edge_agent.channels import Publication, packets
from edge_agent.link import BEAT_S, Beat, Link
from edge_agent.recording.messages import FromLoop, Life, Turn
from edge_agent.ring import RingReader
from edge_agent.ring_memory import RingMemory
from edge_agent.specs import TapSpec


class Message(NamedTuple):
    """One message of the loop, still encoded."""

    data: bytes
    is_turn: bool
    lost: int
    """Messages that were overtaken before it."""


class Outlet:
    """Reads one tap."""

    def __init__(self, spec: TapSpec) -> None:
        self._reader = RingReader(RingMemory(spec.ring_fd, bytes.fromhex(spec.token), writable=False))
        self._fd, self._sequence = spec.publications_fd, 0

    def fileno(self) -> int:
        """For select() and poll()."""
        return self._fd

    def drain(self) -> list[Message]:
        """Everything that has come since the last call."""
        found = []
        for packet in packets(self._fd):
            seen = Publication.unpack(packet)
            message = self._reader.claim(seen.slot, seen.frame)
            if message is None:  # overtaken; the gap shows at the next one
                continue
            data = message.tobytes()
            self._reader.release(seen.slot)
            lost = seen.frame - self._sequence - 1 if self._sequence else 0
            found.append(Message(data, bool(seen.active), max(0, lost)))  # after damage the loop may count anew
            self._sequence = seen.frame
        return found


def rounds(outlets: Sequence[Outlet], link: Link) -> Iterator[None]:
    """Come back when there is something to drain, at the latest after `BEAT_S`, until the supervisor is gone."""
    while link.open:
        if link.beat_due():
            link.say(Beat())
        select.select([*(outlet.fileno() for outlet in outlets), link.fileno()], [], [], BEAT_S)
        link.orders()
        yield


def turns(specs: Sequence[TapSpec], link: Link) -> Iterator[tuple[Life, Turn]]:
    """Every turn that comes, with the loop's life that it belongs to, until the supervisor is gone."""
    outlets, decoder = [Outlet(tap) for tap in specs], msgspec.msgpack.Decoder(FromLoop)
    lives: dict[int, Life] = {}
    for _ in rounds(outlets, link):
        for message in (message for outlet in outlets for message in outlet.drain()):
            match decoder.decode(message.data):
                case Life() as life:
                    lives[life.life] = life
                case Turn() as turn if turn.life in lives:
                    yield lives[turn.life], turn
