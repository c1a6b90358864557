"""`i2c`: registers of chips on an I2C bus, by smbus2; one row each `period_s`.

`bus` may be a plain file instead, which stands for a bus without hardware: 128 devices of 256 bytes each, one after the
other, so that register r of device d is the byte at 256 d + r.
"""

from __future__ import annotations

import time
from array import array
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import msgspec

from edge.errors import MissingExtraError, SourceError
from edge_agent.rate import Ratekeeper
from edge_agent.sensors import Measured

Byte = Annotated[int, msgspec.Meta(ge=0, le=255)]
Address = Annotated[int, msgspec.Meta(ge=0x03, le=0x77)]
DEVICES, REGISTERS = 128, 256


class Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One value: `raw * scale + offset`."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    address: Address
    """Of the chip, as `i2cdetect` shows it."""
    register: Byte
    bytes: Annotated[int, msgspec.Meta(ge=1, le=4)] = 2
    signed: bool = True
    order: Literal["big", "little"] = "big"
    scale: float = 1.0
    offset: float = 0.0


class Setting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One byte that is written when the bus is opened: wakes a chip, or sets its range."""

    address: Address
    register: Byte
    value: Byte


class Bus(Protocol):
    """What is used of `smbus2.SMBus`."""

    def read_i2c_block_data(self, i2c_addr: int, register: int, length: int) -> list[int]:
        """Read `length` bytes from `register` on."""

    def write_byte_data(self, i2c_addr: int, register: int, value: int) -> None:
        """Write one byte."""

    def close(self) -> None:
        """Close the bus."""


class I2c:
    """Reads all values one after the other, stamped before the first one."""

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Which bus, and what of it."""

        bus: Annotated[int, msgspec.Meta(ge=0, le=255)] = 1
        """Number N of /dev/i2c-N."""
        path: Path | None = None
        """Of a bus device with another name, or of a plain file in its place."""
        period_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 0.05
        setup: tuple[Setting, ...] = ()
        values: Annotated[tuple[Value, ...], msgspec.Meta(min_length=1, max_length=256)]

    def __init__(self, options: Options) -> None:
        self._options = options
        self.columns = tuple(value.name for value in options.values)
        self._bus: Bus | None = None
        self._rate = Ratekeeper(1 / options.period_s)

    def open(self) -> None:
        """Open the bus and set the chips up; raises `SourceError` if a chip does not answer."""
        try:
            self._bus = _open_bus(self._options)
            for one in self._options.setup:
                self._bus.write_byte_data(one.address, one.register, one.value)
        except OSError as exc:
            raise SourceError(
                f"I2C bus {self._options.path or self._options.bus}: {exc}", remedy="see `i2cdetect -y 1`"
            ) from exc

    def read(self) -> Measured | None:
        """The values, when the period has come; raises `SourceError` if a chip does not answer."""
        assert self._bus is not None, "open() comes first"  # noqa: S101 - a mistake in our own code
        time.sleep(min(self._rate.wait_s(time.monotonic_ns()), 1.0))
        now_ns = time.monotonic_ns()
        if not self._rate.due(now_ns):
            return None
        values = array("f")
        for one in self._options.values:
            try:
                data = bytes(self._bus.read_i2c_block_data(one.address, one.register, one.bytes))
            except OSError as exc:
                raise SourceError(f"the chip at {one.address:#x} broke off: {exc}", remedy="look at its wires") from exc
            values.append(int.from_bytes(data, one.order, signed=one.signed) * one.scale + one.offset)
        return Measured(values, now_ns)

    def close(self) -> None:
        """Close the bus."""
        if self._bus is not None:
            self._bus.close()
            self._bus = None


class FileBus:
    """A bus that is a file: another program may write what the chips measure."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("r+b", buffering=0)

    def read_i2c_block_data(self, i2c_addr: int, register: int, length: int) -> list[int]:
        """As a chip would; OSError where the file is too short, as if nothing answered."""
        self._file.seek(i2c_addr * REGISTERS + register)
        data = self._file.read(length)
        if data is None or len(data) < length:
            raise OSError(121, "Remote I/O error")  # EREMOTEIO, what the kernel says of a chip that is not there
        return list(data)

    def write_byte_data(self, i2c_addr: int, register: int, value: int) -> None:
        """As a chip would."""
        self._file.seek(i2c_addr * REGISTERS + register)
        self._file.write(bytes((value,)))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _open_bus(options: I2c.Options) -> Bus:
    if options.path is not None and options.path.is_file():
        return FileBus(options.path)
    try:
        from smbus2 import SMBus
    except ImportError as exc:
        raise MissingExtraError("I2C needs smbus2", remedy="pip install 'edgewright[sensors]'") from exc
    bus: Any = SMBus(options.bus if options.path is None else str(options.path))
    made: Bus = bus
    return made
