"""`edge fleet pictures`: the newest pictures that a device keeps, one whole file after the other into a folder.

MAIN PATH: `fetch_pictures`. The device is asked for its list, then for piece after piece; what does not come is asked
for again, from the piece on that is missing. A picture is written when all of it has come and its hash is right, under
a name that says whose it is; one that lies there already is not fetched again.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edge.errors import BadArgumentError, BadMessageError, DeviceAwayError, FileMissingError
from edge.kept import Remark, read_picture
from edge.messages import KeptPicture
from fleet.answers import Answer
from fleet.config import write_file
from fleet.picture_line import Patience, PictureLine, Source, is_whole, printable


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
    line = PictureLine(source, device, patience, progress)
    listed = line.named(newest)
    folder.mkdir(parents=True, exist_ok=True)
    fetch = _Fetch(line, folder)
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


@dataclass(slots=True)
class _Fetch:
    """The work on one list."""

    line: PictureLine
    folder: Path
    arrived: list[Arrived] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    def take(self, picture: KeptPicture) -> None:
        """Bring one picture into the folder, or note why not."""
        path = self.folder / f"{self.line.device}-{picture.name}"
        there = path.read_bytes() if path.is_file() and path.stat().st_size == picture.size_bytes else b""
        try:
            data = there if is_whole(there, picture) else self.line.whole(picture)
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
