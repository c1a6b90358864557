"""Ingest as it runs: its own process, a real broker, a real database."""

import json
import queue
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from edge.messages import (
    Ack,
    Batch,
    EventRow,
    MachineMinute,
    ModelReport,
    Presence,
    Reported,
    Row,
    UpdateStatus,
    WindowRow,
    decode,
    encode,
)
from edge.mqtt import MqttClient
from edge.topics import down, up
from fleet.broker import mosquitto_path
from fleet.ingest import QUEUE_ITEMS, Writer, filters, read_message
from fleet.ports import answers, claim
from fleet.store import Heard, Store, Telemetry, Unreadable, open_store
from fleet.store_machines import MinuteSpan

TENANT, CAR = "acme", "car-1"
OUTBOX = "0123456789abcdef"


def until(condition: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    limit_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < limit_s, f"waited in vain for {what}"
        time.sleep(0.05)


def batch(first: int = 1, rows: int = 3, *, body: bytes | None = None) -> Batch:
    text = body or msgspec.json.encode(EventRow(kind="fault", text="x"))
    return Batch(
        outbox_id=OUTBOX,
        first_seq=first,
        last_seq=first + rows - 1,
        rows=tuple(
            Row(seq=first + i, wall_ns=1, mono_ns=1, boot_id="b", clock_ok=True, body=msgspec.Raw(text))
            for i in range(rows)
        ),
    )


# --- one message -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("edge/v1/acme/d/car-1/up/tlm", b"\xff\xfe not JSON"),
        ("edge/v1/acme/d/car-1/up/tlm", b"{}"),
        ("edge/v1/acme/d/car-1/up/tlm", b'{"outbox_id":"a","first_seq":5,"last_seq":4,"rows":[]}'),
        ("edge/v1/acme/d/car-1/up/tlm", b'{"outbox_id":"a","first_seq":-1,"last_seq":4,"rows":[]}'),
        ("edge/v1/acme/d/car-1/up/tlm", b"[" * 100_000),
        ("edge/v1/acme/d/car-1/up/presence", b'{"online":"yes"}'),
        ("edge/v1/acme/d/car-1/up/nonsense", b"{}"),
        ("edge/v1/acme/d/car-1/down/ack", b"{}"),
        ("edge/v1/other/d/car-1/up/presence", b'{"online":true,"boot_id":"b","session":1}'),
        ("edge/v1/acme/d/.ingest-1/up/presence", b'{"online":true,"boot_id":"b","session":1}'),
        ("", b""),
    ],
)
def test_what_cannot_be_read_is_set_aside_and_never_an_error(topic: str, payload: bytes) -> None:
    item = read_message(topic, payload, tenant=TENANT, received_ns=1)
    assert isinstance(item, Unreadable)
    assert item.reason


def test_telemetry_and_state_are_read() -> None:
    def read(kind: str, message: msgspec.Struct) -> object:
        return read_message(f"edge/v1/acme/d/car-1/up/{kind}", encode(message), tenant=TENANT, received_ns=7)

    presence = Presence(online=True, boot_id="b", session=1)
    status = UpdateStatus(model="light", version=2, state="STAGED")
    assert read("tlm", batch()) == Telemetry(CAR, batch(), 7)
    assert read("presence", presence) == Heard(CAR, presence, 7)
    assert read("update", status) == Heard(CAR, status, 7)


def test_only_the_first_worker_reads_state_and_telemetry_is_shared() -> None:
    assert filters("acme", worker=1, workers=1)[0] == "edge/v1/acme/d/+/up/tlm"
    shared = "$share/ingest/edge/v1/acme/d/+/up/tlm"
    assert filters("acme", worker=1, workers=2)[0] == shared
    assert len(filters("acme", worker=1, workers=2)) == 4
    assert filters("acme", worker=2, workers=2) == (shared,)


# --- the writer --------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path / 'telemetry.db'}")
    yield opened
    opened.close()


@pytest.fixture
def acks() -> "queue.Queue[Ack]":
    return queue.Queue()


@pytest.fixture
def writer(store: Store, acks: "queue.Queue[Ack]") -> Iterator[Writer]:
    made = Writer(store, lambda _device, ack: acks.put(ack))
    yield made
    made.stop()


def test_a_full_queue_makes_the_reader_wait_and_drops_nothing(
    writer: Writer, store: Store, acks: "queue.Queue[Ack]"
) -> None:
    count = QUEUE_ITEMS + 50
    reader = threading.Thread(
        target=lambda: [writer.put(Telemetry(CAR, batch(3 * i + 1), i)) for i in range(count)], daemon=True
    )
    reader.start()
    until(writer._queue.full, "a full queue")
    assert reader.is_alive()
    thread = threading.Thread(target=writer.run, daemon=True)
    thread.start()
    until(lambda: acks.qsize() == count, "all acknowledgements")
    assert len(store.identities("events", CAR)) == 3 * count
    writer.stop()
    thread.join(30)


def test_data_that_the_database_refuses_is_set_aside_alone(
    writer: Writer, store: Store, acks: "queue.Queue[Ack]"
) -> None:
    good, other = batch(1), batch(20)
    # no device can send this over the wire; it stands for whatever a database may refuse one day
    rows = tuple(msgspec.structs.replace(row, wall_ns=2**70) for row in batch(10).rows)
    for each in (good, msgspec.structs.replace(batch(10), rows=rows), other):
        writer.put(Telemetry(CAR, each, 1))
    thread = threading.Thread(target=writer.run, daemon=True)
    thread.start()
    assert {acks.get(timeout=60).first_seq for _ in range(3)} == {1, 10, 20}
    assert [seq for _, seq in store.identities("events", CAR)] == [1, 2, 3, 20, 21, 22]
    assert store.counts()["poison"] == 1
    writer.stop()
    thread.join(30)


