"""Questions to one device about the pictures it keeps, and its answers; nothing of them is stored here.

Only the device that was asked is listened to, and only while a question waits: what it sends unasked is not even
received. Each answer is held against its question before anybody sees it.
"""

import logging
import queue
import secrets
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol, TypeVar

from edge import topics
from edge.chunks import PARTIAL, Chunk, unpack
from edge.errors import BadMessageError, BrokerError, DeviceAwayError, FleetError
from edge.kept import ASKED_BYTES, PICTURE_BYTES
from edge.messages import Command, ListPictures, PictureList, SendPicture, decode, encode

LIST_S, PIECE_S = 5.0, 20.0
"""How long an answer may take; a command that is more patient asks again."""
MOST = 8
"""Questions that may wait at once, of all devices: each holds a thread of the API."""
log = logging.getLogger("fleet.questions")
AnswerT = TypeVar("AnswerT", PictureList, Chunk)


class QuestionLine(Protocol):
    """The connection to the broker."""

    @property
    def connected(self) -> bool:
        """Whether the broker is there."""

    def subscribe(self, topic_filter: str, *, qos: int = 1) -> None:
        """Ask for messages."""

    def unsubscribe(self, topic_filter: str) -> None:
        """Ask for no more."""

    def publish(self, topic: str, payload: bytes, *, qos: int = 1) -> None:
        """Send a message."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Who waits for what."""

    device: str
    command: Command
    answers: "queue.SimpleQueue[PictureList | Chunk | BadMessageError]" = field(default_factory=queue.SimpleQueue)


class Questions:
    """Asks devices, from any thread."""

    def __init__(self, tenant: str, line: QuestionLine) -> None:
        self._tenant, self._line = tenant, line
        self.list_s, self.piece_s = LIST_S, PIECE_S
        self._lock = threading.Lock()
        self._waiting: dict[int, _Waiting] = {}
        self._listening: Counter[str] = Counter()
        self._ids = count(secrets.randbits(32))  # no answer to an earlier process fits

    def list_pictures(self, device: str, newest: int) -> PictureList:
        """Ask which pictures a device keeps.

        Raises: `DeviceAwayError` without an answer in `list_s`, `BadMessageError` when it is none that can be,
        `BrokerError`, `FleetError` when too many wait.
        """
        answer = self._ask(device, ListPictures(id=self._number(), newest=newest), PictureList, self.list_s)
        names = {picture.name for picture in answer.pictures}
        size_bytes = sum(picture.size_bytes for picture in answer.pictures)
        if not len(names) == len(answer.pictures) <= min(newest, answer.kept) or size_bytes > ASKED_BYTES:
            raise _wrong(device, "a list of more pictures than were asked for")
        return answer

    def picture_piece(self, device: str, name: str, offset: int, size_bytes: int) -> Chunk:
        """Ask for a piece of a picture that the device named; its status says whether it came.

        Raises: as `list_pictures`, with `piece_s`.
        """
        command = SendPicture(id=self._number(), name=name, offset=offset, size_bytes=size_bytes)
        piece = self._ask(device, command, Chunk, self.piece_s)
        wanted = min(size_bytes, max(0, piece.total_bytes - offset)) if piece.status == PARTIAL else 0
        if piece.offset != offset or len(piece.data) != wanted or piece.total_bytes > PICTURE_BYTES:
            raise _wrong(device, "a piece of the wrong length or place")
        return piece

    def heard(self, topic: str, payload: bytes) -> None:
        """Take a message in, from paho's thread. What nobody waits for is dropped unread."""
        try:
            parsed = topics.parse(topic)
        except BadMessageError:
            return
        with self._lock:
            waiting = [one for one in self._waiting.values() if one.device == parsed.device]
        if not waiting or parsed.tenant != self._tenant:
            return
        try:
            answer = decode(PictureList, payload) if parsed.kind == "cmd-result" else unpack(payload)
        except BadMessageError as exc:
            log.warning("%s answers what cannot be read: %s", parsed.device, exc.problem[:200])
            for one in waiting:
                one.answers.put(exc)
            return
        for one in waiting:
            if one.command.id == answer.id:
                one.answers.put(answer)

    # --- inside --------------------------------------------------------------------------------

    def _number(self) -> int:
        return next(self._ids) % 2**32

    def _ask(self, device: str, command: Command, kind: type[AnswerT], wait_s: float) -> AnswerT:
        waiting = _Waiting(device, command)
        with self._admitted(waiting), self._listens(device, "cmd-result" if kind is PictureList else "picture"):
            # at most once: a question that waits in a broker for its device would be answered when nobody asks any more
            self._line.publish(topics.down(self._tenant, device, "cmd"), encode(command), qos=0)
            try:
                answer = waiting.answers.get(timeout=wait_s)
            except queue.Empty:
                remedy = "see that it is on, reaches the broker, and runs an agent of this release"
                raise DeviceAwayError(f"{device} has not answered within {wait_s:g} s", remedy=remedy) from None
        if isinstance(answer, BadMessageError):
            raise _wrong(device, "what cannot be read") from answer
        if not isinstance(answer, kind):
            raise _wrong(device, "an answer to another question")
        return answer

    @contextmanager
    def _admitted(self, waiting: _Waiting) -> Iterator[None]:
        if not self._line.connected:
            raise BrokerError("the service has no connection to its broker", remedy="try again in a moment")
        number = waiting.command.id
        with self._lock:
            if len(self._waiting) >= MOST:
                raise FleetError(f"{MOST} questions wait for their devices", remedy="try again in a moment")
            self._waiting[number] = waiting
        try:
            yield
        finally:
            with self._lock:
                del self._waiting[number]

    @contextmanager
    def _listens(self, device: str, kind: topics.UpKind) -> Iterator[None]:
        """Hear one kind of answer of one device, as long as anybody waits for one."""
        name = topics.up(self._tenant, device, kind)
        with self._lock:  # all the while: an older goodbye must not overtake a newer subscription
            self._listening[name] += 1
            if self._listening[name] == 1:
                self._line.subscribe(name, qos=0)
        try:
            yield
        finally:
            with self._lock:
                self._listening[name] -= 1
                if not self._listening[name]:
                    del self._listening[name]
                    self._line.unsubscribe(name)


def _wrong(device: str, what: str) -> BadMessageError:
    return BadMessageError(f"{device} has sent {what}", remedy="run agent and fleet of one release")
