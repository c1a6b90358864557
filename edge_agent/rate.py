"""The one clock of periodic work."""

import time


class Ratekeeper:
    """Ticks at a fixed rate on CLOCK_MONOTONIC, without drift; a tick that is missed is left out, not made up for."""

    def __init__(self, rate_hz: float) -> None:
        self._period_ns = round(1e9 / rate_hz)
        self._next_ns = time.monotonic_ns()

    def change(self, rate_hz: float) -> None:
        """Tick at another rate, from the tick on that is due next."""
        self._period_ns = round(1e9 / rate_hz)

    @property
    def next_ns(self) -> int:
        """When the next tick is due, CLOCK_MONOTONIC."""
        return self._next_ns

    def wait_s(self, now_ns: int) -> float:
        """Time until the next tick, 0 when it is due."""
        return max(0.0, (self._next_ns - now_ns) / 1e9)

    def due(self, now_ns: int) -> bool:
        """Say whether the tick has come, and take it."""
        if now_ns < self._next_ns:
            return False
        self._next_ns += self._period_ns
        if self._next_ns <= now_ns:  # more than a whole period late: start afresh
            self._next_ns = now_ns + self._period_ns
        return True
