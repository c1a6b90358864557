"""Looks at the machine now and then, and says what the agent shall do without."""

from pathlib import Path

from edge_agent.config import HealthConfig
from edge_agent.watch.health import MachineHealth, Places, describe, look
from edge_agent.watch.heat import COOL, NAMES, SMALLER_MODEL, Heat, Limits


class Thermostat:
    """The policy of `heat.py` on the readings of `health.py`."""

    def __init__(self, config: HealthConfig, disk: Path) -> None:
        self._places = Places(thermal=config.thermal, throttled=config.throttled, proc=config.proc, disk=disk)
        self._heat = Heat(Limits(config.warm_c, config.hot_c, config.cool_c, config.hold_s))
        self._look_s, self._fps_share, self._due_s = config.look_s, config.fps_share, 0.0
        self.health: MachineHealth | None = None
        """As last seen."""

    def look(self, now_s: float) -> str:
        """Look, if it is time to; returns what changed, for people, and else nothing."""
        if now_s < self._due_s:
            return ""
        self._due_s = now_s + self._look_s
        before, self.health = self._heat.level, look(self._places)
        after = self._heat.step(self.health.temperature_c, slowed=self.health.slowed, now_s=now_s)
        return "" if after == before else f"{NAMES[after]}: {describe(self.health)}"

    def fps(self, wanted: float) -> float:
        """Frames a second that are offered to the model now."""
        return wanted if self.cool else wanted * self._fps_share

    @property
    def cool(self) -> bool:
        """Whether there is nothing to do without."""
        return self._heat.level == COOL

    @property
    def level(self) -> int:
        """What there is to do without, as `heat.py` counts it."""
        return self._heat.level

    @property
    def wants_small(self) -> bool:
        """Whether the smaller variant shall decide."""
        return self._heat.level == SMALLER_MODEL

    @property
    def doing(self) -> str:
        """For people."""
        return NAMES[self._heat.level]
