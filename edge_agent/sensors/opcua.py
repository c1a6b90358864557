"""`opcua`: variables of an OPC UA server; all of them are read by one request each `period_s`."""

from __future__ import annotations

import math
import time
from array import array
from concurrent.futures import TimeoutError as AnswerTimeoutError
from typing import Annotated, Any

import msgspec

from edge.errors import BadConfigError, MissingExtraError, SourceError
from edge_agent.rate import Ratekeeper
from edge_agent.sensors import Measured


class Variable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One value."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    node: Annotated[str, msgspec.Meta(min_length=3, max_length=512)]
    """Its node id, such as `ns=2;s=Pump1.Pressure` or `ns=2;i=4`."""


class OpcUa:
    """Asks for all variables, and delivers them as one row, stamped before the request."""

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Which server, and what of it."""

        url: Annotated[str, msgspec.Meta(pattern=r"^opc\.tcp://")]
        """opc.tcp://HOST:4840/PATH."""
        period_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 0.1
        timeout_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 4.0
        variables: Annotated[tuple[Variable, ...], msgspec.Meta(min_length=1, max_length=1000)]

    def __init__(self, options: Options) -> None:
        self._options = options
        self.columns = tuple(variable.name for variable in options.variables)
        self._client: Any = None  # asyncua.sync.Client; a thread of its own
        self._nodes: list[Any] = []
        self._rate = Ratekeeper(1 / options.period_s)

    def open(self) -> None:
        """Connect; raises `SourceError` if nobody answers, `BadConfigError` if a node id is none."""
        try:
            from asyncua.sync import Client
            from asyncua.ua.uaerrors import UaError, UaStringParsingError
        except ImportError as exc:
            raise MissingExtraError("OPC UA needs asyncua", remedy="pip install 'edgewright[industry]'") from exc
        client = Client(self._options.url, timeout=self._options.timeout_s)
        try:
            client.connect()
        except (OSError, TimeoutError, AnswerTimeoutError, UaError) as exc:
            _end(client)
            raise SourceError(
                f"no OPC UA server at {self._options.url}: {exc or 'no answer'}", remedy="look at `url` and the network"
            ) from exc
        self._client = client
        try:
            self._nodes = [client.get_node(variable.node) for variable in self._options.variables]
        except UaStringParsingError as exc:
            raise BadConfigError(f"sensor opcua: {exc}", remedy="write node ids as ns=2;s=NAME") from exc

    def read(self) -> Measured | None:
        """The variables, when the period has come; raises `SourceError` if one of them cannot be read."""
        from asyncua.ua.uaerrors import UaError

        time.sleep(min(self._rate.wait_s(time.monotonic_ns()), 1.0))
        now_ns = time.monotonic_ns()
        if not self._rate.due(now_ns):
            return None
        try:
            found = self._client.read_values(self._nodes)
        except (OSError, TimeoutError, AnswerTimeoutError, UaError) as exc:
            raise SourceError(
                f"{self._options.url} broke off: {exc or 'no answer'}", remedy="look at the server, and at the node ids"
            ) from exc
        values = array("f")
        for name, value in zip(self.columns, found, strict=True):
            values.append(_number(name, value))
        return Measured(values, now_ns)

    def close(self) -> None:
        """Hang up, and end the client's thread."""
        if self._client is None:
            return
        from asyncua.ua.uaerrors import UaError

        try:
            self._client.disconnect()
        except (OSError, TimeoutError, AnswerTimeoutError, UaError):
            pass  # it is gone already
        finally:
            _end(self._client)
            self._client = None


def _end(client: Any) -> None:  # noqa: ANN401
    """End the thread behind a client, which `disconnect` does only where it gets so far."""
    if client.tloop.is_alive():
        client.tloop.stop()


def _number(name: str, value: object) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise SourceError(
            f"variable {name!r} is no number: {value!r}", remedy="look at its node id, and the sensor behind it"
        )
    return float(value)
