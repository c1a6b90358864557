"""`led`: a light (or a relay, a motor driver) on one pin, by gpiozero; a brightness of 0 to 1 for each action."""

from typing import Annotated

import msgspec

from edge_agent.actuators import Application
from edge_agent.actuators.pins import check_values, load_gpiozero


class Led:
    """One output pin; untouched while its value stays the same."""

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Pin and values."""

        pin: int | str
        """As gpiozero names it: 17, "GPIO17" or "BOARD11"."""
        values: dict[str, Annotated[float, msgspec.Meta(ge=0, le=1)]] = msgspec.field(
            default_factory=lambda: {"stop": 0.0, "go": 1.0}
        )
        """Brightness for each action."""
        pwm: bool = False
        """Whether values between 0 and 1 are dimmed; else everything above 0 is on."""

    def __init__(self, options: Options, actions: tuple[str, ...]) -> None:
        check_values(options.values, actions, "led")
        gpiozero = load_gpiozero()
        make = gpiozero.PWMLED if options.pwm else gpiozero.LED
        self._led = make(options.pin)
        self._values = options.values if options.pwm else {a: float(v > 0) for a, v in options.values.items()}
        self._last: float | None = None

    def apply(self, application: Application) -> None:
        """Set the pin if its value changes."""
        value = self._values[application.action]
        if value != self._last:
            self._led.value = value
            self._last = value

    def close(self) -> None:
        """Release the pin."""
        self._led.close()
