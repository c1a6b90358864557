"""`edge fleet pictures` on both real brokers: the device's own code at one end, control and command at the other."""

import base64
import contextlib
import hashlib
import os
import re
import select
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from edge.chunks import Chunk, pack
from edge.enrolment import Enrolment
from edge.errors import BadArgumentError, BadMessageError, BrokerError, DeviceAwayError, FleetError
from edge.kept import PICTURE_BYTES, Remark, kept_name
from edge.messages import Command, KeptPicture, ListPictures, PictureList, decode, encode
from edge.mqtt import MqttClient
from edge.topics import down, up
from edge_agent.png import encode_png
from edge_agent.uplink.line import FleetLine
from edge_agent.uplink.pictures import Pictures
from fleet.broker import CONTROL_USER, ServiceLogin
from fleet.config import FleetFolder
from fleet.control import Control, Urls
from fleet.control_process import MqttAnnouncer
from fleet.control_store import ControlStore
from fleet.dashboard.picture_page import picture_route
from fleet.observer import StoreObserver
from fleet.picture_line import Patience, Pieces
from fleet.pictures import Fetched, describe, fetch_pictures
from fleet.questions import LIST_S, MOST, PIECE_S, Questions
from fleet.registry import Registry
from fleet.store import open_store

TENANT, CAR, WAIT_S = "acme", "car-1", 30.0
NOISE = np.random.default_rng(1).integers(0, 255, (300, 300, 3), np.uint8)


def keep(folder: Path, number: int) -> bytes:
    """One picture of 270 kB, as the keeper writes it; returns its bytes."""
    remark = Remark(model="light", version=2, frame=number, wall_ns=number, label="gr\x1b[2Jün", score=0.5)
    data = encode_png(NOISE + np.uint8(number), msgspec.json.encode(remark).decode())
    (folder / kept_name(remark)).write_bytes(data)
    return data


class Relay:
    """A port in front of the broker whose connections can be cut, and kept from coming back for a while."""

    def __init__(self, port: int) -> None:
        self._there, self._pairs, self._lock = port, list[tuple[socket.socket, socket.socket]](), threading.Lock()
        self.dead = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._listener.accept()
                if self.dead.is_set():
                    here.close()
                    continue
                there = socket.create_connection(("127.0.0.1", self._there))
                with self._lock:
                    self._pairs.append((here, there))
                threading.Thread(target=self._carry, args=(here, there), daemon=True).start()

    @staticmethod
    def _carry(here: socket.socket, there: socket.socket) -> None:
        ways = {here: there, there: here}
        with contextlib.suppress(OSError, ValueError):
            while True:
                for ready in select.select(list(ways), [], [])[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    ways[ready].sendall(data)

    def cut(self) -> None:
        with self._lock:
            for one in self._pairs:
                for end in one:
                    with contextlib.suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)
                    end.close()
            self._pairs.clear()

    def close(self) -> None:
        self.dead.set()
        self._listener.close()
        self.cut()


@pytest.fixture(scope="module")
def announcer(broker: Any) -> Iterator[MqttAnnouncer]:
    """Control's connection."""
    password = f"{CONTROL_USER}-pw"
    made = MqttAnnouncer(
        ServiceLogin(url=broker.url, username=CONTROL_USER, password=password, ca=broker.ca, tenant=TENANT)
    )
    made.start()
    assert made.connected.wait(WAIT_S)
    yield made
    made.close()


@pytest.fixture(scope="module")
def control(
    announcer: MqttAnnouncer, fleet_template: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Control]:
    """The real one; car-1 is enrolled."""
    folder = FleetFolder(tmp_path_factory.mktemp("control") / "dir")
    shutil.copytree(fleet_template.folder.root, folder.root)
    store = ControlStore(folder.control_db)
    registry = Registry(store, folder.passwords, {})
    registry.enrol(CAR)
    yield Control(
        folder, store=store, registry=registry, announcer=announcer, asker=announcer.questions,
        observer=StoreObserver(open_store(folder.telemetry_url), folder),
        urls=Urls(mqtt_url="mqtts://h:1", http_url="https://h:2"),
    )  # fmt: skip
    store.close()


