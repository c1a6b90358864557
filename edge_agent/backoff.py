"""How long to wait before something that failed is tried again."""

from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """Doubles from `first_s` to `most_s`; starts anew after `calm_s` without a failure. Time is a value, in seconds."""

    first_s: float = 0.1
    most_s: float = 5.0
    calm_s: float = 10.0
    failures: int = 0
    _wait_s: float = 0.0
    _failed_s: float = float("-inf")

    def failed(self, now_s: float) -> float:
        """Note a failure, and return when to try again."""
        if now_s - self._failed_s > self._wait_s + self.calm_s:
            self._wait_s = 0.0
        self._wait_s = min(self.most_s, max(self.first_s, 2 * self._wait_s))
        self._failed_s = now_s
        self.failures += 1
        return now_s + self._wait_s
