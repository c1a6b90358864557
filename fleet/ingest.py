"""Telemetry in: `python -m fleet.ingest LOGIN STORE_URL [--worker N --workers M]`. MAIN PATH: `Ingest.run`.

MQTT -> bounded queue -> one writer thread -> one transaction for up to 1,000 rows -> acknowledgements. A device deletes
its rows when it is acknowledged, so nothing is acknowledged before its commit. A full queue stops reading from the
socket, and the broker and the devices hold what is not taken yet; nothing is dropped here.
"""

import argparse
import logging
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import sqlalchemy as sa

from edge import topics
from edge.errors import BadMessageError, EdgeError
from edge.messages import Ack, Batch, Presence, Reported, UpdateStatus, decode, encode
from fleet.broker import ServiceLogin
from fleet.store import Heard, Item, Store, Telemetry, Unreadable, open_store

QUEUE_ITEMS = 2000
MAX_ROWS = 1000
"""Rows of one commit; a single batch may be larger."""
GATHER_S = 0.05
"""How long a commit waits for more rows to share its fsync."""
RETRY_S = 1.0
KEEP_DAYS = 30.0
FORGET_EVERY_S = 3600.0
log = logging.getLogger("fleet.ingest")


def read_message(topic: str, payload: bytes, *, tenant: str, received_ns: int) -> Item:
    """Turn one MQTT message into what the store takes; what is none of ours becomes `Unreadable`, never an error."""
    try:
        parsed = topics.parse(topic)
        if parsed.tenant != tenant or parsed.direction != "up" or not topics.is_id(parsed.device):
            return Unreadable(topic, "not a topic of this fleet's devices", payload, received_ns)
        if parsed.kind == "tlm":
            batch = decode(Batch, payload)
            if batch.last_seq < batch.first_seq:
                return Unreadable(
                    topic, f"batch {batch.first_seq}..{batch.last_seq} runs backwards", payload, received_ns
                )
            return Telemetry(parsed.device, batch, received_ns)
        return Heard(parsed.device, _state(parsed.kind, payload), received_ns)
    except BadMessageError as exc:
        return Unreadable(topic, exc.problem, payload, received_ns)


def _state(kind: str, payload: bytes) -> Presence | Reported | UpdateStatus:
    if kind == "presence":
        return decode(Presence, payload)
    return decode(Reported, payload) if kind == "reported" else decode(UpdateStatus, payload)


class Writer:
    """The one thread that writes. `acknowledge` is called after the commit that made an acknowledgement true."""

    def __init__(self, store: Store, acknowledge: Callable[[str, Ack], None]) -> None:
        self._store, self._acknowledge = store, acknowledge
        self._queue: queue.Queue[Item] = queue.Queue(QUEUE_ITEMS)
        self._stop = threading.Event()
        self._forgot_s = time.monotonic()
        self.committed_rows = 0

    def put(self, item: Item) -> None:
        """Hand over one message; blocks while the queue is full, which is what stops reading from the broker."""
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.5)
                return
            except queue.Full:
                continue

    def stop(self) -> None:
        """Let `run` end after what it is committing; the rest is not acknowledged and will be sent again."""
        self._stop.set()

    def run(self) -> None:
        """Commit until `stop`."""
        while not self._stop.is_set():
            items = self._take()
            if items:
                self._commit(items)
            elif time.monotonic() - self._forgot_s > FORGET_EVERY_S:
                self._forgot_s = time.monotonic()
                self._store.forget(KEEP_DAYS, time.time_ns())

    def _take(self) -> list[Item]:
        """Wait for a message, then take what comes within GATHER_S, up to MAX_ROWS."""
        try:
            items = [self._queue.get(timeout=0.5)]
        except queue.Empty:
            return []
        until_s = time.monotonic() + GATHER_S
        rows = _rows(items[0])
        while rows < MAX_ROWS and (left_s := until_s - time.monotonic()) > 0:
            try:
                items.append(self._queue.get(timeout=left_s))
            except queue.Empty:
                break
            rows += _rows(items[-1])
        return items

    def _commit(self, items: Sequence[Item]) -> None:
        """Try until it is on disk. A locked or full database passes; data that no database takes is set aside."""
        while not self._stop.is_set():
            try:
                acks = self._store.commit(items)
            except (sa.exc.DataError, sa.exc.IntegrityError, OverflowError, ValueError) as exc:
                self._one_by_one(items, exc)
                return
            except sa.exc.SQLAlchemyError as exc:
                log.warning("cannot commit %d messages, trying again: %s", len(items), exc)
                self._stop.wait(RETRY_S)
                continue
            self._tell([item for item in items if isinstance(item, Telemetry)], acks)
            return

    def _one_by_one(self, items: Sequence[Item], exc: Exception) -> None:
        """One of them cannot be stored by any means: find it, keep it as unreadable, and acknowledge it."""
        if len(items) > 1:
            for item in items:
                self._commit([item])
            return
        (item,) = items
        if isinstance(item, Unreadable):
            log.error("dropped a message that not even the quarantine takes: %s", exc)
            return
        kept = Unreadable(
            f"{item.device} (rejected by the database)", str(exc), encode(_payload(item)), item.received_ns
        )
        self._commit([kept])
        if isinstance(item, Telemetry):
            batch = item.batch
            ack = Ack(outbox_id=batch.outbox_id, first_seq=batch.first_seq, last_seq=batch.last_seq)
            self._tell([item], [ack])

    def _tell(self, batches: Sequence[Telemetry], acks: Sequence[Ack]) -> None:
        for item, ack in zip(batches, acks, strict=True):
            self.committed_rows += len(item.batch.rows)
            self._acknowledge(item.device, ack)


