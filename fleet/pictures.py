"""`edge fleet pictures`: the newest pictures that a device keeps, one whole file after the other into a folder.

MAIN PATH: `fetch_pictures`. The device is asked for its list, then for piece after piece; what does not come is asked
for again, from the piece on that is missing. A picture is written when all of it has come and its hash is right, under
a name that says whose it is; one that lies there already is not fetched again.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from edge.chunks import CHUNK_BYTES
from edge.errors import BadArgumentError, BadMessageError, BrokerError, DeviceAwayError, FileMissingError, FleetError
from edge.kept import Remark, read_picture
from edge.messages import KeptPicture, PictureList
from fleet.answers import Answer
from fleet.config import write_file

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


class Arrived(Answer, frozen=True, kw_only=True):
    """One picture in the folder."""

    file: str
    size_bytes: int
    sha256: str
    remark: Remark | None
    """What the device wrote into it; None where that cannot be read."""
    fetched: bool
    """False: it lay there already."""


class Fetched(Answer, frozen=True, kw_only=True):
    """What became of the pictures that were asked for."""

    device: str
    kept: int
    """Pictures that the device has."""
    named: int
    """Pictures that it named for this question."""
    folder: str
    pictures: tuple[Arrived, ...]
    """Newest first."""
    gone: tuple[str, ...]
    """Named by the device, and removed by it before they were fetched."""
    damaged: tuple[str, ...]
    """What came is not what the device said that it is, or no picture; nothing was written."""


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


def fetch_pictures(
    source: Source,
    device: str,
    folder: Path,
    *,
    newest: int,
    patience: Patience,
    progress: Callable[[int], None] = lambda _size_bytes: None,
) -> Fetched:
    """Bring the newest pictures of a device into `folder`.

    Raises: `FleetError` when the device is unknown, or sends none; `DeviceAwayError` when it was silent for too long,
    with what had come by then in the folder; `BadArgumentError` when that is no folder.
    """
    if folder.exists() and not folder.is_dir():
        raise BadArgumentError(f"{folder} is no folder", remedy="name a folder; it is made if it is not there")
    listed = patience.ask(lambda: source.pictures(device, newest))
    _refuse(device, listed)
    folder.mkdir(parents=True, exist_ok=True)
    fetch = _Fetch(source, device, folder, patience, progress)
    for picture in listed.pictures:
        try:
            fetch.take(picture)
        except DeviceAwayError as exc:
            came = f"{len(fetch.arrived)} of {len(listed.pictures)} pictures are in {folder}"
            remedy = "ask again: what is there already is not fetched again"
            raise DeviceAwayError(f"{exc.problem}; {came}", remedy=remedy) from exc
    return Fetched(
        device=device,
        kept=listed.kept,
        named=len(listed.pictures),
        folder=str(folder),
        pictures=tuple(fetch.arrived),
        gone=tuple(fetch.gone),
        damaged=tuple(fetch.damaged),
    )


def _refuse(device: str, listed: PictureList) -> None:
    if listed.refusal:
        code, _, sentence = listed.refusal.partition(": ")
        remedy = REFUSED.get(code, "see its configuration")
        raise FleetError(f"{device} sends no pictures: {printable(sentence or code)}", remedy=remedy)


@dataclass(slots=True)
class _Fetch:
    """The work on one list."""

    source: Source
    device: str
    folder: Path
    patience: Patience
    progress: Callable[[int], None]
    pieces: Pieces = field(default_factory=Pieces)
    arrived: list[Arrived] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    def take(self, picture: KeptPicture) -> None:
        """Bring one picture into the folder, or note why not."""
        path = self.folder / f"{self.device}-{picture.name}"
        there = path.read_bytes() if path.is_file() and path.stat().st_size == picture.size_bytes else b""
        try:
            data = there if _is(there, picture) else self._whole(picture)
            remark = read_picture(data).remark
        except FileMissingError:
            self.gone.append(picture.name)
            return
        except BadMessageError:
            self.damaged.append(picture.name)
            return
        if data is not there:
            write_file(path, data, mode=0o600)
        self.arrived.append(
            Arrived(
                file=str(path), size_bytes=picture.size_bytes, sha256=picture.sha256, remark=remark,
                fetched=data is not there,
            )
        )  # fmt: skip

    def _whole(self, picture: KeptPicture) -> bytes:
        """All bytes, as the device named them; tried twice. Raises: `BadMessageError`, `FileMissingError`."""
        for _ in range(2):
            data = self._once(picture)
            if _is(data, picture):
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


def _is(data: bytes, picture: KeptPicture) -> bool:
    return len(data) == picture.size_bytes and hashlib.sha256(data).hexdigest() == picture.sha256


def printable(text: str) -> str:
    """Words of a device without what would steer a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def describe(done: Fetched) -> str:
    """What came, in lines for a person."""
    lines = [_line(one) for one in done.pictures]
    lines += [f"{name}  removed by the device before it was fetched" for name in done.gone]
    lines += [f"{name}  no picture, or not what the device said that it is: not written" for name in done.damaged]
    old = sum(not one.fetched for one in done.pictures)
    already = f", {old} of them from before" if old else ""
    here = f"{len(done.pictures)} of the newest {done.named} are in {done.folder}{already}"
    lines.append(f"{done.device} keeps {done.kept}; {here}" if done.kept else f"{done.device} keeps no picture yet")
    return "\n".join(lines)


def _line(one: Arrived) -> str:
    name = Path(one.file).name
    if one.remark is None:
        return f"{name}  without a remark"
    said = one.remark
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(said.wall_ns / 1e9))
    score = "no score" if said.score is None else f"{said.score:.3f}"
    return (
        f"{name}  {when}  {printable(said.model)} {said.version}  frame {said.frame}  {printable(said.label)} {score}"
    )
