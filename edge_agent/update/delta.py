"""The new bundle out of the old one and a difference between the two, in bounded memory.

Nothing here is believed beyond the signed hash of the difference: every number in it is checked, and what comes out is
verified like a bundle that was fetched whole. Each step is on the disk before the next is written, as in a download.

Source: the format BSDIFF40 of bsdiff 4.3 (Colin Percival, "Naive differences of executable code", 2003): a header of 32
bytes, then three bzip2 streams: triples (add, copy, seek), bytes to add to the old ones, bytes to copy as they are.
"""

import struct
from bz2 import BZ2Decompressor
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edge.errors import TrustError
from edge_agent.disk import Disk
from edge_agent.update.refusal import refusal

PIECE_BYTES = 1 << 16
_HEAD = struct.Struct("<8s8s8s8s")
_TRIPLE = struct.Struct("<8s8s8s")
_LARGEST = 1 << 40


def apply_delta(disk: Disk, old: Path, delta: Path, part: Path, *, size_bytes: int, step_bytes: int) -> None:
    """Write the `size_bytes` of the new bundle into `part`; raises TrustError (HASH_MISMATCH), DiskFullError."""
    disk.create(part)
    disk.sync_dir(part.parent)
    at, held = 0, bytearray()
    for piece in patched(disk, old, delta, size_bytes):
        held += piece
        while len(held) >= step_bytes:
            at = _append(disk, part, at, bytes(held[:step_bytes]))
            del held[:step_bytes]
    _append(disk, part, at, bytes(held))


def patched(disk: Disk, old: Path, delta: Path, size_bytes: int) -> Iterator[bytes]:
    """The new bytes, `size_bytes` of them, a piece at a time; raises TrustError (HASH_MISMATCH)."""
    triples, added, copied = _sections(disk, delta, size_bytes)
    old_size = disk.size(old) or 0
    made = at = 0
    while made < size_bytes:
        add, copy, seek = (_number(field) for field in _TRIPLE.unpack(triples.read(_TRIPLE.size)))
        if add < 0 or copy < 0 or add + copy == 0 or made + add + copy > size_bytes or abs(seek) > _LARGEST:
            raise _bad("its parts do not fit together")
        for start in range(at, at + add, PIECE_BYTES):
            count = min(PIECE_BYTES, at + add - start)
            yield _sum(added.read(count), _old(disk, old, start, count, old_size))
        for start in range(0, copy, PIECE_BYTES):
            yield copied.read(min(PIECE_BYTES, copy - start))
        made += add + copy
        at += add + seek


class _Section:
    """One bzip2 stream inside a file."""

    def __init__(self, disk: Disk, path: Path, at: int, end: int) -> None:
        self._disk, self._path, self._at, self._end = disk, path, at, end
        self._stream = BZ2Decompressor()

    def read(self, count: int) -> bytes:
        """Exactly `count` bytes."""
        data = b""
        while len(data) < count:
            raw = self._raw() if self._stream.needs_input else b""
            if self._stream.eof or (self._stream.needs_input and not raw):
                raise _bad("it ends too early")
            try:
                data += self._stream.decompress(raw, count - len(data))
            except (OSError, ValueError) as exc:
                raise _bad(str(exc)) from exc
        return data

    def _raw(self) -> bytes:
        raw = self._disk.read(self._path, self._at, min(PIECE_BYTES, self._end - self._at))
        self._at += len(raw)
        return raw


def _sections(disk: Disk, delta: Path, size_bytes: int) -> tuple[_Section, _Section, _Section]:
    head, total = disk.read(delta, 0, _HEAD.size), disk.size(delta) or 0
    if len(head) != _HEAD.size or not head.startswith(b"BSDIFF40"):
        raise _bad("it is none")
    first, second, made = (_number(field) for field in _HEAD.unpack(head)[1:])
    if min(first, second) < 0 or _HEAD.size + first + second > total or made != size_bytes:
        raise _bad("its header does not fit its length")
    ends = (_HEAD.size + first, _HEAD.size + first + second, total)
    starts = (_HEAD.size, *ends[:2])
    triples, added, copied = (_Section(disk, delta, at, end) for at, end in zip(starts, ends, strict=True))
    return triples, added, copied


def _number(field: bytes) -> int:
    """Eight bytes, the lowest first; the highest bit is the sign."""
    value = int.from_bytes(field, "little")
    return -(value & ~(1 << 63)) if value >> 63 else value


def _old(disk: Disk, old: Path, start: int, count: int, old_size: int) -> bytes:
    """Bytes of the old file; what lies outside it counts as zero."""
    before = min(count, max(0, -start))
    inside = disk.read(old, max(0, start), count - before) if start < old_size and count > before else b""
    return bytes(before) + inside + bytes(count - before - len(inside))


def _sum(left: bytes, right: bytes) -> bytes:
    total: bytes = (np.frombuffer(left, np.uint8) + np.frombuffer(right, np.uint8)).tobytes()
    return total


def _append(disk: Disk, part: Path, at: int, data: bytes) -> int:
    if data:
        disk.write(part, at, data)
        disk.sync_file(part)
    return at + len(data)


def _bad(why: str) -> TrustError:
    return refusal("HASH_MISMATCH", f"the difference cannot be applied: {why}")
