"""A device that lies is refused or unheard, and no file is written."""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from relay import CAR, TENANT, WAIT_S, fetch

from edge.chunks import Chunk, pack
from edge.errors import BadMessageError, BrokerError, DeviceAwayError, FleetError
from edge.kept import PICTURE_BYTES
from edge.messages import Command, KeptPicture, ListPictures, PictureList, decode, encode
from edge.mqtt import MqttClient
from edge.topics import down, up
from fleet.control import Control
from fleet.picture_line import Pieces
from fleet.pictures import describe
from fleet.questions import MOST, Questions


class Liar:
    """car-1 with a program of somebody else's: `answer` says what it sends to which question."""

    def __init__(self, broker: Any) -> None:
        self.answer: Callable[[Command], tuple[str, bytes] | None] = lambda _question: None
        self.asked: list[Command] = []
        subscribed = threading.Event()
        self.client = MqttClient(
            broker.url, client_id=CAR, username=CAR, password=f"{CAR}-pw", ca=broker.ca, on_message=self._hear,
            on_connect=lambda: (self.client.subscribe(down(TENANT, CAR, "cmd")), subscribed.set())[-1],
        )  # fmt: skip
        self.client.connect(WAIT_S)
        assert subscribed.wait(WAIT_S)
        time.sleep(0.2)  # for the broker to note it

    def _hear(self, _topic: str, payload: bytes) -> None:
        question: Command = decode(Command, payload)  # type: ignore[arg-type]
        self.asked.append(question)
        answer = self.answer(question)
        if answer is not None:
            self.client.publish(up(TENANT, CAR, answer[0]), answer[1], qos=0)  # type: ignore[arg-type]


@pytest.fixture
def liar(broker: Any) -> Iterator[Liar]:
    liar = Liar(broker)
    yield liar
    liar.client.close()


def picture(number: int = 0, size_bytes: int = 100) -> KeptPicture:
    return KeptPicture(
        name=f"{number:020d}-1.png", size_bytes=size_bytes, sha256=hashlib.sha256(b"a" * 100).hexdigest()
    )


def named(question: Command, *pictures: KeptPicture, kept: int = 200) -> tuple[str, bytes]:
    return "cmd-result", encode(PictureList(id=question.id, kept=kept, pictures=pictures))


@pytest.mark.parametrize(
    ("refusal", "problem", "remedy"),
    [
        (
            "NOT_KEPT: this device keeps no pictures",
            "sends no pictures: this device keeps no pictures",
            "capture_store",
        ),
        ("NOT_SENT: it keeps them to itself", "sends no pictures: it keeps them to itself", "send: true"),
        ("OF_LATER: \x1b[2Jgone", "sends no pictures: ?[2Jgone", "configuration"),
    ],
)
def test_a_refusal_is_told_with_its_reason_and_what_to_do(
    control: Control, liar: Liar, tmp_path: Path, refusal: str, problem: str, remedy: str
) -> None:
    liar.answer = lambda q: ("cmd-result", encode(PictureList(id=q.id, refusal=refusal)))
    with pytest.raises(FleetError) as caught:
        fetch(control, tmp_path / "here")
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy
    assert not (tmp_path / "here").exists()


HUGE = tuple(picture(number, PICTURE_BYTES) for number in range(5))
LISTS: dict[str, Callable[[Command], tuple[str, bytes] | None]] = {
    "junk": lambda _: ("cmd-result", b"\xff{"),
    "more than were asked for": lambda q: named(q, *(picture(number) for number in range(11))),
    "more than it has": lambda q: named(q, picture(), kept=0),
    "one twice": lambda q: named(q, picture(), picture()),
    "more bytes than a list may name": lambda q: named(q, *HUGE),
    "a piece instead": lambda q: ("picture", pack(Chunk(q.id, 206, 0, 1, "", b"a"))),
}


@pytest.mark.parametrize("lie", LISTS)
def test_a_list_that_cannot_be_is_refused_or_unheard_and_nothing_is_made(
    control: Control, liar: Liar, tmp_path: Path, patient: Questions, lie: str
) -> None:
    liar.answer = LISTS[lie]
    if lie == "a piece instead":
        patient.list_s = 0.5
    with pytest.raises((BadMessageError, DeviceAwayError)):
        fetch(control, tmp_path / "here", wait_s=0.0)
    assert not (tmp_path / "here").exists()


