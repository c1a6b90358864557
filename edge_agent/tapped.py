"""Who else wants to see the loops' turns, and the lines that lead there; made once by the supervisor.

No numpy here, because the supervisor makes them.
"""

from dataclasses import dataclass

from edge_agent.channels import Pipe, make_pipe
from edge_agent.config import AgentConfig
from edge_agent.ring_memory import create_ring
from edge_agent.specs import TapSpec

TAP_SLOTS, TAP_SLOT_BYTES = 16, 16 << 20
"""So many turns the recorder may be behind. Memory that is not touched does not exist."""
KEEP_GAP_S, VIEW_GAP_S = 1.0, 0.2


@dataclass(frozen=True, slots=True)
class TapChannel:
    """From one loop to one reader; `ring_fd` is of a ring like that of the frames."""

    ring_fd: int
    announcements: Pipe

    def spec(self, token: str, end_fd: int) -> TapSpec:
        """As one side of it sees it; `end_fd` is its end of the announcements."""
        return TapSpec(ring_fd=self.ring_fd, token=token, publications_fd=end_fd)


@dataclass(frozen=True, slots=True)
class Tapped:
    """One reader's lines, one a loop, and what it wants of the turns."""

    reader: str
    """"recorder", "keeper" or "view"."""
    channels: tuple[TapChannel, TapChannel]
    with_input: bool = False
    unsure_only: bool = False
    gap_s: float = 0.0


def make_tapped(config: AgentConfig, token: bytes, *, recording: bool) -> tuple[Tapped, ...]:
    """Who wants to see the turns, and which of them."""
    found = []
    if recording:
        found.append(Tapped("recorder", _tap_channels(token), with_input=True))
    if config.capture_store:
        found.append(Tapped("keeper", _tap_channels(token), unsure_only=True, gap_s=KEEP_GAP_S))
    if config.view:
        found.append(Tapped("view", _tap_channels(token), gap_s=VIEW_GAP_S))
    return tuple(found)


def _tap_channels(token: bytes) -> tuple[TapChannel, TapChannel]:
    return _channel(token), _channel(token)


def _channel(token: bytes) -> TapChannel:
    return TapChannel(create_ring(token=token, slots=TAP_SLOTS, slot_bytes=TAP_SLOT_BYTES), make_pipe())
