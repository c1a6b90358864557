"""Awake before a frame comes, so that what is done with it lies in the processor's caches.

Between two frames other work takes the caches, and code then costs several times what it costs when it runs again at
once. Where `loop.rehearse_ms` is set, loop and capture wake so long before the next frame is due, go through their work
on old data and without telling anybody, and stay awake until the frame comes. With `loop.rehearse_inference` the loop
runs its model, too, where that is over in time.
"""

import select
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from statistics import median_low
from typing import NamedTuple, Protocol

from edge_agent.channels import Publication
from edge_agent.link import BEAT_S, Order, Rehearse

FRAMES = 9
"""By so many frames it is told when the next one will come."""


class Rehearsal:
    """Waits in the place of a plain poll()."""

    def __init__(self, ahead_ms: float, sources: tuple[int, ...], *, on: bool = True) -> None:
        """`sources`: descriptors whose news end a wait."""
        self._wanted_ns, self._sources = round(ahead_ms * 1e6), sources
        self.ahead_ns = 0
        """0: it only waits."""
        self.allow(on=on)

    def allow(self, *, on: bool) -> None:
        """Rehearse from now on, or do without until told otherwise."""
        self.ahead_ns = self._wanted_ns if on else 0

    def before(self, due_ns: int, turn: Callable[[], object], *, work_ns: int = 0, awake_ns: int = 0) -> None:
        """Wait until `due_ns`, and rehearse `turn` before; return at once with news, and at the latest after `BEAT_S`.

        Args:
            due_ns: CLOCK_MONOTONIC.
            turn: changes nothing that lasts. It is left out where it would begin late.
            work_ns: time that it takes and that the next frame should not wait for.
            awake_ns: how long to stay awake after `due_ns`.

        """
        wake_ns = due_ns - self.ahead_ns - work_ns
        if time.monotonic_ns() < wake_ns:
            if self.news(wake_ns) or time.monotonic_ns() < wake_ns:
                return
            if self.ahead_ns:
                turn()
        while self.ahead_ns and not self.news(0) and time.monotonic_ns() < due_ns + awake_ns:
            pass

    def news(self, until_ns: int) -> bool:
        """Sleep until then, `BEAT_S` at most; whether there was news before."""
        seconds = min(BEAT_S, max(0.0, (until_ns - time.monotonic_ns()) / 1e9)) if until_ns else 0.0
        ready, _, _ = select.select(self._sources, (), (), seconds)  # poll() counts in milliseconds: too coarse
        return bool(ready)


class Forecast(NamedTuple):
    """When the next frame will come, CLOCK_MONOTONIC."""

    due_ns: int
    """Typically: half of the last frames would have been later, half earlier."""
    earliest_ns: int
    """If it comes as early as the earliest of them."""


class Rhythm:
    """Learns from the last frames when the next one will come; one that came late makes no later one look early."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, int]] = deque(maxlen=FRAMES)

    def saw(self, frame: int, at_ns: int) -> None:
        """Take one frame; after a gap it begins anew."""
        if self._seen and frame != self._seen[-1][0] + 1:
            self._seen.clear()
        self._seen.append((frame, at_ns))

    def next(self) -> Forecast | None:
        """Of the frame after the last one; None while fewer than two are known."""
        if len(self._seen) < 2:
            return None
        times = [at_ns for _, at_ns in self._seen]
        period_ns = median_low(later - earlier for earlier, later in pairwise(times))
        due = [at_ns + steps * period_ns for steps, at_ns in enumerate(reversed(times), start=1)]
        return Forecast(median_low(due), min(due))


class Turn(Protocol):
    """A turn of the loop that changes nothing that lasts."""

    def __call__(self, *, inference: bool) -> object:
        """Go through it."""


class BetweenTurns:
    """What the loop does until the next frame comes."""

    def __init__(self, rehearsal: Rehearsal, turn: Turn, *, inference: bool) -> None:
        """`inference`: a turn may be one with inference, where there is time for it."""
        self._rehearsal, self._turn, self._rhythm = rehearsal, turn, Rhythm()
        self._inferences_ns: deque[int] | None = deque(maxlen=FRAMES) if inference else None
        self._forecast: Forecast | None = None

    def wait(self) -> None:
        """Return when there is news, at the latest after `BEAT_S`; a frame that stays away is rehearsed for once."""
        rehearsal, forecast, self._forecast = self._rehearsal, self._forecast, None
        if forecast is None:
            rehearsal.news(time.monotonic_ns() + round(BEAT_S * 1e9))
            return
        work_ns = self._spare_ns(forecast)
        turn = partial(self._turn, inference=work_ns > 0)
        rehearsal.before(forecast.due_ns, turn, work_ns=work_ns, awake_ns=rehearsal.ahead_ns)

    def obey(self, orders: list[Order]) -> None:
        """Do as the supervisor says."""
        for order in orders:
            if isinstance(order, Rehearse):
                self._rehearsal.allow(on=order.on)

    def saw(self, seen: Publication, inference_ns: int) -> None:
        """Learn from a frame, after its turn."""
        if not self._rehearsal.ahead_ns:
            return
        self._rhythm.saw(seen.frame, seen.published_ns)
        self._forecast = self._rhythm.next()
        if self._inferences_ns is not None:
            self._inferences_ns.append(inference_ns)

    def _spare_ns(self, forecast: Forecast) -> int:
        """How long inference takes, if one more would be over before the frame comes, even an early one; else 0."""
        latest_ns = forecast.due_ns - self._rehearsal.ahead_ns
        if not self._inferences_ns or forecast.earliest_ns < latest_ns:
            return 0
        longest_ns = max(self._inferences_ns)
        return longest_ns if time.monotonic_ns() < latest_ns - longest_ns else 0
