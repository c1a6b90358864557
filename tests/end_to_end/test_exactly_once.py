"""Every row that an outbox has committed is in the fleet's database exactly once, whatever dies on the way.

Three devices (real outboxes, batches reordered and doubled on purpose), a real broker that is killed with -9 while they
speak, and two real ingest workers on one shared subscription, one of which is killed with -9 between receiving and
committing. That it is between is known, not hoped: the database is locked, and the broker's log shows that the worker
has taken batches.
"""

import json
import queue
import random
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edge.messages import Ack, EventRow, decode, encode
from edge.mqtt import MqttClient
from edge.topics import down, up
from edge_agent.uplink.outbox import Outbox, Stamp
from fleet.broker import mosquitto_path
from fleet.ports import answers, claim
from fleet.store import open_store

TENANT, DEVICES, ROWS = "acme", ("car-1", "car-2", "car-3"), 3000
HURRY = 20
"""The outbox's clock runs this much faster, so that its 10 s before a resend are half a second here."""


def until(condition: Callable[[], bool], what: str, timeout_s: float = 120.0) -> None:
    limit_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < limit_s, f"waited in vain for {what}"
        time.sleep(0.05)


class Device(threading.Thread):
    """One device: puts rows into its outbox while it sends, out of order and now and then twice."""

    def __init__(self, name: str, folder: Path, url: str) -> None:
        super().__init__(daemon=True)
        self.name, self.path = name, folder / f"{name}.outbox"
        self.acks: queue.Queue[Ack] = queue.Queue()
        self.stop, self.put, self.waiting = threading.Event(), 0, 1
        self.error: Exception | None = None
        self.client = MqttClient(
            url,
            client_id=name,
            on_message=lambda _topic, payload: self.acks.put(decode(Ack, payload)),
            on_connect=lambda: self.client.subscribe(down(TENANT, name, "ack")),
        )

    def run(self) -> None:
        try:
            self._run()
        except Exception as exc:  # noqa: BLE001
            self.error = exc

    def _run(self) -> None:
        chance = random.Random(self.name)
        outbox = Outbox(self.path, most_rows=1_000_000, now_s=lambda: time.monotonic() * HURRY)
        self.client.connect()
        while not self.stop.is_set():
            if self.put < ROWS:
                rows = [EventRow(kind="test", text=str(self.put + i)) for i in range(50)]
                outbox.put(rows, Stamp(time.time_ns(), time.monotonic_ns(), "boot", clock_ok=True))
                self.put += len(rows)
            due = outbox.batches()
            due += [each for each in due if chance.random() < 0.3]
            chance.shuffle(due)
            for each in due:
                self.client.publish(up(TENANT, self.name, "tlm"), encode(each))
            self.stop.wait(0.1)
            while not self.acks.empty():
                outbox.acknowledge(self.acks.get())
            self.waiting = outbox.waiting + (ROWS - self.put)


class Machines:
    """Broker and workers, each a process that the test may kill."""

    def __init__(self, folder: Path, mosquitto: str) -> None:
        self.folder, self.port = folder, claim("127.0.0.1", 0, "--mqtt-port")
        self.url, self.database = f"mqtt://127.0.0.1:{self.port}", folder / "telemetry.db"
        self.log = folder / "mosquitto.log"
        self._command = [mosquitto, "-c", str(folder / "mosquitto.conf")]
        (folder / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_type all\n"
        )
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start_broker(self) -> None:
        with self.log.open("ab") as log:
            self.processes["broker"] = subprocess.Popen(self._command, stderr=log, stdout=log)
        until(lambda: answers("127.0.0.1", self.port), "the broker")

    def start_worker(self, number: int) -> None:
        login = self.folder / f"{number}.login"
        facts = {"url": self.url, "username": f".ingest-{number}", "password": "x", "ca": "", "tenant": TENANT}
        login.write_text(json.dumps(facts))
        words = ["-m", "fleet.ingest", str(login), f"sqlite:///{self.database}"]
        self.processes[f"worker {number}"] = subprocess.Popen(
            [sys.executable, *words, "--worker", str(number), "--workers", "2"]
        )

    def kill(self, name: str) -> None:
        """SIGKILL, by the process that we started."""
        self.processes[name].kill()
        self.processes[name].wait(30)

    def taken_by(self, number: int) -> int:
        """Batches that a worker has taken over from the broker: its client confirms one when it is in its queue."""
        return len(re.findall(rf"Received PUBACK from \.ingest-{number}\b", self.log.read_text(errors="replace")))


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    mosquitto = mosquitto_path()
    if mosquitto is None:
        pytest.skip("mosquitto is not installed: apt install mosquitto")
    made = Machines(tmp_path, mosquitto)
    yield made
    for process in made.processes.values():
        process.kill()
        process.wait(30)


def test_every_row_is_stored_exactly_once_though_broker_and_worker_are_killed(
    machines: Machines, tmp_path: Path
) -> None:
    machines.start_broker()
    for number in (1, 2):
        machines.start_worker(number)
    devices = [Device(name, tmp_path, machines.url) for name in DEVICES]
    for device in devices:
        device.start()
    store = open_store(f"sqlite:///{machines.database}")
    until(lambda: store.counts()["events"] > 300, "the first rows")

    # the broker dies in the middle of it, and comes back with nothing in its memory
    assert any(device.waiting for device in devices)
    machines.kill("broker")
    machines.start_broker()
    counted = store.counts()["events"]
    until(lambda: store.counts()["events"] > counted + 200, "rows after the broker came back")

    # worker 2 dies with batches that it has received and cannot commit
    until(lambda: machines.taken_by(2) > 0, "worker 2 to take part")
    with closing(sqlite3.connect(machines.database, isolation_level=None, timeout=60)) as other:
        other.execute("BEGIN IMMEDIATE")
        before = store.counts()["events"]
        taken = machines.taken_by(2)
        until(lambda: machines.taken_by(2) > taken, "worker 2 to receive while it cannot commit")
        machines.kill("worker 2")
        assert store.counts()["events"] == before
        other.execute("ROLLBACK")
    machines.start_worker(2)

    def empty() -> bool:
        return all(device.put == ROWS and device.waiting == 0 for device in devices) or any(d.error for d in devices)

    until(empty, "empty outboxes")
    for device in devices:
        device.stop.set()
        device.join(30)
        device.client.close()
        assert device.error is None
        rows = store.identities("events", device.name)
        assert [seq for _, seq in rows] == list(range(1, ROWS + 1))
        assert len({outbox for outbox, _ in rows}) == 1
    told = Counter(event.text for event in store.events(ROWS * len(DEVICES) + 1))
    assert set(told) == {str(number) for number in range(ROWS)}
    assert set(told.values()) == {len(DEVICES)}
    assert store.counts()["quarantine"] == store.counts()["poison"] == 0
    store.close()
