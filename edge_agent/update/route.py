"""Which way to the fleet's files: HTTP first; MQTT while HTTP cannot be reached and the broker can."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from edge.errors import TrustError
from edge_agent.update.refusal import code_of
from edge_agent.update.remote import Answer, Remote

AVOID_S = 300.0
"""So long HTTP is not tried again after it failed: each try may cost a time limit."""


class Route:
    """A `Remote` that takes the first way, and the second one while the first is shut.

    A download goes on over the other way where it stopped: both call a file by the same etag.
    """

    def __init__(
        self, first: Remote, second: Remote, open_second: Callable[[], bool],
        *, avoid_s: float = AVOID_S, now_s: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """`open_second` says whether the second way may be tried now."""
        self._first, self._second, self._open_second = first, second, open_second
        self._avoid_s, self._now_s = avoid_s, now_s
        self._avoid_until_s = float("-inf")

    @contextmanager
    def get(self, path: str, *, start: int = 0, etag: str = "") -> Iterator[Answer]:
        """See `Remote`."""
        with ExitStack() as stack:
            yield self._open(stack, path, start, etag)

    def _open(self, stack: ExitStack, path: str, start: int, etag: str) -> Answer:
        if self._now_s() >= self._avoid_until_s or not self._open_second():
            try:
                answer = _enter(stack, self._first.get(path, start=start, etag=etag), self._avoid)
            except TrustError as exc:
                if code_of(exc.problem) != "NETWORK" or not self._open_second():
                    raise
            else:
                if answer.status < 500 or not self._open_second():
                    return answer
                self._avoid()
        return _enter(stack, self._second.get(path, start=start, etag=etag), self._no_longer)

    def _avoid(self) -> None:
        self._avoid_until_s = self._now_s() + self._avoid_s

    def _no_longer(self) -> None:
        self._avoid_until_s = float("-inf")


def _enter(stack: ExitStack, way: AbstractContextManager[Answer], broke: Callable[[], None]) -> Answer:
    """Open a way; `broke` is called if it cannot be opened, or ends before its last byte."""
    with _noted(broke):
        answer = stack.enter_context(way)
    return Answer(answer.status, answer.start, answer.etag, _watched(answer.pieces, broke))


def _watched(pieces: Iterator[bytes], broke: Callable[[], None]) -> Iterator[bytes]:
    with _noted(broke):
        yield from pieces


@contextmanager
def _noted(broke: Callable[[], None]) -> Iterator[None]:
    try:
        yield
    except TrustError as exc:
        if code_of(exc.problem) == "NETWORK":
            broke()
        raise