@pytest.fixture
def patient(announcer: MqttAnnouncer) -> Iterator[Questions]:
    """Control's questions, for tests that change how long they wait."""
    yield announcer.questions
    announcer.questions.list_s, announcer.questions.piece_s = LIST_S, PIECE_S


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    (tmp_path / "kept").mkdir()
    return tmp_path / "kept"


@pytest.fixture
def relay(broker: Any) -> Iterator[Relay]:
    relay = Relay(int(broker.url.rsplit(":", 1)[1]))
    yield relay
    relay.close()


@pytest.fixture
def device(broker: Any, relay: Relay, kept: Path) -> Iterator[FleetLine]:
    """car-1 behind the relay, with leave to send."""
    enrolment = Enrolment(
        tenant=TENANT, device=CAR, mqtt_url=f"mqtts://127.0.0.1:{relay.port}", http_url="https://127.0.0.1:1",
        username=CAR, password=f"{CAR}-pw", ca_pem=broker.ca, root_json="{}",
    )  # fmt: skip
    ready = threading.Event()
    line = FleetLine(enrolment, boot_id="b", starts=1, wake=ready.set)
    line.on_command = Pictures(kept, line, "sent", tell=lambda _text: None).heard
    line.open()
    assert ready.wait(WAIT_S)
    yield line
    line.close()


def fetch(
    source: Any, folder: Path, *, newest: int = 10, wait_s: float = WAIT_S, progress: Callable[[int], None] = id
) -> Fetched:
    patience = Patience(wait_s, lambda _text: None)
    return fetch_pictures(source, CAR, folder, newest=newest, patience=patience, progress=progress)


def test_pictures_come_whole_and_each_once_with_what_the_model_made_of_them(
    control: Control, device: FleetLine, kept: Path, tmp_path: Path
) -> None:
    contents = [keep(kept, number) for number in range(4)]
    sizes: list[int] = []
    done = fetch(control, tmp_path / "here", newest=3, progress=sizes.append)
    assert (done.kept, done.named, done.gone, done.damaged) == (4, 3, (), ())
    assert [Path(one.file).read_bytes() for one in done.pictures] == [contents[number] for number in (3, 2, 1)]
    assert [one.remark.frame for one in done.pictures if one.remark] == [3, 2, 1]
    assert sum(sizes) == sum(map(len, contents[1:]))
    assert len(sizes) > 3, "a picture came in several pieces"
    assert all(Path(one.file).stat().st_mode & 0o77 == 0 for one in done.pictures)
    text = describe(done)
    assert "car-1 keeps 4; 3 of the newest 3" in text
    assert "\x1b" not in text

    again = fetch(control, tmp_path / "here", newest=4)
    assert [one.fetched for one in again.pictures] == [False, False, False, True]
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == [
        f"{CAR}-{path.name}" for path in sorted(kept.iterdir())
    ]


def test_the_page_shows_the_newest_with_what_the_model_made_of_them_and_nobody_keeps_them(
    control: Control, device: FleetLine, kept: Path
) -> None:
    contents = [keep(kept, number) for number in range(3)]
    before = {path for path in control.folder.root.rglob("*") if path.is_file()}
    with TestClient(Starlette(routes=[picture_route(control)])) as browser:
        answer = browser.get(f"/pictures/{CAR}?newest=2")
    shown = re.findall('src="data:image/png;base64,([^"]+)"', answer.text)
    assert [base64.b64decode(each) for each in shown] == [contents[2], contents[1]]
    assert "the newest 2 of 3 that it keeps" in answer.text
    assert answer.text.count("0.500") == 2
    assert answer.headers["cache-control"] == "no-store"
    assert {path for path in control.folder.root.rglob("*") if path.is_file()} == before


