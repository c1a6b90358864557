"""The real uplink process between a real broker, a real HTTP server and a supervisor that the test plays."""

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.chunks import CHUNK_BYTES, PARTIAL, Chunk, pack, unpack
from edge.enrolment import Enrolment, read_enrolment, write_enrolment
from edge.messages import (
    Ack,
    Batch,
    Body,
    ChunkRequest,
    Command,
    Desired,
    EventRow,
    ListPictures,
    PictureList,
    Presence,
    Reported,
    SendPicture,
    UpdateStatus,
    WindowRow,
    Wish,
    encode,
)
from edge.mqtt import MqttClient
from edge.topics import UP_KINDS, all_up, down, parse
from edge_agent.control import Done, Fault, Health, News, Notice, Request, Retire, Revert, Stage, Switch
from edge_agent.records import Applied, Decided
from edge_agent.update.boot import choose_bundle
from edge_agent.uplink.spec import UplinkSpec, UplinkStatus, status_path
from edge_agent.watch.health import MachineHealth

pytestmark = pytest.mark.skipif(shutil.which("mosquitto") is None, reason="mosquitto is not installed")
STEPS = ["OFFERED", "PRECHECK", "DOWNLOADING", "VERIFYING", "STAGED", "SELFTEST", "SWITCHED", "PROBATION"]


def until(holds: Callable[[], Any], why: Callable[[], object] = lambda: "", timeout_s: float = 60.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := holds()):
        assert time.monotonic() < deadline, f"waited too long: {why()}"
        time.sleep(0.02)
    return found


