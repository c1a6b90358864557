"""The wires by which measurements reach the loops: whole datagrams, newest wins, nobody ever waits.

One wire for each sensor and each loop, so a full one holds old measurements of that sensor alone: its writer takes them
out and sends the new one. The supervisor keeps both ends of each, as it does with the pipes.
Imports only the standard library, because the sensors need no more. Times: CLOCK_MONOTONIC, nanoseconds.
"""

import socket
import struct
from array import array
from typing import NamedTuple

from edge_agent.sensors import Measured

MAX_VALUES = 16_000
"""A scan of 8,000 points, and far below what one datagram may hold."""
_HEADER = struct.Struct("<qI4x")
_BUFFER_BYTES = 1 << 17
_MAX_BYTES = _HEADER.size + 4 * MAX_VALUES


class Wire(NamedTuple):
    """Both ends of one wire."""

    reader: socket.socket
    writer: socket.socket


def make_wire() -> Wire:
    """Open a wire; neither end ever waits."""
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    reader.setblocking(False)
    writer.setblocking(False)
    writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
    return Wire(reader, writer)


def send(wire: Wire, measured: Measured, columns: int) -> None:
    """Send one measurement; when the wire is full, what lies in it is older and makes room.

    Raises: ValueError if it holds more than `MAX_VALUES` values.
    """
    if len(measured.values) > MAX_VALUES:
        raise ValueError(f"a measurement of {len(measured.values)} values; {MAX_VALUES} is the most")
    packet = _HEADER.pack(measured.captured_ns, columns) + measured.values.tobytes()
    try:
        wire.writer.send(packet)
    except BlockingIOError:
        newest(wire.reader)
        wire.writer.send(packet)


def newest(reader: socket.socket) -> tuple[Measured, int] | None:
    """Take everything out of a wire; the last measurement and its columns, None when it was empty."""
    packet = b""
    while True:
        try:
            packet = reader.recv(_MAX_BYTES)
        except BlockingIOError:
            break
    if not packet:
        return None
    captured_ns, columns = _HEADER.unpack_from(packet)
    values = array("f")
    values.frombytes(packet[_HEADER.size :])
    return Measured(values, captured_ns), columns
