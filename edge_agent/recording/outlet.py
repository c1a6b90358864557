"""A reader's end of one loop's tap: every message in order, and how many were missed before it."""

from typing import NamedTuple

from edge_agent.channels import Publication, packets
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
        self._reader = RingReader(RingMemory(spec.ring_fd, bytes.fromhex(spec.token)))
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
            found.append(Message(data, bool(seen.active), seen.frame - self._sequence - 1 if self._sequence else 0))
            self._sequence = seen.frame
        return found
