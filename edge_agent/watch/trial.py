"""Probation: a new version must decide for a while, without a fault and without falling silent."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Trial:
    """One version on probation; pure, times are monotonic seconds."""

    version: int
    began_s: float
    probation_s: float
    quiet_s: float
    """Longest time without a decision."""
    decisions: int = 0
    _last_s: float = field(init=False)
    _looked_s: float = field(init=False)
    _trouble: str = ""

    def __post_init__(self) -> None:
        self._last_s = self._looked_s = self.began_s

    def looked(self, now_s: float) -> None:
        """Everything that was decided until now has been counted: silence before a look is the watcher's own."""
        self._looked_s = now_s

    def decided(self, version: int, count: int, now_s: float) -> None:
        """Some decisions were made."""
        if version == self.version and count:
            self.decisions += count
            self._last_s = now_s

    def fault(self, process: str, reason: str) -> None:
        """A process had to be started again; only the loops speak for or against a model."""
        if process.startswith("loop") and not self._trouble:
            self._trouble = f"{process}: {reason}"

    def verdict(self, now_s: float, deciding: int) -> str | None:
        """None: not yet known; empty: passed; else why it failed. `deciding`: the version that decides now."""
        if self._trouble:
            return self._trouble
        if deciding != self.version:
            return f"version {deciding} decides"
        if self._looked_s - self._last_s > self.quiet_s:
            return f"no decision for {self.quiet_s:g} s"
        if now_s - self.began_s >= self.probation_s and self.decisions:
            return ""
        return None
