"""Kept pictures, sent when the fleet asks for them and the configuration allows it.

The fleet asks for a list, then for one piece after the other; nothing is remembered here between two questions. A
thread of its own reads and sends: one piece at a time is handed to the socket, so that telemetry waits behind no more
than one, and no second carries more than `RATE_BYTES_S`. Nothing but regular files with the name of a kept picture,
in that one folder, is ever opened.
"""

import contextlib
import hashlib
import os
import queue
import stat
import sys
import threading
import time
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Protocol

from edge.chunks import FORBIDDEN, MISSING, PARTIAL, TOO_SHORT, WINDOW, Chunk
from edge.kept import ASKED_BYTES, PICTURE_BYTES, is_kept_name
from edge.messages import Command, KeptPicture, ListPictures, PictureList, SendPicture
from edge.pace import Pace
from edge_agent.uplink.spec import Pictures as Fate

RATE_BYTES_S = 4 << 20
"""Of what is sent, and of what is read for a list."""
SEND_S = 120.0
"""Longer than a dead connection lives: a piece is taken or lost by then, and never does a second one pile up on it."""
TELL_EVERY_S = 10.0
_BLOCK_BYTES = 1 << 18
Wait = Callable[[int], None]
REFUSALS: dict[Fate, str] = {
    "none": "NOT_KEPT: this device keeps no pictures (capture_store)",
    "kept": "NOT_SENT: this device keeps its pictures to itself (capture_store.send)",
    "sent": "",
}


class PictureLine(Protocol):
    """The connection to the fleet."""

    def name_pictures(self, answer: PictureList) -> None:
        """Answer what is kept."""

    def send_piece(self, piece: Chunk, *, wait_s: float) -> bool:
        """Send a piece, and wait until the socket has taken it."""


class Pictures:
    """Answers the fleet's questions, in their order; of those that come faster than they are answered a few wait."""

    def __init__(
        self,
        folder: Path,
        line: PictureLine,
        fate: Fate,
        *,
        tell: Callable[[str], None],
        rate_bytes_s: float = RATE_BYTES_S,
    ) -> None:
        """Start the thread.

        Args:
            folder: where kept pictures lie; need not be there.
            line: the way home.
            fate: whether there are pictures, and whether they may be sent.
            tell: called from the thread, now and then, with words for whoever wants to know who looked.
            rate_bytes_s: most that a second carries.
        """
        self._folder, self._line, self._refusal, self._tell = folder, line, REFUSALS[fate], tell
        self._told_s = float("-inf")
        self._pace = Pace(rate_bytes_s)
        self._asked: queue.Queue[Command] = queue.Queue(WINDOW)
        threading.Thread(target=self._run, name="pictures", daemon=True).start()

    def heard(self, command: Command) -> None:
        """Take a question in, from any thread. One too many is dropped: the fleet asks again."""
        with contextlib.suppress(queue.Full):
            self._asked.put_nowait(command)

    def _run(self) -> None:
        while True:
            try:
                self._answer(self._asked.get())
            except OSError as exc:  # a card that cannot be read: no answer, and the next question is heard
                sys.stderr.write(f"edge uplink: cannot read a kept picture: {exc.strerror}\n")

    def _answer(self, question: Command) -> None:
        if isinstance(question, ListPictures):
            answer = self._list(question)
            self._line.name_pictures(answer)
            self._say(answer)
        else:
            self._line.send_piece(self._piece(question), wait_s=SEND_S)

    def _say(self, answer: PictureList) -> None:
        """Whoever looks is on record; one who asks again and again, not each time."""
        now_s = time.monotonic()
        if answer.pictures and now_s - self._told_s >= TELL_EVERY_S:
            self._told_s = now_s
            self._tell(f"the fleet asked for pictures: {len(answer.pictures)} of {answer.kept} were named")

    def _list(self, question: ListPictures) -> PictureList:
        if self._refusal:
            return PictureList(id=question.id, refusal=self._refusal)
        names = kept_names(self._folder)
        found, size_bytes = [], 0
        for name in names[: question.newest]:
            picture = describe(self._folder, name, self._wait)
            if picture is None:  # removed meanwhile, or too large to be sent
                continue
            size_bytes += picture.size_bytes
            if size_bytes > ASKED_BYTES:
                break
            found.append(picture)
        return PictureList(id=question.id, kept=len(names), pictures=tuple(found))

    def _piece(self, question: SendPicture) -> Chunk:
        if self._refusal:
            return Chunk(question.id, FORBIDDEN, question.offset, 0, "")
        piece = read_piece(self._folder, question)
        self._wait(len(piece.data))
        return piece

    def _wait(self, size_bytes: int) -> None:
        time.sleep(self._pace.wait_s(size_bytes, time.monotonic()))


def kept_names(folder: Path) -> list[str]:
    """Names of all kept pictures, the newest first; none where there is no such folder."""
    try:
        return sorted((path.name for path in folder.iterdir() if is_kept_name(path.name)), reverse=True)
    except (FileNotFoundError, NotADirectoryError):
        return []


def describe(folder: Path, name: str, wait: Wait = lambda _size_bytes: None) -> KeptPicture | None:
    """Size and hash of one picture; None where it is gone, or none of ours. `wait` hears the bytes of each read."""
    file = _open(folder, name)
    if file is None:
        return None
    digest, size_bytes = hashlib.sha256(), 0
    with file:
        while block := file.read(_BLOCK_BYTES):
            wait(len(block))
            digest.update(block)
            size_bytes += len(block)
            if size_bytes > PICTURE_BYTES:
                return None
    return KeptPicture(name=name, size_bytes=size_bytes, sha256=digest.hexdigest()) if size_bytes else None


def read_piece(folder: Path, question: SendPicture) -> Chunk:
    """The piece that was asked for, or why there is none."""
    file = _open(folder, question.name)
    if file is None:
        return Chunk(question.id, MISSING, question.offset, 0, "")
    with file:
        total_bytes = os.fstat(file.fileno()).st_size
        if question.offset > total_bytes:
            return Chunk(question.id, TOO_SHORT, question.offset, total_bytes, "")
        data = os.pread(file.fileno(), question.size_bytes, question.offset)
        return Chunk(question.id, PARTIAL, question.offset, total_bytes, "", data)


def _open(folder: Path, name: str) -> FileIO | None:
    """A regular file of that name in `folder` itself; None where there is none. Follows no link, waits for no pipe."""
    if not is_kept_name(name):
        return None
    try:
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return FileIO(descriptor)
    os.close(descriptor)
    return None
