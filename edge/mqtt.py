"""The one paho wrapper both sides use: TLS, last will, reconnect with jitter, callbacks that cannot end the client.

paho is imported when a client is made. Callbacks run on paho's thread: they must be quick, and may block only to say
"no more for now" (the broker then keeps what is not acknowledged).
"""

import logging
import random
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from edge.errors import BadArgumentError, BrokerError

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessage

log = logging.getLogger(__name__)
DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}
MIN_DELAY_S, MAX_DELAY_S = 1, 60
"""Of a reconnect: it starts between half a second and MIN_DELAY_S * 3, and doubles up to at most MAX_DELAY_S."""
MAX_IN_FLIGHT = 20
"""Messages of QoS 1 sent and not yet acknowledged; paho queues the others."""


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says for us when we vanish."""

    topic: str
    payload: bytes
    retain: bool = True


@dataclass(frozen=True, slots=True)
class Address:
    """Where a broker listens."""

    host: str
    port: int
    tls: bool


def parse_url(url: str) -> Address:
    """Take mqtt://host:port or mqtts://host:port apart; raises `BadArgumentError`."""
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS[parts.scheme]
    except (KeyError, ValueError) as exc:
        raise BadArgumentError(f"not a broker's address: {url!r}", remedy="write mqtts://HOST:8883") from exc
    if not parts.hostname:
        raise BadArgumentError(f"no host in the broker's address {url!r}", remedy="write mqtts://HOST:8883")
    return Address(parts.hostname, port, parts.scheme == "mqtts")


class MqttClient:
    """One connection to one broker, for the whole life of a process.

    Args:
        url: mqtt://host:port, or mqtts:// for TLS.
        client_id: also what the broker confines us by; the same as `username`.
        ca: PEM text of the authority that signed the broker's certificate; None: the system's authorities.
        will: said by the broker when we vanish.
        on_message: called with (topic, payload) for every message.
        on_connect: called after every connect; subscribe here, because a broker forgets.
        on_disconnect: called with a reason whenever the connection ends.
        version: 4 is MQTT 3.1.1, 5 is MQTT 5.
    """

    def __init__(
        self,
        url: str,
        *,
        client_id: str,
        username: str | None = None,
        password: str | None = None,
        ca: str | None = None,
        will: Will | None = None,
        on_message: Callable[[str, bytes], None] | None = None,
        on_connect: Callable[[], None] | None = None,
        on_disconnect: Callable[[str], None] | None = None,
        keepalive_s: int = 30,
        version: int = 4,
    ) -> None:
        self.address = parse_url(url)
        self._on_message, self._on_connect, self._on_disconnect = on_message, on_connect, on_disconnect
        self._keepalive_s = keepalive_s
        self._answered = threading.Event()
        self._refusal = "no answer"
        self._client = self._make(client_id, version)
        if username is not None:
            self._client.username_pw_set(username, password)
        if will is not None:
            self._client.will_set(will.topic, will.payload, qos=1, retain=will.retain)
        if self.address.tls:
            self._client.tls_set_context(ssl.create_default_context(cadata=ca))

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us and is still there."""
        return self._client.is_connected()

    def connect(self, wait_s: float | None = None) -> None:
        """Start connecting in the background, and stay at it; with `wait_s`, wait for the first success.

        Raises: BrokerError if `wait_s` passes without one; it says what the broker, or the network, answered.
        """
        self._client.connect_async(self.address.host, self.address.port, keepalive=self._keepalive_s)
        self._client.loop_start()
        if wait_s is None:
            return
        if not (self._answered.wait(wait_s) and self.connected):
            self.close()
            where = f"{self.address.host}:{self.address.port}"
            remedy = "check that the broker runs there, and the user name, password and CA"
            raise BrokerError(f"no connection to the broker at {where}: {self._refusal}", remedy=remedy)

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        """Queue a message; with QoS 1 it is sent again after a reconnect."""
        self._client.publish(topic, payload, qos=qos, retain=retain)

    def send(self, topic: str, payload: bytes, *, wait_s: float) -> bool:
        """Send a message once (QoS 0) and wait until the socket has taken it, so that nothing piles up here.

        Returns: whether it was taken within `wait_s`.
        """
        info = self._client.publish(topic, payload, qos=0)
        if info.rc != 0:  # not connected: paho keeps nothing
            return False
        try:
            info.wait_for_publish(wait_s)
            return info.is_published()
        except RuntimeError:  # the connection ended before the socket had taken it, and paho let go of it
            return False

    def subscribe(self, topic_filter: str, *, qos: int = 1) -> None:
        """Ask for messages; call it in `on_connect`."""
        self._client.subscribe(topic_filter, qos)

    def unsubscribe(self, topic_filter: str) -> None:
        """Ask for no more of them."""
        self._client.unsubscribe(topic_filter)

    def close(self, *, silent: bool = True) -> None:
        """Leave. `silent`: tell the broker, so that it keeps the last will to itself; else just hang up."""
        if silent:
            self._client.disconnect()
        elif (sock := self._client.socket()) is not None:
            sock.close()
        self._client.loop_stop()

    def _make(self, client_id: str, version: int) -> "Client":
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

        protocol = MQTTProtocolVersion.MQTTv5 if version == 5 else MQTTProtocolVersion.MQTTv311
        client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=protocol)
        client.suppress_exceptions = True  # ours are logged below; paho's thread must not end
        client.max_inflight_messages_set(MAX_IN_FLIGHT)
        # devices that a broker lost all at once must not come back all at once
        client.reconnect_delay_set(_between(MIN_DELAY_S / 2, MIN_DELAY_S * 3), _between(MAX_DELAY_S / 2, MAX_DELAY_S))
        client.on_connect, client.on_disconnect = self._connected, self._disconnected
        client.on_connect_fail, client.on_message = self._unreachable, self._received
        return client

    # --- paho's callbacks ----------------------------------------------------------------------

    def _connected(self, _client: "Client", _data: object, _flags: object, reason: Any, _properties: object) -> None:  # noqa: ANN401
        if reason.is_failure:
            self._refusal = f"it answers {str(reason).lower()}"
        else:
            self._guarded(self._on_connect)
        self._answered.set()  # a refusal is an answer too: waiting longer changes no password

    def _disconnected(self, _client: "Client", _data: object, _flags: object, reason: Any, _properties: object) -> None:  # noqa: ANN401
        if self._on_disconnect is not None:
            self._guarded(self._on_disconnect, str(reason))

    def _unreachable(self, _client: "Client", _data: object) -> None:
        self._refusal = "nothing answers there, or TLS fails"

    def _received(self, _client: "Client", _data: object, message: "MQTTMessage") -> None:
        self._guarded(self._on_message, message.topic, bytes(message.payload))

    def _guarded(self, callback: Callable[..., None] | None, *arguments: object) -> None:
        """Call back; an error is a bug of ours, said in the log, and never ends paho's thread."""
        if callback is None:
            return
        try:
            callback(*arguments)
        except Exception:
            log.exception("a callback failed")


def _between(low: float, high: float) -> Any:  # noqa: ANN401 - paho's types ask for int, its code takes fractions
    return random.uniform(low, high)