class Broker:
    """mosquitto without a memory of its own, so that what survives it is the outbox's merit."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.config = folder / "mosquitto.conf"
        self.config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(["mosquitto", "-c", str(self.config)], stderr=subprocess.DEVNULL)
        until(self._listens)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Fleet:
    """Hears everything that the device says, and acknowledges telemetry when it is told to."""

    def __init__(self, url: str) -> None:
        self.acknowledges = True
        self.files: dict[str, bytes] = {}
        """What is served over MQTT."""
        self.asked: list[ChunkRequest] = []
        self.before_chunk: Callable[[ChunkRequest], bool] = lambda _request: True
        """False: there is no answer."""
        self.rows: dict[tuple[str, int], Any] = {}
        self.times: dict[tuple[str, int], int] = {}
        self.reported: list[Reported] = []
        self.statuses: list[UpdateStatus] = []
        self.presences: list[Presence] = []
        self.lists: list[PictureList] = []
        self.pieces: list[Chunk] = []
        self.client = MqttClient(url, client_id="fleet", on_message=self._hear, on_connect=self._listen)
        self.client.connect(30)

    def _listen(self) -> None:
        for kind in UP_KINDS:
            self.client.subscribe(all_up("home", kind))

    def _hear(self, topic: str, payload: bytes) -> None:
        match parse(topic).kind:
            case "tlm":
                self._take(msgspec.json.decode(payload, type=Batch))
            case "reported":
                self.reported.append(msgspec.json.decode(payload, type=Reported))
            case "update":
                self.statuses.append(msgspec.json.decode(payload, type=UpdateStatus))
            case "ota/req":
                self._serve(msgspec.json.decode(payload, type=ChunkRequest))
            case "cmd-result":
                self.lists.append(msgspec.json.decode(payload, type=PictureList))
            case "picture":
                self.pieces.append(unpack(payload))
            case "presence":
                self.presences.append(msgspec.json.decode(payload, type=Presence))

    def _take(self, batch: Batch) -> None:
        for row in batch.rows:
            key = (batch.outbox_id, row.seq)
            assert self.rows.setdefault(key, row) == row
            self.times[key] = self.times.get(key, 0) + 1
        if self.acknowledges:
            ack = Ack(outbox_id=batch.outbox_id, first_seq=batch.first_seq, last_seq=batch.last_seq)
            self.client.publish(down("home", "car-1", "ack"), encode(ack))

    def _serve(self, request: ChunkRequest) -> None:
        self.asked.append(request)
        if not self.before_chunk(request):
            return
        data = self.files.get(request.path)
        piece = (data or b"")[request.offset : request.offset + request.size_bytes]
        chunk = Chunk(request.id, 404 if data is None else 206, request.offset, len(data or b""), "e", piece)
        self.client.publish(down("home", "car-1", "ota/chunk"), pack(chunk), qos=0)

    def wish(self, version: int, order: int) -> None:
        desired = Desired(models={"light": Wish(version=version, order=order)})
        self.client.publish(down("home", "car-1", "desired"), encode(desired), retain=True)

    def ask(self, command: Command) -> None:
        self.client.publish(down("home", "car-1", "cmd"), encode(command), qos=0)

    def bodies(self, kind: type) -> list[Any]:
        found = [msgspec.json.decode(row.body, type=Body) for row in list(self.rows.values())]
        return [body for body in found if isinstance(body, kind)]

    @property
    def model(self) -> tuple[int, str]:
        """What the device last reported: version and state."""
        report = self.reported[-1].models["light"] if self.reported else None
        return (report.version, report.state) if report else (0, "")


WARM = MachineHealth(
    temperature_c=76.5, throttled=(), memory_mib=900, memory_free_mib=300, load=1.0, disk_free_mib=2000
)


class Supervisor:
    """Starts the uplink and plays the loops: every frame a record, every second a sign of health."""

    def __init__(self, folder: Path, **spec: Any) -> None:
        self.state_dir, self.spec = folder / "state", spec
        self.state_dir.mkdir(exist_ok=True)
        self.epoch, self.frame = 1, 0
        self.asked: list[str] = []
        self.before_answer: Callable[[Request], bool] = lambda _request: True
        """False: the uplink has been killed meanwhile, and gets no answer."""
        self.decides = True
        self.boot()

    def boot(self) -> None:
        """As after a reboot: the journal says what runs."""
        self.version = self.old = self.staged = choose_bundle(self.state_dir, "light").version
        self.start()

    def start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        records_out, self.records_in = os.pipe2(os.O_NONBLOCK)
        spec = UplinkSpec(
            control_fd=theirs.fileno(), records_fd=records_out, state_dir=str(self.state_dir), model="light",
            target="x86-64", actions=("stop", "go"), safe_action="stop", labels=("go", "stop"), version=self.version,
            epoch=self.epoch, **self.spec,
        )  # fmt: skip
        command = [sys.executable, "-m", "edge_agent.uplink.process", msgspec.json.encode(spec).decode()]
        self.process = subprocess.Popen(command, pass_fds=(theirs.fileno(), records_out))
        theirs.close()
        os.close(records_out)
        self.line, self.running = ours, True
        self.threads = [threading.Thread(target=work, daemon=True) for work in (self._answer, self._work)]
        for thread in self.threads:
            thread.start()

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.process.send_signal(signal.SIGKILL)
        self.end()

    def end(self) -> None:
        self.running = False
        self.process.wait(30)
        for thread in self.threads:
            if thread is not threading.current_thread():
                thread.join(30)
        self.line.close()
        os.close(self.records_in)

    def say(self, news: News) -> None:
        try:
            self.line.send(msgspec.json.encode(news))
        except OSError:
            return

    def _answer(self) -> None:
        line, decoder = self.line, msgspec.json.Decoder(Request)
        line.settimeout(0.05)
        while self.running:
            try:
                packet = line.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                return
            if not packet:
                return
            request = decoder.decode(packet)
            self.asked.append(type(request).__name__)
            if self.before_answer(request):
                self.say(self._do(request))

    def _do(self, request: Request) -> Done:
        match request:
            case Stage():
                self.staged = request.version
                return Done(ok=Path(request.path).exists(), p95_us=900.0)
            case Switch():
                self.old, self.version, self.epoch = self.version, self.staged, self.epoch + 1
            case Revert():
                self.version, self.epoch = self.old, self.epoch + 1
            case Retire():
                pass
        return Done(ok=True)

    def _work(self) -> None:
        due_s = 0.0
        while self.running:
            if self.decides:
                self._decide()
            if time.monotonic() > due_s:
                due_s = time.monotonic() + 0.3
                self.say(Health(version=self.version, epoch=self.epoch, processes={}, machine=WARM, heat=1))
            time.sleep(0.01)

    def _decide(self) -> None:
        self.frame += 1
        now, label = time.monotonic_ns(), self.frame // 50 % 2
        try:
            os.write(self.records_in, Decided(0, self.epoch, self.frame, *[now] * 6, 0.97, 0.6, label, label).pack())
            os.write(self.records_in, Applied(0, label, self.epoch, self.frame, now, now, now).pack())
        except OSError:
            return

    def status(self) -> UplinkStatus | None:
        try:
            return msgspec.json.decode(status_path(self.state_dir).read_bytes(), type=UplinkStatus)
        except FileNotFoundError:
            return None


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    yield broker
    broker.kill()


@pytest.fixture
def fleet(broker: Broker) -> Iterator[Fleet]:
    fleet = Fleet(f"mqtt://127.0.0.1:{broker.port}")
    yield fleet
    fleet.client.close()


@pytest.fixture
def enrol(tmp_path: Path, broker: Broker, repository: Any, http_shelf: Any) -> str:
    enrolment = Enrolment(
        tenant="home", device="car-1", mqtt_url=f"mqtt://127.0.0.1:{broker.port}", http_url=http_shelf.url,
        username="car-1", password="secret", ca_pem="", root_json=repository.root_json,
    )  # fmt: skip
    write_enrolment(tmp_path / "car-1.enrol", enrolment)
    return str(tmp_path / "car-1.enrol")


@pytest.fixture
def supervisor(tmp_path: Path, fleet: Fleet, enrol: str) -> Iterator[Supervisor]:
    supervisor = Supervisor(tmp_path, enrol=enrol, probation_s=1.0, quiet_s=8.0, window_s=0.3, block_kib=16)
    yield supervisor
    if supervisor.running:
        supervisor.kill()


@pytest.fixture
def published(repository: Any, make_bundle: Callable[..., bytes]) -> Any:
    for version in (1, 2):
        repository.publish("light", version, make_bundle(version=version))
    return repository


def test_a_wish_becomes_a_running_version_and_every_step_is_told(
    supervisor: Supervisor, fleet: Fleet, published: Any
) -> None:
    fleet.wish(1, 1)
    until(lambda: fleet.model == (1, "COMMITTED"), lambda: fleet.statuses)
    fleet.wish(2, 2)
    until(lambda: fleet.model == (2, "COMMITTED"), lambda: fleet.statuses)
    assert [status.state for status in fleet.statuses] == [*STEPS, "COMMITTED"] * 2
    assert [name for name in supervisor.asked if name != "Retire"] == ["Stage", "Switch"] * 2
    choice = choose_bundle(supervisor.state_dir, "light")
    assert choice.path is not None
    assert choice.path.read_bytes() == published.files["artifacts/light/light-2.edge"]
    until(lambda: {row.version for row in fleet.bodies(WindowRow)} >= {1, 2})
    labels = [row.labels for row in fleet.bodies(WindowRow) if row.version == 2]
    machine = next(row.machine for row in fleet.bodies(WindowRow) if row.machine)
    assert (machine.temperature_c, machine.memory_free_mib, machine.heat) == (76.5, 300, 1)
    assert set().union(*labels) <= {"go", "stop"}
    until(lambda: (found := supervisor.status()) and found.version == 2 and found.connected and found.drift is not None)
    assert [event.text for event in fleet.bodies(EventRow) if event.kind == "update" and event.version == 2][-1:] == [
        "COMMITTED"
    ]


def test_a_version_whose_loop_crashes_on_probation_is_reverted_and_reported(
    supervisor: Supervisor, fleet: Fleet, published: Any
) -> None:
    fleet.wish(1, 1)
    until(lambda: fleet.model == (1, "COMMITTED"), lambda: fleet.statuses)
    supervisor.before_answer = lambda request: (
        (isinstance(request, Switch) and threading.Timer(0.4, crash).start()) or True
    )

    def crash() -> None:
        supervisor.say(Fault(process="loop-1", reason="signal 6", restarts=1))

    fleet.wish(2, 2)
    until(lambda: fleet.model == (1, "ROLLED_BACK"), lambda: fleet.statuses)
    report = fleet.reported[-1].models["light"]
    assert (report.attempted, report.reason) == (2, "PROBATION_FAILED: loop-1: signal 6")
    assert supervisor.asked[-1] == "Revert"
    until(lambda: [event for event in fleet.bodies(EventRow) if event.kind == "fault"])


def test_an_uplink_that_reaches_only_the_broker_and_is_killed_in_the_middle_fetches_at_most_a_block_again(
    tmp_path: Path, fleet: Fleet, enrol: str, published: Any
) -> None:
    shut = msgspec.structs.replace(read_enrolment(Path(enrol)), http_url="http://127.0.0.1:9")
    write_enrolment(Path(enrol), shut)
    supervisor = Supervisor(tmp_path, enrol=enrol, probation_s=0.5, quiet_s=8.0, window_s=0.3, block_kib=16)
    fleet.files = published.files
    path, killed = "artifacts/light/light-1.edge", list[int]()

    def kill_twice(request: ChunkRequest) -> bool:
        if request.path == path and request.offset > 12_000 * (len(killed) + 1) and len(killed) < 2:
            killed.append(request.offset)
            supervisor.process.send_signal(signal.SIGKILL)
        return supervisor.process.poll() is None

    fleet.before_chunk = kill_twice
    fleet.wish(1, 1)
    for number in (1, 2):
        until(lambda number=number: len(killed) == number, lambda: fleet.asked)
        supervisor.end()
        supervisor.start()
    until(lambda: fleet.model == (1, "COMMITTED"), lambda: (fleet.statuses, fleet.asked))
    supervisor.kill()
    size = len(published.files[path])
    asked = sum(min(r.size_bytes, size - r.offset) for r in fleet.asked if r.path == path)
    assert asked - size <= 2 * 16 * 1024


@pytest.mark.parametrize("when", [Stage, Switch, "PROBATION", "DOWNLOADING"])
def test_an_uplink_killed_twice_in_the_middle_of_an_update_completes_it(
    supervisor: Supervisor, fleet: Fleet, published: Any, http_shelf: Any, when: Any
) -> None:
    killed: list[str] = []

    def kill_first() -> bool:
        """Kill once at each call, twice at most; says whether it did."""
        if len(killed) < 2:
            killed.append(str(when))
            supervisor.process.send_signal(signal.SIGKILL)
            return True
        return False

    if when == "DOWNLOADING":

        def trouble(handler: Any, data: bytes) -> bool:
            return handler.path.endswith(".edge") and kill_first() and time.sleep(0.2) is None

        http_shelf.trouble = trouble
    elif when != "PROBATION":
        supervisor.before_answer = lambda request: not (isinstance(request, when) and kill_first())
    fleet.wish(1, 1)
    deadline = time.monotonic() + 90
    while fleet.model != (1, "COMMITTED"):
        assert time.monotonic() < deadline, (fleet.statuses, supervisor.asked)
        if when == "PROBATION" and fleet.statuses and fleet.statuses[-1].state == "PROBATION":
            kill_first()
        if supervisor.process.poll() is not None:
            supervisor.end()
            if len(killed) == 1:
                supervisor.start()  # the supervisor lives, and starts it again
            else:
                supervisor.boot()  # the whole device starts again
        time.sleep(0.02)
    assert len(killed) == 2
    assert choose_bundle(supervisor.state_dir, "light").version == 1


@pytest.mark.parametrize("carried_out", [False, True])
def test_an_uplink_killed_at_the_switch_does_not_give_the_new_version_up(
    supervisor: Supervisor, fleet: Fleet, published: Any, carried_out: bool
) -> None:
    killed: list[Request] = []

    def kill_once(request: Request) -> bool:
        if not isinstance(request, Switch) or killed:
            return True
        killed.append(request)
        supervisor.process.send_signal(signal.SIGKILL)
        supervisor.process.wait(30)
        return carried_out  # the answer reaches nobody

    supervisor.before_answer = kill_once
    fleet.wish(1, 1)
    until(lambda: killed)
    supervisor.end()
    supervisor.start()
    until(lambda: fleet.model == (1, "COMMITTED"), lambda: (fleet.statuses, supervisor.asked))
    assert "ROLLED_BACK" not in [status.state for status in fleet.statuses]


def test_no_row_is_lost_when_the_broker_and_the_uplink_are_killed(
    supervisor: Supervisor, fleet: Fleet, broker: Broker, published: Any
) -> None:
    fleet.wish(1, 1)
    until(lambda: fleet.model == (1, "COMMITTED"), lambda: fleet.statuses)
    fleet.acknowledges = False
    seen = len(fleet.rows)
    until(lambda: len(fleet.rows) > seen + 3)
    broker.kill()
    time.sleep(1)
    supervisor.kill()
    supervisor.start()
    until(lambda: (found := supervisor.status()) and found.outbox_rows > 5)
    fleet.acknowledges = True
    broker.start()
    until(lambda: supervisor.process.poll() is None and max(fleet.times.values()) > 1)
    supervisor.decides = False
    until(lambda: not rows_left(supervisor), lambda: rows_left(supervisor), 120)
    (outbox_id,) = {outbox for outbox, _ in fleet.rows}
    numbers = sorted(seq for _, seq in fleet.rows)
    assert numbers == list(range(1, numbers[-1] + 1))
    assert outbox_id


def rows_left(supervisor: Supervisor) -> int:
    outbox = sqlite3.connect(supervisor.state_dir / "run" / "outbox.sqlite")
    return int(outbox.execute("SELECT count(*) FROM rows").fetchone()[0])


def test_presence_tells_a_late_will_from_a_new_session(supervisor: Supervisor, fleet: Fleet) -> None:
    until(lambda: fleet.presences and fleet.presences[-1].online)
    first = fleet.presences[-1].session
    supervisor.kill()
    until(lambda: not fleet.presences[-1].online)
    assert fleet.presences[-1].session == first
    supervisor.start()
    until(lambda: fleet.presences[-1].online)
    assert fleet.presences[-1].session > first
    supervisor.process.terminate()
    supervisor.end()
    until(lambda: not fleet.presences[-1].online)


def test_what_the_supervisor_notices_becomes_an_event(supervisor: Supervisor, fleet: Fleet) -> None:
    until(lambda: fleet.presences and fleet.presences[-1].online)
    supervisor.say(Notice(kind="heat", text="fewer frames: 77.0 °C"))
    until(lambda: any((row.kind, row.text) == ("heat", "fewer frames: 77.0 °C") for row in fleet.bodies(EventRow)))


def test_an_unreadable_wish_is_an_event_and_nothing_else(supervisor: Supervisor, fleet: Fleet) -> None:
    until(lambda: fleet.presences and fleet.presences[-1].online)
    for payload in (b"\xff", b"[]", b'{"models": {"light": {"version": -1}}}', b"[" * 10000):
        fleet.client.publish(down("home", "car-1", "desired"), payload)
    until(lambda: len([event for event in fleet.bodies(EventRow) if event.kind == "message"]) == 4)
    assert supervisor.process.poll() is None


def test_pictures_are_sent_beside_telemetry_by_whichever_process_is_asked_and_bad_questions_are_events(
    tmp_path: Path, fleet: Fleet, enrol: str
) -> None:
    supervisor = Supervisor(tmp_path, enrol=enrol, window_s=0.3, pictures="sent")
    name, data = f"{7:020d}-7.png", os.urandom(3 * CHUNK_BYTES)
    (supervisor.state_dir / "kept").mkdir()
    (supervisor.state_dir / "kept" / name).write_bytes(data)
    until(lambda: fleet.presences and fleet.presences[-1].online)
    for payload in (b'{"type": "list-pictures", "id": 1, "newest": 101}', b'{"type": "reboot", "id": 1}', b"\xff"):
        fleet.client.publish(down("home", "car-1", "cmd"), payload)
    outside = b'{"type": "send-picture", "id": 1, "name": "../journal", "offset": 0, "size_bytes": 9}'
    fleet.client.publish(down("home", "car-1", "cmd"), outside)
    fleet.ask(ListPictures(id=2, newest=5))
    until(lambda: fleet.lists)
    assert [(one.id, one.kept, one.pictures[0].name) for one in fleet.lists] == [
        (2, 1, name)
    ]  # nothing else was answered
    until(lambda: [event.kind for event in fleet.bodies(EventRow)] == ["message"] * 4 + ["pictures"])
    supervisor.kill()  # what comes next owes nothing to what was said before
    supervisor.start()
    until(lambda: len(fleet.presences) > 2 and fleet.presences[-1].online)
    for number in range(3):
        fleet.ask(SendPicture(id=number, name=name, offset=number * CHUNK_BYTES, size_bytes=CHUNK_BYTES))
    until(lambda: len(fleet.pieces) == 3)
    assert {piece.status for piece in fleet.pieces} == {PARTIAL}
    assert b"".join(piece.data for piece in fleet.pieces) == data
    supervisor.kill()


def test_without_a_fleet_the_uplink_only_keeps_its_status(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path, window_s=0.2)
    status = until(supervisor.status)
    assert (status.fleet, status.connected, status.outbox_rows, status.state) == ("", False, 0, "IDLE")
    assert not (supervisor.state_dir / "run" / "outbox.sqlite").exists()
    supervisor.line.shutdown(socket.SHUT_RDWR)  # the supervisor is gone
    assert supervisor.process.wait(30) == 0
    supervisor.end()
