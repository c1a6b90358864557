"""The loop, awake before its frame comes, so that what a turn needs lies in the processor's caches.

Between two frames other work takes the caches, and a turn's code then costs several times what it costs when it runs
again at once. Where `loop.rehearse_ms` is set, the loop wakes so long before the next frame is expected, goes through
a turn on old data without inference and without telling anybody, and stays awake until the frame comes.
"""

import select
import time
from collections import deque
from collections.abc import Callable

from edge_agent.channels import Publication
from edge_agent.link import BEAT_S

INTERVALS = 9
"""The next frame is expected after the median of so many intervals."""


class Rehearsal:
    """Waits in the place of a plain poll()."""

    def __init__(self, ahead_ms: float, sources: tuple[int, ...], turn: Callable[[], object]) -> None:
        """`sources`: descriptors whose news end a wait. `turn`: to go through; it must change nothing that lasts."""
        self._ahead_ns, self._sources, self._turn = round(ahead_ms * 1e6), sources, turn
        self._intervals_ns: deque[int] = deque(maxlen=INTERVALS)
        self._last: Publication | None = None
        self._expected_ns: int | None = None

    def wait(self) -> None:
        """Return when there is news, at the latest after `BEAT_S`."""
        if self._expected_ns is None:
            self._sleep(BEAT_S)
            return
        wake_ns, self._expected_ns = self._expected_ns - self._ahead_ns, None
        sleep_s = min(BEAT_S, (wake_ns - time.monotonic_ns()) / 1e9)
        if sleep_s <= 0 or self._sleep(sleep_s) or time.monotonic_ns() < wake_ns:
            return
        self._turn()
        give_up_ns = wake_ns + 2 * self._ahead_ns
        while not self._sleep(0.0) and time.monotonic_ns() < give_up_ns:
            pass

    def saw(self, seen: Publication) -> None:
        """Learn from a frame when the next one will come."""
        if not self._ahead_ns:
            return
        if self._last is not None and seen.frame == self._last.frame + 1:
            self._intervals_ns.append(seen.published_ns - self._last.published_ns)
        self._last = seen
        if self._intervals_ns:
            middle = sorted(self._intervals_ns)[len(self._intervals_ns) // 2]
            self._expected_ns = seen.published_ns + middle

    def _sleep(self, seconds: float) -> bool:
        """Whether there was news."""
        ready, _, _ = select.select(self._sources, (), (), seconds)  # poll() counts in milliseconds: too coarse
        return bool(ready)
