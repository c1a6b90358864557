"""`servo`: a servo on one pin, by gpiozero; a position of -1 to 1 for each action."""

from typing import Annotated

import msgspec

from edge_agent.actuators import Application
from edge_agent.actuators.pins import check_values, load_gpiozero

Millis = Annotated[float, msgspec.Meta(gt=0, lt=20)]


class Servo:
    """One servo; untouched while its position stays the same."""

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Pin, positions and pulse widths."""

        pin: int | str
        """As gpiozero names it: 17, "GPIO17" or "BOARD11"."""
        values: dict[str, Annotated[float, msgspec.Meta(ge=-1, le=1)]] = msgspec.field(
            default_factory=lambda: {"stop": -1.0, "go": 1.0}
        )
        """Position for each action."""
        min_pulse_ms: Millis = 1.0
        max_pulse_ms: Millis = 2.0
        """Pulse widths at -1 and 1. Source: gpiozero, class Servo."""

    def __init__(self, options: Options, actions: tuple[str, ...]) -> None:
        check_values(options.values, actions, "servo")
        low, high = options.min_pulse_ms / 1000, options.max_pulse_ms / 1000
        self._servo = load_gpiozero().Servo(options.pin, initial_value=None, min_pulse_width=low, max_pulse_width=high)
        self._values = options.values
        self._last: float | None = None

    def apply(self, application: Application) -> None:
        """Move if the position changes."""
        value = self._values[application.action]
        if value != self._last:
            self._servo.value = value
            self._last = value

    def close(self) -> None:
        """Release the pin."""
        self._servo.close()