def _payload(item: Telemetry | Heard) -> msgspec.Struct:
    return item.batch if isinstance(item, Telemetry) else item.message


def _rows(item: Item) -> int:
    return len(item.batch.rows) if isinstance(item, Telemetry) else 1


class Ingest:
    """One ingest worker: the broker on one side, the store on the other."""

    def __init__(self, login: ServiceLogin, store: Store, *, worker: int = 1, workers: int = 1) -> None:
        from edge.mqtt import MqttClient

        self._login, self._worker, self._workers = login, worker, workers
        self._writer = Writer(store, self._acknowledge)
        self._client = MqttClient(
            login.url,
            client_id=login.username,
            username=login.username,
            password=login.password,
            ca=login.ca or None,
            on_message=self._received,
            on_connect=self._connected,
            version=4 if workers == 1 else 5,  # shared subscriptions are MQTT 5's
        )

    def run(self, stop: threading.Event) -> None:
        """Connect, then commit and acknowledge until `stop`."""
        self._client.connect()
        writer = threading.Thread(target=self._writer.run, name="writer", daemon=True)
        writer.start()
        while not stop.wait(0.5):
            if not writer.is_alive():
                raise RuntimeError("the writer ended; see the log above")
        self._writer.stop()
        writer.join(timeout=40)
        self._client.close()

    def _connected(self) -> None:
        for name in filters(self._login.tenant, worker=self._worker, workers=self._workers):
            self._client.subscribe(name)

    def _received(self, topic: str, payload: bytes) -> None:
        item = read_message(topic, payload, tenant=self._login.tenant, received_ns=time.time_ns())
        if isinstance(item, Unreadable):
            log.warning("set aside a message on %s: %s", topic[:200], item.reason[:200])
        self._writer.put(item)

    def _acknowledge(self, device: str, ack: Ack) -> None:
        # not retained, at most once: a lost acknowledgement only makes the device send the batch again
        self._client.publish(topics.down(self._login.tenant, device, "ack"), encode(ack), qos=0)


def filters(tenant: str, *, worker: int, workers: int) -> tuple[str, ...]:
    """What one worker subscribes to.

    Telemetry is shared among the workers. State is read by the first worker alone: retained messages do not reach
    shared subscriptions, and two workers could commit two states of one device in the wrong order.
    """
    telemetry = topics.all_up(tenant, "tlm")
    mine = (telemetry if workers == 1 else f"$share/ingest/{telemetry}",)
    if worker != 1:
        return mine
    return (*mine, *(topics.all_up(tenant, kind) for kind in ("presence", "reported", "update")))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one worker until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(
        prog="python -m fleet.ingest", description="Telemetry from MQTT into the database."
    )
    parser.add_argument("login", type=Path, help="JSON file of fleet.broker.ServiceLogin")
    parser.add_argument("store", help="database URL")
    parser.add_argument("--worker", type=int, default=1, help="number of this worker, from 1")
    parser.add_argument("--workers", type=int, default=1, help="how many share the telemetry")
    given = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(name)s: %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        login = msgspec.json.decode(given.login.read_bytes(), type=ServiceLogin)
        Ingest(login, open_store(given.store), worker=given.worker, workers=given.workers).run(stop)
    except EdgeError as exc:
        log.critical("%s", exc)
        return exc.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
