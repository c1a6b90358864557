"""`mqtt`: many weak sensors that publish to a broker, joined by time into one row each `period_s`.

Each column has a topic. A payload is a number, or JSON of which `field` names the number. Where a column has said
nothing for `max_age_ms` there is no row.
"""

from __future__ import annotations

import math
import secrets
import threading
import time
from array import array
from pathlib import Path
from typing import Annotated, Any

import msgspec

from edge.errors import BrokerError, FileMissingError, MissingExtraError, SourceError
from edge_agent.rate import Ratekeeper
from edge_agent.sensors import Measured

CONNECT_S = 5.0


class Column(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One value of the row."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    topic: Annotated[str, msgspec.Meta(min_length=1, max_length=512, pattern=r"^[^#+]*$")]
    """One topic, without wildcards; several columns may share it, each with a `field` of its own."""
    field: str | None = None
    """Name of the number within a JSON object, with dots for objects within objects."""


class Mqtt:
    """Listens to a broker, and delivers what was said last on each topic."""

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Which broker, and which topics."""

        url: str
        """mqtt://HOST:1883 or mqtts://HOST:8883."""
        user: str | None = None
        password_file: Path | None = None
        """Its first line is the password."""
        ca: Path | None = None
        """PEM file of the authority that signed the broker's certificate; by default the system's."""
        period_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 0.1
        max_age_ms: Annotated[float, msgspec.Meta(gt=0, lt=1e9)] = 2000.0
        columns: Annotated[tuple[Column, ...], msgspec.Meta(min_length=1, max_length=4000)]

    def __init__(self, options: Options) -> None:
        self._options = options
        self.columns = tuple(column.name for column in options.columns)
        self._by_topic: dict[str, list[tuple[int, str | None]]] = {}
        for index, column in enumerate(options.columns):
            self._by_topic.setdefault(column.topic, []).append((index, column.field))
        self._values = [0.0] * len(options.columns)
        self._heard_ns = [-1] * len(options.columns)
        self._lock = threading.Lock()
        self._client: Any = None  # edge.mqtt.MqttClient, which is imported when it is needed
        self._rate = Ratekeeper(1 / options.period_s)

    def open(self) -> None:
        """Connect and subscribe; raises `SourceError` if the broker does not answer."""
        try:
            from edge.mqtt import MqttClient

            options = self._options
            self._client = MqttClient(
                options.url,
                client_id=f"edge-sensor-{secrets.token_hex(6)}",
                username=options.user,
                password=_first_line(options.password_file),
                ca=_text(options.ca),
                on_message=self._take,
                on_connect=self._subscribe,
            )
            self._client.connect(CONNECT_S)
        except ImportError as exc:
            raise MissingExtraError("MQTT needs paho-mqtt", remedy="pip install 'edgewright[agent]'") from exc
        except BrokerError as exc:
            raise SourceError(exc.problem, remedy=exc.remedy) from exc

    def read(self) -> Measured | None:
        """The row of this tick, stamped with the oldest of its values; None while one is missing or too old.

        Raises: `SourceError` while a value is missing because the broker is gone.
        """
        time.sleep(min(self._rate.wait_s(time.monotonic_ns()), 1.0))
        now_ns = time.monotonic_ns()
        if not self._rate.due(now_ns):
            return None
        with self._lock:
            values, oldest_ns = array("f", self._values), min(self._heard_ns)
        if oldest_ns >= 0 and now_ns - oldest_ns <= self._options.max_age_ms * 1e6:
            return Measured(values, oldest_ns)
        if not self._client.connected:
            raise SourceError("the connection to the broker is gone", remedy="look at the broker and the network")
        return None

    def close(self) -> None:
        """Leave the broker; what was heard is forgotten."""
        if self._client is not None:
            self._client.close()
            self._client = None
        self._heard_ns = [-1] * len(self._heard_ns)

    def _subscribe(self) -> None:
        for topic in self._by_topic:
            self._client.subscribe(topic, qos=0)  # an old value sent again is worth nothing

    def _take(self, topic: str, payload: bytes) -> None:
        """On paho's thread. A payload that is no number is no value, and its column soon too old."""
        now_ns = time.monotonic_ns()
        for index, name in self._by_topic.get(topic, ()):
            value = number_in(payload, name)
            if value is not None:
                with self._lock:
                    self._values[index], self._heard_ns[index] = value, now_ns


def number_in(payload: bytes, name: str | None) -> float | None:
    """The number of a payload, or of a field of it; None where there is none, or it is not finite."""
    try:
        found = msgspec.json.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    for key in name.split(".") if name else ():
        found = found.get(key) if isinstance(found, dict) else None
    if not isinstance(found, int | float):  # a truth value counts as 0 or 1
        return None
    try:
        value = float(found)
    except OverflowError:
        return None
    return value if math.isfinite(value) and abs(value) < 3e38 else None


def _text(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8")
    except OSError as exc:
        raise FileMissingError(f"no file {path}", remedy="correct the sensor's `password_file` and `ca`") from exc


def _first_line(path: Path | None) -> str | None:
    text = _text(path)
    return None if text is None else text.partition("\n")[0]
