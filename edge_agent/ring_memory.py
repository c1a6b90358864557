"""The memory of the ring: its layout, who may touch a slot, and how it is made.

One anonymous file (memfd): it has no name to leak or to be unlinked by a stranger, is not bounded by the size of
/dev/shm, and only pages that were touched exist. Its header says magic, layout version, slots, slot size and owner.
A claim on a slot is a kernel record lock on one byte of this file; see docs/adr/0001-ring-claims-are-kernel-locks.md.
No numpy here, because the supervisor makes the ring.
"""

import errno
import fcntl
import mmap
import os
import struct
from typing import NamedTuple

from edge.errors import AgentError

SLOTS = 6
"""One being written or claimed ahead, the newest, one for each of two loops, and two that wait for a loop which takes
every frame."""
SLOT_BYTES = 1920 * 1080 * 3
"""Largest frame in bytes; smaller ones use (and occupy) only what they need."""
_MAGIC, _VERSION, _TOKEN_BYTES = b"EDGERING", 1, 16
_HEADER = struct.Struct("<8sIIQ16s")
_SLOT = struct.Struct("@QqIIII")
_FRAME = struct.Struct("@Q")  # the first field of a slot's header; native: one store where a word has 64 bits
_REST = struct.Struct("@qIIII")  # its other fields
_SLOT_STRIDE, _SLOT_TABLE, _PAGE = 64, 64, 4096
MAX_SLOTS = (_PAGE - _SLOT_TABLE) // _SLOT_STRIDE
_FLOCK = struct.Struct("@hhqqi0q")  # struct flock with 64-bit offsets
_UNSEEN = (errno.EAGAIN, errno.EACCES)


class SlotHeader(NamedTuple):
    """What lies in a slot. `frame` 0: it is being written, or its writer was killed. `dtype` as in `ring.DTYPES`."""

    frame: int
    captured_ns: int
    height: int
    width: int
    channels: int
    dtype: int


def create_ring(*, token: bytes, slots: int = SLOTS, slot_bytes: int = SLOT_BYTES) -> int:
    """Make an empty ring and return its file descriptor. `token`: 16 bytes that every process must know."""
    if not 4 <= slots <= MAX_SLOTS or len(token) != _TOKEN_BYTES:
        raise ValueError(f"a ring has 4 to {MAX_SLOTS} slots and a {_TOKEN_BYTES}-byte token")
    rounded = -(-slot_bytes // _PAGE) * _PAGE
    fd = os.memfd_create("edge-ring", os.MFD_CLOEXEC)
    os.ftruncate(fd, _PAGE + slots * rounded)
    os.pwrite(fd, _HEADER.pack(_MAGIC, _VERSION, slots, rounded, token), 0)
    return fd


class RingMemory:
    """One process's own view of the ring: mapped memory and its claims, which end with this process."""

    def __init__(self, fd: int, token: bytes, *, writable: bool = True) -> None:
        """Map the ring behind the inherited `fd`; raises `AgentError` if it is not the ring of `token`.

        `writable`: only for its writer, so that nothing that goes wrong in a reader can damage what others see.
        """
        mode, access = (os.O_RDWR, mmap.ACCESS_WRITE) if writable else (os.O_RDONLY, mmap.ACCESS_READ)
        self._fd = os.open(f"/proc/self/fd/{fd}", mode | os.O_CLOEXEC)  # own description: own locks
        self.map = mmap.mmap(self._fd, os.fstat(self._fd).st_size, access=access)
        self.slots: int
        self.slot_bytes: int
        magic, version, self.slots, self.slot_bytes, owner = _HEADER.unpack_from(self.map)
        if (magic, version, owner) != (_MAGIC, _VERSION, token):
            raise AgentError("this shared memory is not the ring of this agent", remedy="start the agent again")
        self._locks = {kind: [_flock(kind, slot) for slot in range(self.slots)] for kind in _KINDS}

    def close(self) -> None:
        """Give up every claim and the file; the mapping (and its duplicate of the file) goes with its last view."""
        for slot in range(self.slots):
            self.release(slot)
        os.close(self._fd)

    def claim(self, slot: int, kind: int) -> bool:
        """Take a shared (F_RDLCK) or exclusive (F_WRLCK) claim without waiting; say whether it was free."""
        try:
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, self._locks[kind][slot])
        except OSError as exc:
            if exc.errno in _UNSEEN:
                return False
            raise
        return True

    def release(self, slot: int) -> None:
        """End the claim on a slot."""
        fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, self._locks[fcntl.F_UNLCK][slot])

    def header(self, slot: int) -> SlotHeader:
        """Read a slot's header; only believe it while holding a claim."""
        return SlotHeader._make(_SLOT.unpack_from(self.map, _SLOT_TABLE + slot * _SLOT_STRIDE))

    def set_header(self, slot: int, frame: int, captured_ns: int, shape: tuple[int, int, int], dtype: int) -> None:
        """Write a slot's header, the frame id last: a writer killed between leaves a slot that holds no frame."""
        at = _SLOT_TABLE + slot * _SLOT_STRIDE + _FRAME.size
        _REST.pack_into(self.map, at, captured_ns, *shape, dtype)
        self.set_frame(slot, frame)

    def set_frame(self, slot: int, frame: int) -> None:
        """Say which frame a slot holds; 0 for none."""
        _FRAME.pack_into(self.map, _SLOT_TABLE + slot * _SLOT_STRIDE, frame)

    def offset(self, slot: int) -> int:
        """Where the pixels of a slot begin, in bytes."""
        return _PAGE + slot * self.slot_bytes


_KINDS = (fcntl.F_RDLCK, fcntl.F_WRLCK, fcntl.F_UNLCK)


def _flock(kind: int, slot: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, slot, 1, 0)
