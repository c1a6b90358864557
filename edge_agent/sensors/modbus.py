"""`modbus`: registers of a machine, over Modbus TCP (`host`) or RTU (`serial`); one row each `period_s`."""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from edge.errors import MissingExtraError, SourceError
from edge_agent.rate import Ratekeeper
from edge_agent.sensors import Measured

Table = Literal["holding", "input", "coil", "discrete"]
Type = Literal["uint16", "int16", "uint32", "int32", "float32", "float64", "bit"]
WORDS: dict[Type, int] = {"uint16": 1, "int16": 1, "uint32": 2, "int32": 2, "float32": 2, "float64": 4, "bit": 1}
MOST_WORDS = 100
"""Of one request; the protocol allows 125 registers, some machines fewer."""
MOST_GAP = 8
"""Unused words that are read along rather than asking twice."""


class Register(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One value: `raw * scale + offset`."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    address: Annotated[int, msgspec.Meta(ge=0, le=65535)]
    """As the protocol counts, from 0: register 40001 of a manual is `address: 0` of the table `holding`."""
    table: Table = "holding"
    type: Type = "uint16"
    """`coil` and `discrete` hold bits, whatever is said here."""
    scale: float = 1.0
    offset: float = 0.0


class Block(NamedTuple):
    """Neighbouring values that are read by one request."""

    table: Table
    first: int
    length: int
    members: tuple[int, ...]
    """Indices of the registers."""


class Modbus:
    """Asks for all registers, and delivers them as one row, stamped before the first request."""

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Which machine, and what of it."""

        host: str | None = None
        port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 502
        serial: Path | None = None
        """Port of an RS-485 line, for Modbus RTU instead of TCP."""
        baud: Annotated[int, msgspec.Meta(ge=300, le=4_000_000)] = 19_200
        parity: Literal["N", "E", "O"] = "N"
        unit: Annotated[int, msgspec.Meta(ge=0, le=255)] = 1
        period_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 0.1
        timeout_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 1.0
        word_order: Literal["big", "little"] = "big"
        """Which half of a value of two or four registers comes first."""
        registers: Annotated[tuple[Register, ...], msgspec.Meta(min_length=1, max_length=1000)]

        def __post_init__(self) -> None:
            if (self.host is None) == (self.serial is None):
                raise ValueError("give either `host` or `serial`")

    def __init__(self, options: Options) -> None:
        self._options = options
        self.columns = tuple(register.name for register in options.registers)
        self._blocks = blocks(options.registers)
        self._client: Any = None  # of pymodbus, TCP or serial
        self._rate = Ratekeeper(1 / options.period_s)

    def open(self) -> None:
        """Connect; raises `SourceError` if nobody answers."""
        client = self._make_client()
        self._client = client
        if not client.connect():
            raise SourceError(f"no Modbus device at {self._where}", remedy="look at its cable, `host` and `port`")

    def read(self) -> Measured | None:
        """The registers, when the period has come; raises `SourceError` if they cannot be read."""
        wait_s = self._rate.wait_s(time.monotonic_ns())
        time.sleep(min(wait_s, 1.0))
        now_ns = time.monotonic_ns()
        if not self._rate.due(now_ns):
            return None
        values = array("f", bytes(4 * len(self.columns)))
        for block in self._blocks:
            raw = self._ask(block)
            for index in block.members:
                values[index] = self._value(self._options.registers[index], block, raw)
        return Measured(values, now_ns)

    def close(self) -> None:
        """Hang up."""
        if self._client is not None:
            self._client.close()
            self._client = None

    @property
    def _where(self) -> str:
        options = self._options
        return str(options.serial) if options.serial else f"{options.host}:{options.port}"

    def _make_client(self) -> Any:  # noqa: ANN401
        options = self._options
        try:
            from pymodbus.client import ModbusSerialClient, ModbusTcpClient
        except ImportError as exc:
            raise MissingExtraError("Modbus needs pymodbus", remedy="pip install 'edgewright[industry]'") from exc
        if options.serial is not None:
            return ModbusSerialClient(
                str(options.serial), baudrate=options.baud, parity=options.parity, timeout=options.timeout_s, retries=1
            )
        return ModbusTcpClient(str(options.host), port=options.port, timeout=options.timeout_s, retries=1)

    def _ask(self, block: Block) -> Sequence[int]:
        """Words of `holding` and `input`, bits of the others."""
        from pymodbus import ModbusException

        ask = {
            "holding": self._client.read_holding_registers,
            "input": self._client.read_input_registers,
            "coil": self._client.read_coils,
            "discrete": self._client.read_discrete_inputs,
        }[block.table]
        try:
            answer = ask(block.first, count=block.length, device_id=self._options.unit)
        except (ModbusException, OSError) as exc:
            raise SourceError(f"{self._where} broke off: {exc}", remedy="look at its cable and its power") from exc
        if answer.isError():
            raise SourceError(
                f"{self._where} refuses {block.table} {block.first}..{block.first + block.length - 1}: {answer}",
                remedy="correct `address`, `table` and `unit` by the manual of the machine",
            )
        found: Sequence[int] = answer.registers if block.table in {"holding", "input"} else answer.bits
        if len(found) < block.length:
            raise SourceError(f"{self._where} answers with too few values", remedy="look at its manual")
        return found

    def _value(self, register: Register, block: Block, raw: Sequence[int]) -> float:
        at = register.address - block.first
        number = float(raw[at])
        if block.table in {"holding", "input"}:
            words = raw[at : at + WORDS[register.type]]
            number = number_of(words, register.type, little=self._options.word_order == "little")
        value = number * register.scale + register.offset
        if not math.isfinite(value):
            raise SourceError(f"register {register.name!r} is no number", remedy="look at the sensor behind it")
        return value


def number_of(words: Sequence[int], kind: Type, *, little: bool) -> float:
    """A number from its 16-bit words; each word is big-endian. Source: Modbus application protocol V1.1b3, 4.2."""
    import struct

    ordered = tuple(reversed(words)) if little else tuple(words)
    code = {"uint16": "H", "int16": "h", "uint32": "I", "int32": "i", "float32": "f", "float64": "d", "bit": "H"}[kind]
    (number,) = struct.unpack(f">{code}", struct.pack(f">{len(ordered)}H", *ordered))
    return float(number != 0 if kind == "bit" else number)


def blocks(registers: Sequence[Register]) -> tuple[Block, ...]:
    """Group registers that lie near each other, so that one request reads many."""

    def size(register: Register) -> int:
        return WORDS[register.type] if register.table in {"holding", "input"} else 1

    found: list[Block] = []
    for index in sorted(range(len(registers)), key=lambda i: (registers[i].table, registers[i].address)):
        register = registers[index]
        last, end = found[-1] if found else None, register.address + size(register)
        if (
            last is not None
            and last.table == register.table
            and register.address - (last.first + last.length) <= MOST_GAP
            and end - last.first <= MOST_WORDS
        ):
            length = max(last.length, end - last.first)
            found[-1] = last._replace(length=length, members=(*last.members, index))
        else:
            found.append(Block(register.table, register.address, size(register), (index,)))
    return tuple(found)
