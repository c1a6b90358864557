"""What the guard moves. One file and one line in `KINDS` for each kind; no numpy and no cv2 in any of them."""

from dataclasses import dataclass
from typing import Protocol

KINDS = {
    "print": "edge_agent.actuators.printer:Printer",
    "recorder": "edge_agent.actuators.recorder:Recorder",
    "led": "edge_agent.actuators.led:Led",
    "servo": "edge_agent.actuators.servo:Servo",
}
GROUP = "edgewright.actuators"
"""Of the entry points by which packages add kinds."""


@dataclass(frozen=True, slots=True)
class Application:
    """One change or refresh of an actuator. Times: CLOCK_MONOTONIC, nanoseconds; frame 0: none."""

    action: str
    safe: bool
    """The dead-man, a start or an end chose, not a command."""
    frame: int
    captured_ns: int
    applied_ns: int


class Actuator(Protocol):
    """Something that moves or shines. Made as `Class(options, actions)`, `options` being `Class.Options`.

    `actions`: every action that may come. The constructor raises `BadConfigError` where one of them has no meaning.
    """

    def apply(self, application: Application) -> None:
        """Carry out an action; returns when it is done, in much less than a frame."""

    def close(self) -> None:
        """Let go of the hardware; the safe state has been applied before."""
