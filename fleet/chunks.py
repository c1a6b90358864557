"""Files over MQTT, for devices that reach the broker's port only: `python -m fleet.chunks DIR`. MAIN PATH: `serve`.

A device asks for one piece after the other (`up/ota/req`) and gets it (`down/ota/chunk`): the same files as over HTTP,
and it verifies them in the same way. Nobody is sent what it did not ask for. Of each device a few requests wait, and
devices take turns; one piece at a time is handed to the broker, at a rate that leaves room for telemetry.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from pathlib import Path

import msgspec

from edge import topics
from edge.chunks import WINDOW, Chunk, pack
from edge.errors import BadMessageError, EdgeError
from edge.messages import ChunkRequest, decode
from edge.mqtt import MqttClient
from edge.pace import Pace
from fleet.broker import CHUNKS_USER, ServiceLogin, login_file
from fleet.config import FleetFolder
from fleet.served import etag_of, find_served

RATE_BYTES_S = 32 << 20
"""Of all devices together: a third of a gigabit line."""
SEND_S = 30.0
"""A broker that does not take a piece within this time does not get it; the device asks again."""
log = logging.getLogger("fleet.chunks")


class Desk:
    """Requests that wait: at most `WINDOW` of each device; devices take turns. Any thread."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[ChunkRequest]] = OrderedDict()
        self._changed = threading.Condition()

    def put(self, device: str, request: ChunkRequest) -> bool:
        """Queue a request; False, and forgotten, when too many of this device wait already."""
        with self._changed:
            queue = self._waiting.setdefault(device, deque())
            if len(queue) >= WINDOW:
                return False
            queue.append(request)
            self._changed.notify()
        return True

    def take(self, timeout_s: float) -> tuple[str, ChunkRequest] | None:
        """The next request, of the device that has waited longest for its turn; None when there is none."""
        with self._changed:
            if not self._changed.wait_for(lambda: bool(self._waiting), timeout_s):
                return None
            device, queue = self._waiting.popitem(last=False)
            request = queue.popleft()
            if queue:
                self._waiting[device] = queue
        return device, request


def read_chunk(folder: FleetFolder, request: ChunkRequest) -> Chunk:
    """The piece that was asked for, or why there is none."""
    path = find_served(folder, request.path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC) if path else -1
    except OSError:  # replaced or removed meanwhile
        descriptor = -1
    if descriptor < 0:
        return Chunk(request.id, 404, request.offset, 0, "")
    try:
        stat = os.fstat(descriptor)
        if request.offset > stat.st_size:
            return Chunk(request.id, 416, request.offset, stat.st_size, etag_of(stat))
        data = os.pread(descriptor, request.size_bytes, request.offset)
        return Chunk(request.id, 206, request.offset, stat.st_size, etag_of(stat), data)
    finally:
        os.close(descriptor)


class ChunkServer:
    """The desk between the broker's two directions."""

    def __init__(self, login: ServiceLogin, folder: FleetFolder, *, rate_bytes_s: float = RATE_BYTES_S) -> None:
        self._tenant, self._folder = login.tenant, folder
        self._desk, self._pace = Desk(), Pace(rate_bytes_s)
        self._client = MqttClient(
            login.url,
            client_id=login.username,
            username=login.username,
            password=login.password,
            ca=login.ca or None,
            on_message=self._received,
            on_connect=lambda: self._client.subscribe(topics.all_up(self._tenant, "ota/req"), qos=0),
        )

    def serve(self, stop: threading.Event) -> None:
        """Connect, and answer until `stop`."""
        self._client.connect()
        while not stop.is_set():
            if asked := self._desk.take(0.5):
                self._answer(*asked, wait=stop.wait)
        self._client.close()

    def _answer(self, device: str, request: ChunkRequest, wait: Callable[[float], bool]) -> None:
        payload = pack(read_chunk(self._folder, request))
        wait(self._pace.wait_s(len(payload), time.monotonic()))
        self._client.send(topics.down(self._tenant, device, "ota/chunk"), payload, wait_s=SEND_S)

    def _received(self, topic: str, payload: bytes) -> None:
        try:
            parsed, request = topics.parse(topic), decode(ChunkRequest, payload)
        except BadMessageError as exc:
            log.warning("set aside a message on %s: %s", topic[:200], exc.problem[:200])
            return
        if topics.is_id(parsed.device) and not self._desk.put(parsed.device, request):
            log.debug("%s asks for too much at once", parsed.device)


def main() -> int:
    """Entry of the child process: run until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(name)s: %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    folder = FleetFolder(Path(sys.argv[1]).resolve())
    try:
        login = msgspec.json.decode(login_file(folder, CHUNKS_USER).read_bytes(), type=ServiceLogin)
        ChunkServer(login, folder).serve(stop)
    except EdgeError as exc:
        log.critical("%s", exc)
        return exc.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
