"""From values to pixels."""

from dataclasses import dataclass
from math import ceil, floor, log10


@dataclass(frozen=True, slots=True)
class Axis:
    """Maps values to pixels, with round ticks."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, most: int = 5) -> list[float]:
        """Round values inside the axis."""
        raw = (self.high - self.low) / most
        power = 10.0 ** floor(log10(raw))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
        first = ceil(self.low / step - 1e-9)
        return [step * k for k in range(first, floor(self.high / step + 1e-9) + 1)]

    def rising(self) -> list[float]:
        """Ticks of an axis that may run downward."""
        return Axis(min(self.low, self.high), max(self.low, self.high), 0, 1).ticks()


def signed(tick: float, digits: str = "+g") -> str:
    """Write a tick with its sign; 0 has none."""
    return format(tick, digits) if round(tick, 9) else "0"
