"""`pins`: switches, buttons and light barriers on input pins, by gpiozero; one row of 0 and 1 each `period_s`.

`GPIOZERO_PIN_FACTORY=mock` runs it without hardware.
"""

from __future__ import annotations

import time
from array import array
from typing import Annotated, Any

import msgspec

from edge.errors import MissingExtraError, SourceError
from edge_agent.rate import Ratekeeper
from edge_agent.sensors import Measured


class Pin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One input; 1 is active."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    pin: int | str
    """As gpiozero names it: 17, "GPIO17" or "BOARD11"."""
    pull_up: bool = True
    """The pin is held high and active when it is drawn low (a switch to ground); else the other way round."""


class Pins:
    """Looks at all inputs together."""

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Which pins."""

        pins: Annotated[tuple[Pin, ...], msgspec.Meta(min_length=1, max_length=64)]
        period_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 0.02

    def __init__(self, options: Options) -> None:
        self._options = options
        self.columns = tuple(pin.name for pin in options.pins)
        self._devices: list[Any] = []  # of gpiozero, which is untyped
        self._rate = Ratekeeper(1 / options.period_s)

    def open(self) -> None:
        """Take the pins; raises `SourceError` if one is taken or does not exist."""
        try:
            from gpiozero import DigitalInputDevice, GPIOZeroError
        except ImportError as exc:
            raise MissingExtraError("pins need gpiozero", remedy="pip install 'edgewright[agent]'") from exc
        for pin in self._options.pins:
            try:
                self._devices.append(DigitalInputDevice(pin.pin, pull_up=pin.pull_up))
            except (GPIOZeroError, OSError) as exc:
                raise SourceError(f"pin {pin.pin} cannot be used: {exc}", remedy="see `pinout` for its names") from exc

    def read(self) -> Measured | None:
        """The inputs, when the period has come."""
        time.sleep(min(self._rate.wait_s(time.monotonic_ns()), 1.0))
        now_ns = time.monotonic_ns()
        if not self._rate.due(now_ns):
            return None
        return Measured(array("f", [float(device.value) for device in self._devices]), now_ns)

    def close(self) -> None:
        """Let the pins go."""
        for device in self._devices:
            device.close()
        self._devices = []
