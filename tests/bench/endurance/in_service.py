"""Brings a fleet where it is after weeks: caches are full, and every way of the web was used.

What is met for the first time costs memory once: SQLite's page cache (16 MB a connection, `fleet/store.py`), modules,
a thread's own heap. A soak of half an hour would take that for a leak, and hide one behind it.
"""

import contextlib
import sqlite3
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec
from rig import Fleet, StuckError

from edge.enrolment import Enrolment, read_enrolment
from edge.messages import Batch, Row, WindowRow, encode
from edge.mqtt import MqttClient
from edge.statistics import AGE_EDGES_MS, LATENCY_EDGES_US, SCORE_EDGES, count
from edge.topics import down, up

ROWS, BATCH_ROWS = 60_000, 100
"""The page cache is full after 30,000 (docs/benchmarks/endurance.md)."""
ROUNDS, AT_ONCE = 20, 8
PAGES = ("/", "/device/car-busy", "/device/car-busy?span=day", "/events", "/rollouts")
ACK_S = 60.0
OUTBOX = "busy"
WINDOW = WindowRow(
    model="busy", version=1, span_ms=1000.0, decisions=10, unsure=0, labels={"red": 10}, actions={"stop": 10},
    scores=tuple(count([0.97] * 10, SCORE_EDGES).tolist()),
    latency_us=tuple(count([400.0] * 10, LATENCY_EDGES_US).tolist()),
    age_ms=tuple(count([9.0] * 10, AGE_EDGES_MS).tolist()),
)  # fmt: skip


class InService:
    """A device that has sent much, devices that fetch, and a health check that opens the dashboard."""

    def __init__(self, fleet: Fleet, artifacts: tuple[str, ...]) -> None:
        """`artifacts`: paths below the web's artifacts/, to fetch as devices do."""
        path = fleet.folder / "car-busy.enrol"
        fleet.edge("fleet", "enrol", "car-busy", "-o", str(path), "--dir", str(fleet.dir))
        self._enrolment = read_enrolment(path)
        self._paths = ("metadata/timestamp.json", *(f"artifacts/{one}" for one in artifacts))
        self._database = fleet.dir / "telemetry.db"
        self._page_url = msgspec.json.decode((fleet.dir / "service.json").read_bytes())["page_url"]

    def begin(self) -> None:
        """Fill what fills. Raises StuckError if the fleet did not keep all rows as windows."""
        send(self._enrolment, ROWS)
        must_have_windows(self._database, self._enrolment.device, ROWS)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for work in [pool.submit(self._fetch) for _ in range(ROUNDS * AT_ONCE)]:
                work.result()
        for _ in range(ROUNDS):
            self.open_pages()

    def open_pages(self) -> None:
        """Open every page of the dashboard, as a health check does."""
        for page in PAGES:
            httpx.get(f"{self._page_url}{page}", timeout=30).raise_for_status()

    def _fetch(self) -> None:
        known = self._enrolment
        trust = ssl.create_default_context(cadata=known.ca_pem)
        with httpx.Client(verify=trust, auth=(known.username, known.password), timeout=30) as client:
            for path in self._paths:
                client.get(f"{known.http_url}/{path}").raise_for_status()


def must_have_windows(database: Path, device: str, rows: int) -> None:
    """Raise StuckError if not all rows of a device were kept: the fleet sets aside what it cannot read."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        (kept,) = db.execute("SELECT count(*) FROM windows WHERE device = ?", (device,)).fetchone()
    if kept != rows:
        raise StuckError(f"of {rows} windows of {device} the fleet has {kept}")


def send(enrolment: Enrolment, rows: int) -> None:
    """Telemetry of a device, each batch after the acknowledgement of the one before."""
    body = msgspec.Raw(msgspec.json.encode(WINDOW))
    topic = up(enrolment.tenant, enrolment.device, "tlm")
    with connected(enrolment) as (client, acknowledged):
        for first in range(1, rows, BATCH_ROWS):
            seqs = range(first, first + BATCH_ROWS)
            made = tuple(
                Row(seq=seq, wall_ns=time.time_ns(), mono_ns=seq, boot_id="b", clock_ok=True, body=body) for seq in seqs
            )
            acknowledged.clear()
            client.publish(topic, encode(Batch(outbox_id=OUTBOX, first_seq=first, last_seq=seqs[-1], rows=made)))
            if not acknowledged.wait(ACK_S):
                raise StuckError(f"no acknowledgement of rows {first} to {seqs[-1]} within {ACK_S:g} s")


@contextmanager
def connected(enrolment: Enrolment) -> Iterator[tuple[MqttClient, threading.Event]]:
    """A device's connection, and an event that is set by each acknowledgement of its telemetry."""
    acknowledged = threading.Event()
    topic = down(enrolment.tenant, enrolment.device, "ack")

    client = MqttClient(
        enrolment.mqtt_url, client_id=enrolment.device, username=enrolment.username, password=enrolment.password,
        ca=enrolment.ca_pem, on_message=lambda *_: acknowledged.set(), on_connect=lambda: client.subscribe(topic),
    )  # fmt: skip
    client.connect(wait_s=30)
    try:
        yield client, acknowledged
    finally:
        client.close()
