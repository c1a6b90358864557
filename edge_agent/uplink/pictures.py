"""Kept pictures, sent when the fleet asks for them and the configuration allows it.

The fleet asks for a list, then for one piece after the other; nothing is owed between two questions. A thread of its
own reads and sends: one piece at a time is handed to the socket, so that telemetry waits behind no more than one, at
a rate that leaves the disk and the line to others.
"""

import contextlib
import queue
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from edge.chunks import FORBIDDEN, WINDOW, Chunk
from edge.kept import ASKED_BYTES
from edge.messages import Command, ListPictures, PictureList, SendPicture
from edge.pace import Pace
from edge_agent.uplink.spec import Pictures as Fate
from edge_agent.watch.shelf import Shelf

READ_BYTES_S = 16 << 20
"""For a list: all that one may name takes four seconds, and those are read once only."""
SEND_BYTES_S = 4 << 20
SEND_S = 120.0
"""Longer than a dead connection lives: a piece is taken or lost by then, and never does a second one pile up on it."""
TELL_EVERY_S = 10.0
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
        send_bytes_s: float = SEND_BYTES_S,
    ) -> None:
        """Start the thread.

        Args:
            folder: where kept pictures lie; need not be there.
            line: the way home.
            fate: whether there are pictures, and whether they may be sent.
            tell: called from the thread, now and then, with words for whoever wants to know who looked.
            send_bytes_s: most that a second carries.
        """
        self._shelf, self._line, self._refusal, self._tell = Shelf(folder), line, REFUSALS[fate], tell
        self._reading, self._sending = Pace(READ_BYTES_S), Pace(send_bytes_s)
        self._told_s = float("-inf")
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

    def _list(self, question: ListPictures) -> PictureList:
        if self._refusal:
            return PictureList(id=question.id, refusal=self._refusal)
        names = self._shelf.names()
        found = self._shelf.describe(names[: question.newest], ASKED_BYTES, lambda size: _hold(self._reading, size))
        return PictureList(id=question.id, kept=len(names), pictures=tuple(found))

    def _piece(self, question: SendPicture) -> Chunk:
        if self._refusal:
            return Chunk(question.id, FORBIDDEN, question.offset, 0, "")
        piece = self._shelf.piece(question)
        _hold(self._sending, len(piece.data))
        return piece

    def _say(self, answer: PictureList) -> None:
        """Whoever looks is on record; one who asks again and again, not each time."""
        now_s = time.monotonic()
        if answer.pictures and now_s - self._told_s >= TELL_EVERY_S:
            self._told_s = now_s
            self._tell(f"the fleet asked for pictures: {len(answer.pictures)} of {answer.kept} were named")


def _hold(pace: Pace, size_bytes: int) -> None:
    time.sleep(pace.wait_s(size_bytes, time.monotonic()))