def test_two_people_may_ask_one_device_at_once(control: Control, device: FleetLine, kept: Path, tmp_path: Path) -> None:
    contents = [keep(kept, number) for number in range(3)]
    done: list[Fetched] = []
    threads = [
        threading.Thread(target=lambda place=place: done.append(fetch(control, tmp_path / place))) for place in "ab"
    ]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(done) == 2
    for one in done:
        assert [Path(picture.file).read_bytes() for picture in one.pictures] == contents[::-1]


def test_a_line_that_is_cut_in_the_middle_of_a_picture_goes_on_where_it_was(
    control: Control, device: FleetLine, relay: Relay, kept: Path, tmp_path: Path, patient: Questions
) -> None:
    patient.piece_s = 1.0
    contents = [keep(kept, number) for number in range(2)]
    sizes: list[int] = []

    def cut_once(size_bytes: int) -> None:
        sizes.append(size_bytes)
        if len(sizes) == 2:
            relay.cut()

    done = fetch(control, tmp_path / "here", progress=cut_once)
    assert [Path(one.file).read_bytes() for one in done.pictures] == contents[::-1]
    assert sum(sizes) == sum(map(len, contents)), "no byte was taken twice"


def test_a_device_that_stays_away_leaves_what_came_and_says_how_much(
    control: Control, device: FleetLine, relay: Relay, kept: Path, tmp_path: Path, patient: Questions
) -> None:
    contents = [keep(kept, number) for number in range(2)]
    came = 0

    def cut_in_the_second(size_bytes: int) -> None:
        nonlocal came
        came += size_bytes
        if came > len(contents[1]):
            patient.piece_s = 0.2
            relay.dead.set()
            relay.cut()

    with pytest.raises(DeviceAwayError, match="1 of 2 pictures are in"):
        fetch(control, tmp_path / "here", wait_s=0.0, progress=cut_in_the_second)
    (whole,) = (tmp_path / "here").iterdir()
    assert whole.read_bytes() == contents[1]


def test_what_the_device_removes_meanwhile_is_told_as_gone(
    control: Control, device: FleetLine, kept: Path, tmp_path: Path
) -> None:
    for number in range(3):
        keep(kept, number)
    names = sorted(path.name for path in kept.iterdir())
    done = fetch(control, tmp_path / "here", progress=lambda _size: (kept / names[1]).unlink(missing_ok=True))
    assert done.gone == (names[1],)
    assert [Path(one.file).name for one in done.pictures] == [f"{CAR}-{names[2]}", f"{CAR}-{names[0]}"]


def test_a_device_that_is_not_enrolled_or_offline_or_silent_is_told_apart(
    control: Control, patient: Questions, tmp_path: Path
) -> None:
    patient.list_s = 0.1
    with pytest.raises(FleetError, match="not enrolled"):
        control.pictures("car-9", 1)
    with pytest.raises(DeviceAwayError, match="car-1 is offline"):
        control.pictures(CAR, 1)
    said: list[str] = []
    with pytest.raises(DeviceAwayError):
        fetch_pictures(control, CAR, tmp_path / "x", newest=1, patience=Patience(0.5, said.append))
    assert said == ["car-1 is offline; asking again for up to 0.5 s"]
    assert not (tmp_path / "x").exists()
    (tmp_path / "file").touch()
    with pytest.raises(BadArgumentError, match="is no folder"):
        fetch(control, tmp_path / "file")


def test_a_device_that_has_kept_nothing_yet_says_so(control: Control, device: FleetLine, tmp_path: Path) -> None:
    done = fetch(control, tmp_path / "here")
    assert (done.kept, done.named, done.pictures) == (0, 0, ())
    assert describe(done) == "car-1 keeps no picture yet"


# --- a device that lies ------------------------------------------------------------------------------


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
