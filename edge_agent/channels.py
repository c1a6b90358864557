"""The agent's pipes: fixed packets of 64 bytes, one a write, never waiting.

A write below PIPE_BUF is whole or not at all; a full pipe drops the packet rather than stall the writer. The supervisor
keeps both ends of every pipe, so that a process started again finds the pipe of the one that was killed.
Imports only the standard library, because the guard uses it. Times: CLOCK_MONOTONIC, nanoseconds.
"""

import fcntl
import os
import struct
from collections import deque
from typing import NamedTuple

PACKET_BYTES = 64
_READ_BYTES = 1 << 16  # a multiple of PACKET_BYTES, and at least as much as a pipe of ours holds
_PUBLICATION = struct.Struct("<IIIxxxxQqqI20x")  # each filled up to PACKET_BYTES
_COMMAND = struct.Struct("<IIQqq32x")


class Publication(NamedTuple):
    """Capture -> every loop: a frame lies in `slot`. Only loop `active` acts on it, under `epoch`."""

    slot: int
    active: int
    epoch: int
    frame: int
    captured_ns: int
    published_ns: int
    began: int = 0
    """Number, modulo 2**32, of the frame that the stretch without a gap began with, up to this one."""

    def pack(self) -> bytes:
        """Encode as one packet."""
        return _PUBLICATION.pack(*self)

    @classmethod
    def unpack(cls, packet: bytes) -> "Publication":
        """Decode one packet."""
        return cls._make(_PUBLICATION.unpack_from(packet))


class Command(NamedTuple):
    """Loop -> guard: do `action` (an index), because of `frame`."""

    epoch: int
    action: int
    frame: int
    captured_ns: int
    handed_ns: int

    def pack(self) -> bytes:
        """Encode as one packet."""
        return _COMMAND.pack(*self)

    @classmethod
    def unpack(cls, packet: bytes) -> "Command":
        """Decode one packet."""
        return cls._make(_COMMAND.unpack_from(packet))


class Pipe(NamedTuple):
    """Both ends of one pipe; neither ever waits."""

    read_fd: int
    write_fd: int

    def close(self) -> None:
        """Close both ends."""
        os.close(self.read_fd)
        os.close(self.write_fd)


def make_pipe(size_bytes: int = 4096) -> Pipe:
    """Open a pipe that holds about `size_bytes` (the kernel rounds up to pages)."""
    pipe = Pipe(*os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC))
    fcntl.fcntl(pipe.write_fd, fcntl.F_SETPIPE_SZ, size_bytes)
    return pipe


def send(fd: int, packet: bytes) -> bool:
    """Write one packet; False when the pipe is full or nobody will ever read it."""
    try:
        os.write(fd, packet)
    except (BlockingIOError, BrokenPipeError):
        return False
    return True


def packets(fd: int) -> list[bytes]:
    """Take everything out of the pipe, oldest first."""
    data = _drain(fd)
    return [data[at : at + PACKET_BYTES] for at in range(0, len(data), PACKET_BYTES)]


def newest(fd: int) -> bytes | None:
    """Take everything out of the pipe and return the last packet; None when it was empty."""
    return _drain(fd)[-PACKET_BYTES:] or None


class Announced:
    """What capture announces to one loop: the newest frame, or every one in order for a model with a state."""

    def __init__(self, fd: int, *, in_order: bool) -> None:
        self._fd, self._in_order = fd, in_order
        self._waiting: deque[bytes] = deque()

    @property
    def waiting(self) -> bool:
        """Whether `take()` has something without a look into the pipe."""
        return bool(self._waiting)

    def take(self) -> bytes | None:
        """The next packet to act on; None when there is none."""
        if not self._in_order:
            return newest(self._fd)
        if not self._waiting:
            self._waiting.extend(packets(self._fd))
        return self._waiting.popleft() if self._waiting else None


def _drain(fd: int) -> bytes:
    try:
        return os.read(fd, _READ_BYTES)
    except BlockingIOError:
        return b""
