"""The copy on flash of an outbox that lies in memory: chunks of rows, compressed; one append and one sync at a time.

One file an outbox, named by its identity, so that rows that were sent once keep their numbers after a power cut and the
fleet knows them again. A file ends where its first damaged chunk begins: that is where the power went.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from edge_agent.disk import Disk, replace_file
from edge_agent.uplink.outbox import Kept

SUFFIX = ".rows"
CHUNK_ROWS = 1000
_HEAD = struct.Struct("<II")
"""Bytes of the chunk, and its CRC-32."""


def append(disk: Disk, file: Path, rows: Sequence[Kept]) -> None:
    """Add rows; returns when a power cut cannot take them any more.

    Raises: DiskFullError when the disk is full. What is half written then is overwritten by the next call.
    """
    whole = whole_bytes(disk, file)
    if whole is None:
        disk.mkdir(file.parent)
        disk.sync_dir(file.parent.parent)
        disk.create(file)
        disk.sync_dir(file.parent)
        whole = 0
    disk.truncate(file, whole)
    disk.write(file, whole, _packed(rows))
    disk.sync_file(file)


def rewrite(disk: Disk, file: Path, rows: Sequence[Kept]) -> None:
    """Put these rows in the place of those in the file; a power cut leaves the old ones or the new ones."""
    replace_file(disk, file, _packed(rows))


def read(disk: Disk, file: Path) -> Iterator[Kept]:
    """All rows that are whole, in the order in which they were added."""
    for chunk in _chunks(disk.read(file)):
        yield from msgspec.msgpack.decode(zlib.decompress(chunk), type=list[Kept])


def whole_bytes(disk: Disk, file: Path) -> int | None:
    """Where the next chunk goes: behind the last one that is whole. None: there is no such file."""
    if disk.size(file) is None:
        return None
    return sum(_HEAD.size + len(chunk) for chunk in _chunks(disk.read(file)))


def _chunks(content: bytes) -> Iterator[bytes]:
    at = 0
    while at + _HEAD.size <= len(content):
        length, check = _HEAD.unpack_from(content, at)
        chunk = content[at + _HEAD.size : at + _HEAD.size + length]
        if not length or len(chunk) != length or zlib.crc32(chunk) != check:
            return
        yield chunk
        at += _HEAD.size + length


def _packed(rows: Sequence[Kept]) -> bytes:
    return b"".join(_chunk(rows[at : at + CHUNK_ROWS]) for at in range(0, len(rows), CHUNK_ROWS))


def _chunk(rows: Sequence[Kept]) -> bytes:
    packed = zlib.compress(msgspec.msgpack.encode(rows))
    return _HEAD.pack(len(packed), zlib.crc32(packed)) + packed