def piece(question: Command, data: bytes, *, offset: int = 0, total: int = 100, status: int = 206) -> tuple[str, bytes]:
    return "picture", pack(Chunk(question.id, status, offset, total, "", data))


PIECES: dict[str, Callable[[Command], tuple[str, bytes] | None]] = {
    "the right bytes, which are no picture": lambda q: piece(q, b"a" * 100),
    "other bytes": lambda q: piece(q, b"b" * 100),
    "too few bytes": lambda q: piece(q, b"a" * 99),
    "too many bytes": lambda q: piece(q, b"a" * 101),
    "bytes of another place": lambda q: piece(q, b"a" * 100, offset=1),
    "a file that is too large": lambda q: piece(q, b"a" * 100, total=PICTURE_BYTES + 1),
    "a shorter file": lambda q: piece(q, b"", total=0),
    "bytes though it has none": lambda q: piece(q, b"a" * 100, status=404),
    "junk": lambda _: ("picture", b"{}"),
}


@pytest.mark.parametrize("lie", PIECES)
def test_a_piece_that_cannot_be_is_refused_and_no_file_is_written(
    control: Control, liar: Liar, tmp_path: Path, lie: str
) -> None:
    liar.answer = lambda q: named(q, picture()) if isinstance(q, ListPictures) else PIECES[lie](q)
    done = fetch(control, tmp_path / "here", wait_s=0.0)
    assert done.damaged == (picture().name,)
    assert done.pictures == ()
    assert list((tmp_path / "here").iterdir()) == []
    assert "not written" in describe(done)


def test_an_answer_to_an_earlier_question_and_what_nobody_asked_for_are_dropped(
    patient: Questions, liar: Liar, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard, real = list[bytes](), patient.heard
    monkeypatch.setattr(patient, "heard", lambda topic, payload: (heard.append(payload), real(topic, payload)))
    for _ in range(5):
        liar.client.publish(up(TENANT, CAR, "picture"), os.urandom(100_000))
    liar.answer = named
    patient.list_pictures(CAR, 1)  # its answer has overtaken nothing: the broker is through with all of that
    liar.answer, patient.piece_s = lambda _question: None, 0.2
    with pytest.raises(DeviceAwayError):
        patient.picture_piece(CAR, picture().name, 0, 100)

    def answer_both(question: Command) -> tuple[str, bytes]:
        liar.client.publish(up(TENANT, CAR, "picture"), piece(liar.asked[1], b"b" * 100)[1], qos=0)
        return piece(question, b"a" * 100)

    liar.answer, patient.piece_s = answer_both, WAIT_S
    assert patient.picture_piece(CAR, picture().name, 0, 100).data == b"a" * 100
    assert len(heard) == 3, "what was sent unasked was never received"


def test_only_so_many_questions_wait_at_once(patient: Questions, liar: Liar) -> None:
    ask = lambda: patient.list_pictures(CAR, 1)  # noqa: E731
    patient.list_s = WAIT_S
    threads = [threading.Thread(target=ask) for _ in range(MOST)]
    for thread in threads:
        thread.start()
    until_s = time.monotonic() + WAIT_S
    while len(liar.asked) < MOST:
        assert time.monotonic() < until_s
        time.sleep(0.01)
    with pytest.raises(FleetError, match="questions wait"):
        ask()
    for question in liar.asked:
        liar.client.publish(up(TENANT, CAR, "cmd-result"), named(question)[1])
    for thread in threads:
        thread.join(WAIT_S)
    liar.answer = named
    assert ask().kept == 200


def test_without_a_broker_a_question_says_so_at_once() -> None:
    with pytest.raises(BrokerError, match="no connection"):
        Questions(TENANT, MqttClient("mqtt://127.0.0.1:9", client_id="x")).list_pictures(CAR, 1)


def test_pieces_grow_on_a_fast_line_and_shrink_on_a_slow_one() -> None:
    pieces = Pieces()
    for _ in range(5):
        pieces.came_after(0.1)
    assert pieces.size_bytes == 256 << 10
    pieces.came_after(2.0)
    assert pieces.size_bytes == 256 << 10
    for _ in range(9):
        pieces.came_after(5.0)
    assert pieces.size_bytes == 8 << 10
