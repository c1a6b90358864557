"""One sensor, read for ever in a thread of its own: opened again when it breaks off, given up when it hangs."""

import threading
import time
from collections.abc import Callable

from edge.errors import AgentError, EdgeError, SourceError
from edge_agent.backoff import Backoff
from edge_agent.link import BEAT_S
from edge_agent.sensors import Measured, Sensor


class Watch:
    """Hands every measurement to `publish`, which is called in this sensor's thread."""

    def __init__(self, name: str, sensor: Sensor, hang_s: float, publish: Callable[[Measured], None]) -> None:
        """`hang_s`: a sensor that neither delivers nor fails for so long hangs."""
        self.name, self.trouble = name, "nothing measured yet"
        """`trouble`: empty, or why there is nothing new."""
        self.columns = sensor.columns
        self._sensor, self._hang_s, self._publish = sensor, hang_s, publish
        self._turned_s = time.monotonic()
        self._error: EdgeError | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read_forever, name=f"sensor {name}", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._turned_s = time.monotonic()
        self._thread.start()

    def check(self, now_s: float) -> None:
        """Raise what trying again will not mend, or `AgentError` when the sensor hangs.

        Its thread cannot be ended then: only with the process, which the supervisor starts again.
        """
        if self._error is not None:
            raise self._error
        if now_s - self._turned_s > self._hang_s:
            raise AgentError(f"sensor {self.name!r} hangs", remedy="look at its plug and its power")

    def end(self, timeout_s: float = 2.0) -> None:
        """Ask the thread to end and wait for it, but not for one that hangs."""
        self._ended.set()
        self._thread.join(timeout_s)

    def _read_forever(self) -> None:
        backoff = Backoff()
        try:
            while not self._ended.is_set():
                try:
                    self._sensor.open()
                    self._read_until_it_breaks()
                except SourceError as exc:
                    self.trouble = exc.problem
                    self._pause(backoff.failed(time.monotonic()))
                finally:
                    self._sensor.close()
        except EdgeError as exc:
            self._error = exc

    def _read_until_it_breaks(self) -> None:
        while not self._ended.is_set():
            self._turned_s = time.monotonic()
            measured = self._sensor.read()
            if measured is not None:
                self.trouble = ""
                self._publish(measured)

    def _pause(self, until_s: float) -> None:
        while not self._ended.is_set() and (left_s := until_s - time.monotonic()) > 0:
            self._turned_s = time.monotonic()
            self._ended.wait(min(left_s, BEAT_S))
