"""The fleet's files over MQTT, piece by piece, where HTTP cannot be reached. A time limit on every piece.

The device asks, the fleet answers: at most `WINDOW` pieces are under way, fewer and smaller ones on a slow line, so
that what the fleet sends besides (acknowledgements of telemetry) never waits long behind them. A piece that does not
come is asked for again; what the pieces hold is verified as if it had come over HTTP.
"""

import contextlib
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from queue import Empty, SimpleQueue
from typing import Protocol

from edge.chunks import CHUNK_BYTES, WINDOW, Chunk, unpack
from edge.errors import BadMessageError, TrustError
from edge.messages import ChunkRequest
from edge_agent.update.refusal import refusal
from edge_agent.update.remote import Answer

TRIES = 3
"""Times that a piece is asked for; each may take its share of the time limit."""
FAST_S, SLOW_S = 1.0, 3.0
"""A piece that comes faster allows one more under way, or larger ones; a slower one, only one, of half the size."""
LEAST_BYTES = 8 << 10
"""The smallest piece: it comes in time on a line of 10 kbit/s."""
LOOK_S = 0.2


class ChunkLine(Protocol):
    """The connection to the broker, which telemetry uses too."""

    @property
    def connected(self) -> bool:
        """Whether the broker is there."""

    def ask(self, request: ChunkRequest) -> None:
        """Ask the fleet for a piece."""


@dataclass(slots=True)
class Window:
    """How many pieces may be under way, and how large the next one is; pure."""

    most_bytes: int
    piece_bytes: int
    size: int = 1

    def came_after(self, seconds: float) -> None:
        """A piece came, so long after it was asked for."""
        if seconds > SLOW_S:
            self.lost()
        elif seconds < FAST_S and self.size < WINDOW:
            self.size += 1
        elif seconds < FAST_S:
            self.piece_bytes = min(self.most_bytes, 2 * self.piece_bytes)

    def lost(self) -> None:
        """A piece did not come in time."""
        self.size, self.piece_bytes = 1, max(min(LEAST_BYTES, self.most_bytes), self.piece_bytes // 2)


class ChunkRemote:
    """A `Remote` over a `ChunkLine`; one file at a time."""

    def __init__(self, line: ChunkLine, *, ahead_bytes: int, timeout_s: float) -> None:
        """`ahead_bytes`: most that is under way and would be lost with the power. `timeout_s` bounds each piece."""
        self._line, self._timeout_s = line, timeout_s
        self._inbox: SimpleQueue[Chunk] = SimpleQueue()
        self._ids = count(secrets.randbits(32))  # no answer to an earlier process fits
        most_bytes = max(1, min(CHUNK_BYTES, ahead_bytes // (WINDOW + 1)))  # one more is handed on meanwhile
        self._window = Window(most_bytes, most_bytes)

    def heard(self, payload: bytes) -> None:
        """Take a message in, from any thread. What nobody waits for is dropped."""
        if self._inbox.qsize() >= 2 * WINDOW:
            return
        try:
            self._inbox.put(unpack(payload))
        except BadMessageError:
            return

    @contextmanager
    def get(self, path: str, *, start: int = 0, etag: str = "") -> Iterator[Answer]:
        """See `Remote`."""
        self._forget()
        fetch = self._fetch(path, start)
        first = fetch.next()
        if start and first.status == 206 and etag and etag != _quoted(first):
            start, fetch = 0, self._fetch(path, 0)
            first = fetch.next()
        if first.status == 206:
            yield Answer(206 if start else 200, start, _quoted(first), fetch.pieces(first))
        else:
            yield Answer(first.status, 0, "", iter(()))

    def _forget(self) -> None:
        """Drop what came for an earlier fetch."""
        with contextlib.suppress(Empty):
            while True:
                self._inbox.get_nowait()

    def _fetch(self, path: str, start: int) -> "_Fetch":
        return _Fetch(self._line, self._inbox, self._window, self._ids, path, start, start, self._timeout_s / TRIES)


def _quoted(chunk: Chunk) -> str:
    """The etag as HTTP writes it: a download may go on over the other transport."""
    return f'"{chunk.etag}"'


@dataclass(slots=True)
class _Asked:
    request: ChunkRequest
    first_s: float
    last_s: float
    tries: int = 1


@dataclass(slots=True)
class _Fetch:
    """One file from `at` on, in order; asked for up to `ahead`."""

    line: ChunkLine
    inbox: SimpleQueue[Chunk]
    window: Window
    ids: Iterator[int]
    path: str
    at: int
    ahead: int
    again_s: float
    asked: dict[int, _Asked] = field(default_factory=dict)
    """By offset: what is under way."""
    came: dict[int, Chunk] = field(default_factory=dict)
    """By offset: what came before its turn."""

    def next(self) -> Chunk:
        """The piece at `at`; raises TrustError (NETWORK) when it does not come."""
        if self.at == self.ahead:
            self._ask(self.window.piece_bytes)
        while self.at not in self.came:
            self._receive()
            self._ask_again()
        return self.came.pop(self.at)

    def pieces(self, first: Chunk) -> Iterator[bytes]:
        """The bytes of `first` and of all that follow it."""
        chunk = first
        while chunk.data:
            self.at += len(chunk.data)
            self._ask_ahead(first.total_bytes)
            yield chunk.data
            if self.at >= first.total_bytes:
                return
            chunk = self.next()
            if (chunk.status, chunk.etag) != (206, first.etag):
                raise self._failed("the file changed while it was fetched")

    def _ask_ahead(self, total_bytes: int) -> None:
        self.ahead = max(self.ahead, self.at)
        while len(self.asked) + len(self.came) < self.window.size and self.ahead < total_bytes:
            self._ask(min(self.window.piece_bytes, total_bytes - self.ahead))

    def _ask(self, size_bytes: int) -> None:
        number = next(self.ids) % 2**32
        request = ChunkRequest(id=number, path=self.path, offset=self.ahead, size_bytes=size_bytes)
        now_s = time.monotonic()
        self.asked[self.ahead] = _Asked(request, now_s, now_s)
        self.ahead += size_bytes
        self.line.ask(request)

    def _receive(self) -> None:
        """Wait a moment for a piece that was asked for."""
        try:
            chunk = self.inbox.get(timeout=min(LOOK_S, self.again_s))
        except Empty:
            if not self.line.connected:
                raise self._failed("the broker is away") from None
            return
        asked = self.asked.get(chunk.offset)
        if asked is None or asked.request.id != chunk.id:
            return  # of an earlier fetch, or a second answer
        if chunk.status == 206 and len(chunk.data) != min(asked.request.size_bytes, chunk.total_bytes - chunk.offset):
            raise self._failed("the fleet sent a piece of the wrong length")
        del self.asked[chunk.offset]
        self.came[chunk.offset] = chunk
        self.window.came_after(time.monotonic() - asked.first_s)

    def _ask_again(self) -> None:
        """Ask again for what has not come in time: the fleet drops what it cannot send."""
        now_s = time.monotonic()
        for asked in self.asked.values():
            if now_s - asked.last_s < self.again_s:
                continue
            if asked.tries >= TRIES:
                raise self._failed("no answer over MQTT")
            self.window.lost()
            asked.last_s, asked.tries = now_s, asked.tries + 1
            self.line.ask(asked.request)

    def _failed(self, why: str) -> TrustError:
        return refusal("NETWORK", f"{self.path} from byte {self.at}: {why}")
