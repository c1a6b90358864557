"""What the guard believes, and for how long: pure, time comes in as a value (CLOCK_MONOTONIC, nanoseconds)."""

from dataclasses import dataclass
from typing import Literal

from edge_agent.channels import Command

Refusal = Literal["", "epoch", "order", "stale"]


@dataclass(slots=True)
class Rules:
    """Which commands are heard at all. `epoch` is the one in force; up to `allowed` may follow it."""

    epoch: int
    allowed: int
    frame: int = 0

    def allow(self, epoch: int) -> None:
        """Let commands of `epoch` come; the first of them puts it in force. An earlier epoch changes nothing."""
        self.allowed = max(self.allowed, epoch)

    def judge(self, command: Command, now_ns: int) -> Refusal:
        """Accept ("") or say why not: another epoch, a frame not newer than the last, a capture in the future."""
        if not self.epoch <= command.epoch <= self.allowed:
            return "epoch"
        if command.frame <= self.frame:
            return "order"
        if command.captured_ns > now_ns:
            return "stale"
        self.epoch, self.frame = command.epoch, command.frame
        return ""


@dataclass(slots=True)
class DeadMan:
    """How long one actuator may stay where the last frame put it."""

    max_age_ns: int
    deadline_ns: int | None = None
    """None: it is in its safe state, or has not moved yet."""

    def accept(self, captured_ns: int, now_ns: int) -> bool:
        """Say whether a frame of this age may move the actuator; if so, the time starts again."""
        deadline_ns = captured_ns + self.max_age_ns
        if now_ns > deadline_ns:
            return False
        self.deadline_ns = deadline_ns
        return True

    def expired(self, now_ns: int) -> bool:
        """Say once that the time has run out."""
        if self.deadline_ns is None or now_ns <= self.deadline_ns:
            return False
        self.deadline_ns = None
        return True
