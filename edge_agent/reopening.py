"""A source that is opened again when it breaks off, with growing pauses, and that knows when its next picture comes."""

import time

from edge.errors import SourceError
from edge_agent.backoff import Backoff
from edge_agent.link import BEAT_S
from edge_agent.press import Press
from edge_agent.rehearsal import Rhythm
from edge_agent.sources import Picture, Rows, Source


class Reopening:
    """A source that is opened again when it breaks off."""

    def __init__(self, source: Source, fps: float) -> None:
        self._source, self._fps = source, fps
        self._open = False
        self._asked = (1, 1, fps)
        self._backoff = Backoff()
        self._again_s = 0.0
        self.trouble = ""
        """Empty, or why there are no pictures."""
        self.ended = False
        self._rhythm, self._shots = Rhythm(), 0

    @property
    def next_ns(self) -> int | None:
        """The earliest time that the next picture will come, CLOCK_MONOTONIC; None where nobody can say."""
        forecast = self._rhythm.next()
        return None if forecast is None else forecast.earliest_ns

    @property
    def live(self) -> bool:
        """Whether it sets its own pace, and is doing so."""
        return self._source.live and self._open

    def read(self, press: Press) -> Picture | Rows | None:
        """The next picture; None when the source has ended or is not to be had just now."""
        if time.monotonic() < self._again_s:
            return None
        try:
            if self._open and press.hears and press.ask(self._fps) != self._asked:
                self.close()  # the model that decides now hears at another rate
            if not self._open:
                self._asked = press.ask(self._fps)
                self._source.open(*self._asked)
                self._open = True
            shot = self._source.read(press.frame + 1)
        except SourceError as exc:
            self.trouble = exc.problem
            press.start_anew()
            self.close()
            self._again_s = self._backoff.failed(time.monotonic())
            return None
        self.trouble = shot.gap if isinstance(shot, Rows) else ""
        self.ended = shot is None
        return shot

    def follow(self, shot: Picture) -> None:
        """Learn from a picture, after it was published, when the next one will come."""
        self._shots += 1
        self._rhythm.saw(self._shots, shot.captured_ns)

    def pause_s(self) -> float:
        """How long to wait before `read()` is worth a try."""
        return min(BEAT_S, max(0.0, self._again_s - time.monotonic()))

    def close(self) -> None:
        """Close the source; `read()` opens it again."""
        self._open, self._rhythm = False, Rhythm()
        self._source.close()
