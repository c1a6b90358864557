"""`rplidar`: an RPLidar A1 (or a relative that speaks the legacy scan) on a serial port; one measurement a turn."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec

from edge.errors import MissingExtraError, SourceError
from edge_agent.sensors import Measured
from edge_agent.sensors import rplidar_protocol as protocol

ANSWER_S, SILENCE_S = 1.0, 2.0
_SETTLE_S = 0.05
"""After STOP and RESET, before the next request; the protocol asks for 1 and 2 ms, USB adapters need more."""


class RPLidar:
    """Reads turn after turn. A turn is stamped when it began: nothing in it is older than its stamp."""

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Where it is plugged in."""

        port: Path
        """Such as /dev/ttyUSB0, or /dev/serial/by-id/..., which survives plugging."""
        baud: Annotated[int, msgspec.Meta(ge=9600, le=2_000_000)] = 115_200
        """An A1 and an A2 talk at 115,200, an A3 at 256,000."""
        motor_pwm: Annotated[int, msgspec.Meta(ge=0, le=1023)] | None = None
        """Speed of the motor, where the lidar takes it on this port (A2 and A3: 660); an A1 turns by DTR."""

    columns = ("angle_deg", "distance_m")

    def __init__(self, options: Options) -> None:
        self._options = options
        self._serial: Any = None  # serial.Serial; pyserial is untyped
        self._assembler = protocol.ScanAssembler()
        self._turns: list[Measured] = []
        self._heard_s = 0.0

    def open(self) -> None:
        """Open the port, ask for the lidar's health, let it turn and measure; raises `SourceError`."""
        serial = load_serial()
        try:
            self._serial = serial.Serial(str(self._options.port), self._options.baud, timeout=0.1, write_timeout=1.0)
            self._start()
        except (OSError, serial.SerialException) as exc:
            raise SourceError(f"no lidar at {self._options.port}: {exc}", remedy="look at its plug and `port`") from exc
        self._assembler, self._heard_s = protocol.ScanAssembler(), time.monotonic()
        self._turns.clear()

    def _start(self) -> None:
        self._write(protocol.request(protocol.STOP))
        time.sleep(_SETTLE_S)
        self._serial.reset_input_buffer()
        health = self._ask(protocol.GET_HEALTH, protocol.HEALTH_TYPE)
        if health[0] == protocol.HEALTH_ERROR:
            self._write(protocol.request(protocol.RESET))
            time.sleep(_SETTLE_S)
            code = int.from_bytes(health[1:3], "little")
            raise SourceError(f"the lidar reports error {code}", remedy="let its motor turn freely; it was reset")
        with contextlib.suppress(OSError):  # a pseudo-terminal has no DTR
            self._serial.dtr = False  # low lets the motor of an A1 turn
        if self._options.motor_pwm is not None:
            payload = self._options.motor_pwm.to_bytes(2, "little")
            self._write(protocol.request(protocol.MOTOR_PWM, payload))
        self._write(protocol.request(protocol.SCAN))
        self._descriptor(protocol.SCAN_TYPE)

    def read(self) -> Measured | None:
        """The next whole turn; raises `SourceError` when unplugged, or silent for two seconds."""
        if not self._turns:
            now_ns = time.monotonic_ns()
            data = self._receive()
            if data:
                self._heard_s = now_ns / 1e9
                self._turns += [Measured(*turn) for turn in self._assembler.feed(data, now_ns)]
            elif now_ns / 1e9 - self._heard_s > SILENCE_S:
                raise SourceError("the lidar fell silent", remedy="look at its plug, its power and its motor")
        return self._turns.pop(0) if self._turns else None

    def close(self) -> None:
        """Stop measuring and turning."""
        if self._serial is None:
            return
        with contextlib.suppress(OSError):
            self._serial.write(protocol.request(protocol.STOP))
            self._serial.dtr = True
        with contextlib.suppress(OSError):
            self._serial.close()
        self._serial = None

    def _ask(self, command: int, kind: int) -> bytes:
        """One request, and the data of its answer."""
        self._write(protocol.request(command))
        found, data = self._descriptor(kind)
        data += bytes(self._serial.read(found.length - len(data)))
        if len(data) < found.length:
            raise SourceError("the lidar broke off within an answer", remedy="look at its plug and its power")
        return data

    def _descriptor(self, kind: int) -> tuple[protocol.Descriptor, bytes]:
        """Wait for the descriptor of an answer of this kind, and return what came after it, too."""
        data, until_s = b"", time.monotonic() + ANSWER_S
        while (found := protocol.find_descriptor(data)) is None:
            if time.monotonic() > until_s:
                raise SourceError(
                    f"no lidar answers at {self._options.port}", remedy="look at its power, `port` and `baud`"
                )
            data += bytes(self._serial.read(protocol.DESCRIPTOR_BYTES - len(data) % protocol.DESCRIPTOR_BYTES))
        if found[0].type != kind:
            raise SourceError(f"the lidar answers {found[0].type:#x}, not {kind:#x}", remedy="take its power away once")
        return found

    def _receive(self) -> bytes:
        try:
            data: bytes = self._serial.read(max(1, self._serial.in_waiting))
        except OSError as exc:  # SerialException is one
            raise SourceError(f"the lidar broke off: {exc}", remedy="look at its plug and its power") from exc
        return data

    def _write(self, data: bytes) -> None:
        self._serial.write(data)


def load_serial() -> Any:  # noqa: ANN401 - pyserial is untyped
    """Import pyserial, or raise `MissingExtraError`."""
    try:
        import serial
    except ImportError as exc:
        raise MissingExtraError("a serial port needs pyserial", remedy="pip install 'edgewright[sensors]'") from exc
    return serial
