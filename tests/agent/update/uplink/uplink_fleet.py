"""A real broker, and a fleet that listens at it."""

import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from edge.chunks import Chunk, pack, unpack
from edge.messages import (
    Ack,
    Batch,
    Body,
    ChunkRequest,
    Command,
    Desired,
    PictureList,
    Presence,
    Reported,
    UpdateStatus,
    Wish,
    encode,
)
from edge.mqtt import MqttClient
from edge.topics import UP_KINDS, all_up, down, parse


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
