"""Asks one device for its kept pictures: the list, then piece after piece; what does not come is asked for again.

Nothing is kept here: whoever asked gets whole pictures, and they are what the device said that they are.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from edge.chunks import CHUNK_BYTES
from edge.errors import BadMessageError, BrokerError, DeviceAwayError, FleetError
from edge.messages import KeptPicture, PictureList

T = TypeVar("T")
FIRST_BYTES, LEAST_BYTES = 16 << 10, 8 << 10
"""Of a piece: the first one, which comes in time on a line of 10 kbit/s, and the smallest one."""
FAST_S, SLOW_S = 1.0, 3.0
"""After a piece that came faster the next one is twice as long, after a slower one half as long."""
AGAIN_S = 1.0
REFUSED = {
    "NOT_KEPT": "switch capture_store on in its configuration; docs/device.md says what it keeps",
    "NOT_SENT": "write send: true below capture_store in its configuration, if its pictures may leave it",
}


class Source(Protocol):
    """What `fleet.client.FleetClient` offers for this."""

    def pictures(self, device: str, newest: int) -> PictureList:
        """Ask which pictures a device keeps."""

    def picture_piece(self, device: str, name: str, offset: int, size_bytes: int) -> bytes:
        """Ask for a piece of one."""


@dataclass(slots=True)
class Patience:
    """Asks again until there was no answer for `wait_s`."""

    wait_s: float
    say: Callable[[str], None]
    now_s: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _told: bool = False

    def ask(self, question: Callable[[], T], lost: Callable[[], None] = lambda: None) -> T:
        """The answer; `lost` is called after each failed try. Raises: what the last try raised."""
        until_s = self.now_s() + self.wait_s
        while True:
            try:
                return question()
            except (DeviceAwayError, BrokerError) as exc:
                if self.now_s() >= until_s:
                    raise
                if not self._told:
                    self.say(f"{exc.problem}; asking again for up to {self.wait_s:g} s")
                    self._told = True
                lost()
                self.sleep(AGAIN_S)


@dataclass(slots=True)
class Pieces:
    """How long the next piece is; pure."""

    size_bytes: int = field(default=FIRST_BYTES)

    def came_after(self, seconds: float) -> None:
        """A piece came."""
        if seconds < FAST_S:
            self.size_bytes = min(CHUNK_BYTES, 2 * self.size_bytes)
        elif seconds > SLOW_S:
            self.lost()

    def lost(self) -> None:
        """A piece did not come in time."""
        self.size_bytes = max(LEAST_BYTES, self.size_bytes // 2)


@dataclass(slots=True)
class PictureLine:
    """One device, asked by one person."""

    source: Source
    device: str
    patience: Patience
    progress: Callable[[int], None] = lambda _size_bytes: None
    pieces: Pieces = field(default_factory=Pieces)

    def named(self, newest: int) -> PictureList:
        """Which pictures it keeps, the newest first. Raises: `FleetError` when it sends none, `DeviceAwayError`."""
        listed = self.patience.ask(lambda: self.source.pictures(self.device, newest))
        _refuse(self.device, listed)
        return listed

    def whole(self, picture: KeptPicture) -> bytes:
        """All bytes, as the device named them; tried twice.

        Raises: `BadMessageError` when they are others, `FileMissingError` when it has them no more, `DeviceAwayError`.
        """
        for _ in range(2):
            data = self._once(picture)
            if is_whole(data, picture):
                return data
        raise BadMessageError(f"{picture.name} is not what {self.device} said", remedy="ask again")

    def _once(self, picture: KeptPicture) -> bytes:
        data = b""
        while len(data) < picture.size_bytes:
            began_s = self.patience.now_s()
            piece = self.patience.ask(lambda: self._piece(picture, len(data)), self.pieces.lost)  # noqa: B023  # called at once
            self.pieces.came_after(self.patience.now_s() - began_s)
            if not piece:
                break
            data += piece
            self.progress(len(piece))
        return data

    def _piece(self, picture: KeptPicture, offset: int) -> bytes:
        wanted = min(self.pieces.size_bytes, picture.size_bytes - offset)
        return self.source.picture_piece(self.device, picture.name, offset, wanted)


def _refuse(device: str, listed: PictureList) -> None:
    """Raise `FleetError` when the device says that it sends none."""
    if listed.refusal:
        code, _, sentence = listed.refusal.partition(": ")
        remedy = REFUSED.get(code, "see its configuration")
        raise FleetError(f"{device} sends no pictures: {printable(sentence or code)}", remedy=remedy)


def is_whole(data: bytes, picture: KeptPicture) -> bool:
    """Say whether these are the bytes that the device named."""
    return len(data) == picture.size_bytes and hashlib.sha256(data).hexdigest() == picture.sha256


def printable(text: str) -> str:
    """Words of a device without what would steer a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