# --- the process -------------------------------------------------------------------------------


@dataclass
class Line:
    """A broker, one ingest process, and a device that speaks to it."""

    url: str
    database: Path
    process: "subprocess.Popen[bytes]"
    client: MqttClient
    acks: "queue.Queue[Ack]" = field(default_factory=queue.Queue)

    @property
    def store(self) -> Store:
        return open_store(f"sqlite:///{self.database}")

    def say(self, kind: str, payload: bytes, *, device: str = CAR) -> None:
        self.client.publish(f"edge/v1/{TENANT}/d/{device}/up/{kind}", payload)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    mosquitto = mosquitto_path()
    if mosquitto is None:
        pytest.skip("mosquitto is not installed: apt install mosquitto")
    folder, port = tmp_path_factory.mktemp("ingest"), claim("127.0.0.1", 0, "--mqtt-port")
    conf = folder / "mosquitto.conf"
    conf.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
    broker = subprocess.Popen([mosquitto, "-c", str(conf)], stderr=subprocess.DEVNULL)
    until(lambda: answers("127.0.0.1", port), "the broker")
    url, database = f"mqtt://127.0.0.1:{port}", folder / "telemetry.db"
    login = folder / "ingest.login"
    login.write_text(json.dumps({"url": url, "username": ".ingest-1", "password": "x", "ca": "", "tenant": TENANT}))
    process = subprocess.Popen([sys.executable, "-m", "fleet.ingest", str(login), f"sqlite:///{database}"])
    received: queue.Queue[Ack] = queue.Queue()
    client = MqttClient(
        url,
        client_id=CAR,
        on_message=lambda _topic, payload: received.put(decode(Ack, payload)),
        on_connect=lambda: client.subscribe(down(TENANT, CAR, "ack")),
    )
    client.connect(wait_s=30)
    running = Line(url, database, process, client, received)
    # a first batch is sent until it is answered: then everybody is there
    probe = batch(1_000_000, 1)
    until(lambda: running.say("tlm", encode(probe)) or _answered(received), "ingest to answer")
    while _answered(received):
        pass
    yield running
    client.close()
    for child in (process, broker):
        child.terminate()
        child.wait(60)


def _answered(received: "queue.Queue[Ack]") -> bool:
    try:
        received.get(timeout=0.3)
        return True
    except queue.Empty:
        return False


def test_a_batch_is_acknowledged_with_exactly_its_range(line: Line) -> None:
    line.say("tlm", encode(batch(100, 7)))
    assert line.acks.get(timeout=60) == Ack(outbox_id=OUTBOX, first_seq=100, last_seq=106)
    stored = {seq for _, seq in line.store.identities("events", CAR)}
    assert set(range(100, 107)) <= stored


def test_a_minute_of_the_machine_is_there_when_its_window_is_acknowledged(line: Line) -> None:
    at_s = int(time.time()) // 60 * 60
    window = WindowRow(
        model="light", version=1, span_ms=1000.0, decisions=0, unsure=0, labels={}, scores=(), latency_us=(), age_ms=(),
        actions={}, machine=MachineMinute(span_ms=60_000.0, decisions=0, temperature_c=91.5, throttled=("throttled",)),
    )  # fmt: skip
    (row,) = batch(400, 1, body=encode(window)).rows
    row = msgspec.structs.replace(row, wall_ns=at_s * 10**9)
    line.say("tlm", encode(Batch(outbox_id=OUTBOX, first_seq=400, last_seq=400, rows=(row,))))
    assert line.acks.get(timeout=60).first_seq == 400
    (step,) = line.store.machine(CAR, MinuteSpan(at_s // 60, 1, 1))
    assert (step.temperature_c, step.throttled, step.decisions, step.latency_p95_ms) == (91.5, 1, 0, None)


def test_poison_is_set_aside_and_the_worker_goes_on(line: Line) -> None:
    before = line.store.counts()["poison"]
    for payload in (b"", b"\x00\xff" * 50, b'{"outbox_id":"../x"}', b"[" * 10_000):
        line.say("tlm", payload)
    line.say("presence", b"not a presence")
    line.say("tlm", encode(batch(200, 2, body=b'{"type":"unknown"}')))
    line.say("tlm", encode(batch(210)))
    first, second = line.acks.get(timeout=60), line.acks.get(timeout=60)
    assert (first.first_seq, first.last_seq, second.first_seq) == (200, 201, 210)
    assert line.process.poll() is None
    until(lambda: line.store.counts()["poison"] == before + 5, "five unreadable messages")
    assert [seq for _, seq in line.store.identities("quarantine", CAR)] == [200, 201]


def test_presence_reports_and_steps_of_updates_arrive(line: Line) -> None:
    line.client.publish(up(TENANT, CAR, "presence"), encode(Presence(online=True, boot_id="b", session=3)), retain=True)
    report = ModelReport(version=4, state="COMMITTED", attempted=4)
    line.client.publish(
        up(TENANT, CAR, "reported"), encode(Reported(models={"light": report}, target="pi")), retain=True
    )
    line.say("update", encode(UpdateStatus(model="light", version=4, state="COMMITTED")))
    until(lambda: bool(line.store.updates(1, CAR)), "the step of the update")
    (view,) = [device for device in line.store.devices() if device.id == CAR]
    assert (view.online, view.target, view.report("light")) == (True, "pi", report)


def test_nothing_is_acknowledged_before_it_is_committed(line: Line) -> None:
    with closing(sqlite3.connect(line.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        line.say("tlm", encode(batch(300)))
        with pytest.raises(queue.Empty):
            line.acks.get(timeout=3)
        other.execute("ROLLBACK")
    assert line.acks.get(timeout=60).first_seq == 300
