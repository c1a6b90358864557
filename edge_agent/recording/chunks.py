"""A file of chunks that survives a power cut: `EDGEREC1`, then (length, CRC-32, zlib data) again and again.

A torn end is found by its length or its checksum; everything before it is whole. Appending cuts it off first.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from edge.errors import BadDataError, DiskFullError, FileMissingError

MAGIC = b"EDGEREC1"
_HEAD = struct.Struct("<II")  # bytes of the data that follow, and their CRC-32
LIMIT_BYTES = 64 << 20
"""Of one chunk, packed or not: a hostile file must not fill the memory."""
_LEVEL = 1  # speed: a recorder that is slow loses turns


class ChunkWriter:
    """Appends chunks. Every chunk is one write; what a power cut may lose is bounded by `sync`."""

    def __init__(self, path: Path) -> None:
        """Open a new file, or go on after the last whole chunk. Raises: `BadDataError` if it is something else."""
        self._path = path
        self.size = _whole_bytes(path) if path.exists() and path.stat().st_size else 0
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
        os.ftruncate(self._fd, self.size)
        os.lseek(self._fd, self.size, os.SEEK_SET)
        if not self.size:
            self._write(MAGIC)

    def append(self, data: bytes | memoryview) -> None:
        """Add one chunk. Raises: `DiskFullError`."""
        packed = zlib.compress(data, _LEVEL)
        self._write(_HEAD.pack(len(packed), zlib.crc32(packed)) + packed)

    def sync(self) -> None:
        """From now on no power cut loses what was appended so far."""
        os.fdatasync(self._fd)

    def close(self) -> None:
        """Sync and close."""
        self.sync()
        os.close(self._fd)

    def _write(self, data: bytes) -> None:
        try:
            written = os.write(self._fd, data)
        except OSError as exc:
            raise DiskFullError(f"cannot write {self._path}: {exc.strerror}", remedy="free some space") from exc
        if written < len(data):
            raise DiskFullError(f"the disk is full: {self._path}", remedy="free some space")
        self.size += written


class ChunkReader:
    """Reads chunks; afterwards `torn_bytes` says how much at the end was no whole chunk."""

    def __init__(self, path: Path) -> None:
        """Raises: `FileMissingError`, `BadDataError`."""
        self._path, self.torn_bytes = path, 0

    def __iter__(self) -> Iterator[bytes]:
        """The data of every whole chunk, in order."""
        whole_bytes = len(MAGIC)
        with _opened(self._path) as file:
            for packed in _packed(file):
                whole_bytes += _HEAD.size + len(packed)
                yield self._unpack(packed)
            self.torn_bytes = file.seek(0, os.SEEK_END) - whole_bytes

    def _unpack(self, packed: bytes) -> bytes:
        unpacker = zlib.decompressobj()
        try:
            data = unpacker.decompress(packed, LIMIT_BYTES)
        except zlib.error as exc:
            raise BadDataError(f"{self._path.name}: a chunk that is not zlib: {exc}", remedy="record again") from exc
        if not unpacker.eof:
            raise BadDataError(f"{self._path.name}: a chunk of more than {LIMIT_BYTES} bytes", remedy="record again")
        return data


def _opened(path: Path) -> BinaryIO:
    try:
        file = path.open("rb")
    except (FileNotFoundError, IsADirectoryError) as exc:
        raise FileMissingError(f"no recording {path}", remedy="name a file that `edge record` wrote") from exc
    if file.read(len(MAGIC)) != MAGIC:
        file.close()
        raise BadDataError(f"{path.name} is not a recording", remedy="name a file that `edge record` wrote")
    return file


def _packed(file: BinaryIO) -> Iterator[bytes]:
    """Every whole chunk from here on, still packed; ends at the first one that is not whole."""
    while len(head := file.read(_HEAD.size)) == _HEAD.size:
        length, checksum = _HEAD.unpack(head)
        packed = file.read(length) if length <= LIMIT_BYTES else b""
        if len(packed) < length or not length or zlib.crc32(packed) != checksum:
            return
        yield packed


def _whole_bytes(path: Path) -> int:
    with _opened(path) as file:
        return len(MAGIC) + sum(_HEAD.size + len(packed) for packed in _packed(file))
