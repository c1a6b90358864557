"""The connection to the fleet: who we are, what we run, what we saw; and what the fleet wants of us.

Everything that comes in is put on `inbox`, for the main thread; nothing here waits. Each connection has a session
number of its own, in its presence and in its last will, so that a late will of an old connection is told from news.
"""

import queue
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from edge.chunks import Chunk, pack
from edge.enrolment import Enrolment
from edge.errors import BadMessageError
from edge.messages import (
    Ack,
    Batch,
    ChunkRequest,
    Command,
    Desired,
    PictureList,
    Presence,
    Reported,
    UpdateStatus,
    decode,
    encode,
)
from edge.mqtt import MqttClient, Will
from edge.topics import all_down, down, up

CONNECTIONS_PER_START = 1_000_000


@dataclass(frozen=True, slots=True)
class Connected:
    """The broker has accepted us."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection has ended."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The fleet said something that we cannot read."""

    problem: str


Heard = Connected | Disconnected | Unreadable | Desired | Ack


class _Client(MqttClient):
    def change_will(self, will: Will) -> None:
        """The broker hears of it at the next connect."""
        self._client.will_set(will.topic, will.payload, qos=1, retain=will.retain)


class FleetLine:
    """One device's line to its fleet."""

    def __init__(self, enrolment: Enrolment, *, boot_id: str, starts: int, wake: Callable[[], None]) -> None:
        """`starts`: never the same for two starts of this device; `wake` is called after each addition to `inbox`."""
        self.inbox: queue.SimpleQueue[Heard] = queue.SimpleQueue()
        self.on_chunk: Callable[[bytes], None] | None = None
        """Called from paho's thread with each piece of a file; see `edge.chunks`."""
        self.on_command: Callable[[Command], None] | None = None
        """Called from paho's thread with each question of the fleet."""
        self._enrolment, self._boot_id, self._wake = enrolment, boot_id, wake
        self._session = starts * CONNECTIONS_PER_START
        self._desired, self._ack, self._chunk = self._down("desired"), self._down("ack"), self._down("ota/chunk")
        self._command = self._down("cmd")
        self._reported: Reported | None = None
        self._client = _Client(
            enrolment.mqtt_url,
            client_id=enrolment.username,
            username=enrolment.username,
            password=enrolment.password,
            ca=enrolment.ca_pem or None,
            will=self._will(),
            on_message=self._on_message,
            on_connect=self._on_connect,
            on_disconnect=self._on_disconnect,
        )

    @property
    def connected(self) -> bool:
        """Whether the broker is there."""
        return self._client.connected

    def open(self) -> None:
        """Start connecting, and stay at it."""
        self._client.connect()

    def close(self) -> None:
        """Say goodbye."""
        self._say_presence(online=False)
        self._client.close()

    def send(self, batch: Batch) -> None:
        """Telemetry."""
        self._client.publish(self._up("tlm"), encode(batch))

    def report(self, reported: Reported) -> None:
        """What runs here; said again after every connect."""
        if reported != self._reported:
            self._reported = reported
            self._client.publish(self._up("reported"), encode(reported), retain=True)

    def tell(self, status: UpdateStatus) -> None:
        """One step of an update."""
        self._client.publish(self._up("update"), encode(status))

    def ask(self, request: ChunkRequest) -> None:
        """Ask for a piece of a file. At most once: whoever waits for it asks again."""
        self._client.publish(self._up("ota/req"), encode(request), qos=0)

    def name_pictures(self, answer: PictureList) -> None:
        """Answer what is kept. At most once, like a piece: the fleet asks again."""
        self._client.publish(self._up("cmd-result"), encode(answer), qos=0)

    def send_piece(self, piece: Chunk, *, wait_s: float) -> bool:
        """Send a piece of a picture, and wait until the socket has taken it; says whether it has."""
        return self._client.send(self._up("picture"), pack(piece), wait_s=wait_s)

    # --- paho's thread ---------------------------------------------------------------------------

    def _on_connect(self) -> None:
        self._client.subscribe(all_down(self._enrolment.tenant, self._enrolment.device))
        self._say_presence(online=True)
        if self._reported is not None:
            self._client.publish(self._up("reported"), encode(self._reported), retain=True)
        self._hear(Connected())

    def _on_disconnect(self, _reason: str) -> None:
        self._session += 1
        self._client.change_will(self._will())
        self._hear(Disconnected())

    def _on_message(self, topic: str, payload: bytes) -> None:
        try:
            if topic == self._desired:
                self._hear(decode(Desired, payload))
            elif topic == self._ack:
                self._hear(decode(Ack, payload))
            elif topic == self._chunk and self.on_chunk is not None:
                self.on_chunk(payload)
            elif topic == self._command and self.on_command is not None:
                self.on_command(decode(Command, payload))  # type: ignore[arg-type]  # mypy: a union is no type
        except BadMessageError as exc:
            self._hear(Unreadable(exc.problem))

    def _hear(self, heard: Heard) -> None:
        self.inbox.put(heard)
        self._wake()

    # --- words -----------------------------------------------------------------------------------

    def _say_presence(self, *, online: bool) -> None:
        self._client.publish(self._up("presence"), self._presence(online), retain=True)

    def _presence(self, online: bool) -> bytes:
        return msgspec.json.encode(Presence(online=online, boot_id=self._boot_id, session=self._session))

    def _will(self) -> Will:
        return Will(self._up("presence"), self._presence(online=False))

    def _up(self, kind: str) -> str:
        return up(self._enrolment.tenant, self._enrolment.device, kind)  # type: ignore[arg-type]

    def _down(self, kind: str) -> str:
        return down(self._enrolment.tenant, self._enrolment.device, kind)  # type: ignore[arg-type]
