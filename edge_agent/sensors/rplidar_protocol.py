"""The words of an RPLidar (A1 and its relatives, legacy scan): bytes in, nodes and scans out. No I/O.

A request is A5, a command and, with a payload, its length, the payload and the XOR of all bytes before. An answer is a
descriptor (A5 5A, 30 bits of length, 2 bits of mode, a type) and then its data: once, or node after node.
A node has five bytes: quality << 2 | !S << 1 | S, angle_q6 << 1 | 1 (two bytes), distance_q2 (two bytes); S begins a
turn. Source: SLAMTEC, "RPLIDAR interface protocol and application notes", LR001.
"""

import struct
from array import array
from dataclasses import dataclass, field
from functools import reduce
from operator import xor
from typing import NamedTuple

START, ANSWER = 0xA5, 0x5A
STOP, RESET, SCAN, GET_INFO, GET_HEALTH, MOTOR_PWM = 0x25, 0x40, 0x20, 0x50, 0x52, 0xF0
INFO_TYPE, HEALTH_TYPE, SCAN_TYPE = 0x04, 0x06, 0x81
HEALTH_ERROR = 2
NODE_BYTES, DESCRIPTOR_BYTES = 5, 7
MAX_NODES = 8000
"""Far more than one turn has; an A1 measures 8,000 times a second at the very most and turns five times."""
EDGE_DEG = 15.0
"""A turn begins within this of 0 degrees and ends within this of 360, or its beginning was a damaged node."""
LOOK_AHEAD = 8
"""A node counts only if it and the next seven have right check bits: two bits alone are right by chance too often."""
_DESCRIPTOR = struct.Struct("<BBIB")
_NODE = struct.Struct("<BHH")


class Descriptor(NamedTuple):
    """What an answer announces."""

    length: int
    """Of the data that follow, or of each node."""
    many: bool
    type: int


def request(command: int, payload: bytes = b"") -> bytes:
    """Encode a request; with a payload comes a checksum."""
    if not payload:
        return bytes((START, command))
    head = bytes((START, command, len(payload))) + payload
    return head + bytes((reduce(xor, head),))


def descriptor(length: int, *, many: bool, kind: int) -> bytes:
    """Encode an answer's descriptor, as the simulator sends it."""
    return _DESCRIPTOR.pack(START, ANSWER, length | (many << 30), kind)


def find_descriptor(data: bytes) -> tuple[Descriptor, bytes] | None:
    """The first descriptor in `data`, behind any noise, and what follows it; None while it is not whole."""
    at = data.find(bytes((START, ANSWER)))
    if at < 0 or len(data) < at + DESCRIPTOR_BYTES:
        return None
    _, _, length, kind = _DESCRIPTOR.unpack_from(data, at)
    return Descriptor(length & 0x3FFFFFFF, bool(length >> 30), kind), data[at + DESCRIPTOR_BYTES :]


def encode_node(angle_deg: float, distance_m: float, *, first: bool, quality: int = 15) -> bytes:
    """Encode one node, as the simulator sends it; distance 0: the ray did not return."""
    angle = (round(angle_deg * 64) % (360 * 64)) << 1 | 1
    return _NODE.pack(quality << 2 | (1 if first else 2), angle, round(distance_m * 4000))


@dataclass(slots=True)
class ScanAssembler:
    """Cuts a stream of bytes into nodes and nodes into turns; finds its place again after bytes were lost."""

    lost_bytes: int = 0
    _data: bytearray = field(default_factory=bytearray)
    _good: int = 0
    """Nodes at the beginning of `_data` whose check bits are right."""
    _points: "array[float] | None" = None
    """Of the turn in progress; None until one begins."""
    _began_ns: int = 0
    _doubtful: int = 0
    """So many of the next nodes may still be made of the ends of two: they lie behind lost bytes."""

    def feed(self, data: bytes, now_ns: int) -> list[tuple["array[float]", int]]:
        """Take bytes that arrived at `now_ns`; returns whole turns, each with the time at which its first node came.

        A turn is degrees, metres, degrees, metres...; one that lost bytes is left out, for an obstacle may hide there.
        """
        self._data += data
        turns: list[tuple[array[float], int]] = []
        while True:
            while self._good < LOOK_AHEAD and len(self._data) >= (self._good + 1) * NODE_BYTES:
                if self._right(self._good * NODE_BYTES):
                    self._good += 1
                else:
                    self._skip()
            if self._good < LOOK_AHEAD:
                return turns
            turn = self._take(now_ns)
            if turn is not None:
                turns.append(turn)

    def _right(self, at: int) -> bool:
        flags = self._data[at] & 3
        return flags in {1, 2} and self._data[at + 1] & 1 == 1

    def _skip(self) -> None:
        """Go on at the next byte; what was gathered has a gap."""
        del self._data[0]
        self.lost_bytes += 1
        self._good, self._points, self._doubtful = 0, None, LOOK_AHEAD - 1

    def _take(self, now_ns: int) -> tuple["array[float]", int] | None:
        """Take the first node; returns the turn that it ends."""
        flags, angle, distance = _NODE.unpack_from(self._data)
        del self._data[:NODE_BYTES]
        self._good -= 1
        ended, doubtful, self._doubtful = None, self._doubtful > 0, max(0, self._doubtful - 1)
        if flags & 1 and not doubtful:
            ended = (self._points, self._began_ns) if self._points and _is_whole(self._points) else None
            self._points, self._began_ns = array("f"), now_ns
        if self._points is not None and len(self._points) < 2 * MAX_NODES:
            self._points.extend(((angle >> 1) / 64.0, distance / 4000.0))
        return ended


def _is_whole(points: "array[float]") -> bool:
    return points[0] <= EDGE_DEG and points[-2] >= 360.0 - EDGE_DEG
