"""When a model with a state begins anew: at a gap, and whenever another loop decided in between."""

from edge.manifest import AudioInput, InputContract, SeriesInput
from edge.runtimes import Session
from edge_agent.channels import Publication

LATE_PERIODS = 2.0
"""A frame that comes later than so many periods after the one before is behind a gap, however slow the source is."""


class Memory:
    """Follows the frames that a loop consumes, and resets the session's state where one does not join the last."""

    def __init__(self, session: Session, max_gap_ms: float) -> None:
        """`max_gap_ms`: longest time between the captures of two frames of one stretch."""
        self._session, self._max_gap_ns = session, round(max_gap_ms * 1e6)
        self._stretch = (-1, -1)
        self._captured_ns = 0

    def follow(self, seen: Publication) -> bool:
        """Before a step on this frame; returns whether the state is zero for it."""
        stretch = (seen.began, seen.epoch)  # an epoch ends at each switch, and another loop's frames are a gap here
        gap_ns = seen.captured_ns - self._captured_ns
        anew = stretch != self._stretch or not 0 <= gap_ns <= self._max_gap_ns
        self._stretch, self._captured_ns = stretch, seen.captured_ns
        if anew:
            self._session.reset()
        return anew


def memory_of(session: Session, contract: InputContract, *, max_age_ms: float, period_ms: float) -> Memory | None:
    """None for a model without a state.

    Args:
        session: the model.
        contract: a series makes a frame of every `stride` rows, sound one of every `stride` hops.
        max_age_ms: largest of all actuators: what is older is of use to none.
        period_ms: between two rows or pictures of the source.
    """
    if not session.variant.state:
        return None
    match contract:
        case SeriesInput(stride=stride):
            period_ms *= stride
        case AudioInput(stride=stride, hop_length=hop, sample_rate=rate):
            period_ms = 1000 * stride * hop / rate
    return Memory(session, max(max_age_ms, LATE_PERIODS * period_ms))
