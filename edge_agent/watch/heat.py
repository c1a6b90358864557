"""What to do without when the machine is hot: first frames, then the larger model. Pure.

One step at a time, with `hold_s` between two, for the effect of a step takes time to show. Back only after it has been
cool for `hold_s`, so that a device at its limit does not swing.
"""

from dataclasses import dataclass

COOL, FEWER_FRAMES, SMALLER_MODEL = 0, 1, 2
NAMES = ("all frames", "fewer frames", "fewer frames, and the smaller variant")


@dataclass(frozen=True, slots=True)
class Limits:
    """Degrees Celsius, and seconds."""

    warm_c: float
    """From here on: fewer frames."""
    hot_c: float
    """From here on, or when the machine throttles itself: the smaller variant too."""
    cool_c: float
    """Up to here: a step back."""
    hold_s: float


@dataclass(slots=True)
class Heat:
    """Remembers the step, and since when."""

    limits: Limits
    level: int = COOL
    _stepped_s: float = float("-inf")
    _cool_since_s: float | None = None

    def step(self, temperature_c: float | None, *, slowed: bool, now_s: float) -> int:
        """Take one look; returns the level. A temperature that is not known changes nothing."""
        if not self._is_cool(temperature_c, slowed=slowed):
            self._cool_since_s = None
            if (
                self._wanted(temperature_c, slowed=slowed) > self.level
                and now_s - self._stepped_s >= self.limits.hold_s
            ):
                self.level, self._stepped_s = self.level + 1, now_s
            return self.level
        if self._cool_since_s is None:
            self._cool_since_s = now_s
        if self.level > COOL and now_s - self._cool_since_s >= self.limits.hold_s:
            self.level, self._stepped_s, self._cool_since_s = self.level - 1, now_s, now_s
        return self.level

    def _is_cool(self, temperature_c: float | None, *, slowed: bool) -> bool:
        return not slowed and temperature_c is not None and temperature_c <= self.limits.cool_c

    def _wanted(self, temperature_c: float | None, *, slowed: bool) -> int:
        known_c = float("-inf") if temperature_c is None else temperature_c
        if slowed or known_c >= self.limits.hot_c:
            return SMALLER_MODEL
        return FEWER_FRAMES if known_c >= self.limits.warm_c else COOL
