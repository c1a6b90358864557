"""What the processes last said of themselves, and since when each is silent."""

import logging
import time

from edge_agent import link
from edge_agent.link import Beat, CaptureBeat, GuardBeat, LoopReady, SensorsBeat

log = logging.getLogger("edge.supervisor")


class Heartbeats:
    """Keeps the newest of each kind, and writes new trouble to the log once."""

    def __init__(self) -> None:
        self.capture: CaptureBeat | None = None
        self.guard: GuardBeat | None = None
        self.sensors: SensorsBeat | None = None
        self._well_s: dict[str, float] = {}

    def heard(self, name: str, news: link.News) -> None:
        """Take what the process of this name said."""
        if isinstance(news, Beat | LoopReady | CaptureBeat | SensorsBeat | GuardBeat):
            self._well_s[name] = time.monotonic()
        match news:
            case CaptureBeat():
                self._on_capture(news)
            case SensorsBeat():
                self._on_sensors(news)
            case GuardBeat():
                self.guard = news
            case _:
                pass

    def worked(self, name: str) -> bool:
        """Whether the process of this name ever proved that it works."""
        return name in self._well_s

    def silent_s(self, name: str, now_s: float) -> float:
        """Since it last did so; 0 where it never did."""
        return now_s - self._well_s.get(name, now_s)

    def _on_capture(self, beat: CaptureBeat) -> None:
        before = self.capture.trouble if self.capture else ""
        if beat.trouble and beat.trouble != before:
            log.warning("no frames: %s", beat.trouble)
        self.capture = beat

    def _on_sensors(self, beat: SensorsBeat) -> None:
        before = self.sensors.troubles if self.sensors else {}
        for name, trouble in beat.troubles.items():
            if trouble != before.get(name):
                log.warning("sensor %s: %s", name, trouble)
        self.sensors = beat
