"""One piece of a file over MQTT, `down/ota/chunk` or `up/picture`: a header of fixed length, then the plain bytes.

Binary, because a third more bytes (Base64) is what a slow line has least of. `status` has the meanings of HTTP: 206
bytes follow, 403 not to be had, 404 no such file, 416 the file is shorter than `offset`.
"""

import struct
from dataclasses import dataclass

from edge.errors import BadMessageError

CHUNK_BYTES = 256 << 10
"""Most bytes of one piece: below the smallest limit of a broker in our tests (1 MiB).

Source: evidence/fleet.md: 64 KiB pieces take twice as long as 256 KiB ones.
"""
WINDOW = 4
"""Pieces that a device may have asked for and not yet got. Source: evidence/fleet.md."""
PARTIAL, FORBIDDEN, MISSING, TOO_SHORT = 206, 403, 404, 416
"""Every `status`: what HTTP calls so."""
_FORMAT = 1
_HEAD = struct.Struct("!BxHIQQ16s")
"""Format, status, id, offset, length of the file, its etag."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The answer to the `ChunkRequest`, or the `SendPicture`, of the same `id`."""

    id: int
    status: int
    offset: int
    total_bytes: int
    """Length of the whole file."""
    etag: str
    """At most 16 ASCII characters; another file under the same name has another one. Empty for pictures: they never
    change."""
    data: bytes = b""


def pack(chunk: Chunk) -> bytes:
    """The payload."""
    etag = chunk.etag.encode("ascii")
    head = _HEAD.pack(_FORMAT, chunk.status, chunk.id, chunk.offset, chunk.total_bytes, etag)
    return head + chunk.data


def unpack(payload: bytes) -> Chunk:
    """Take a payload apart, or raise `BadMessageError`."""
    remedy = "run agent and fleet of one release"
    if not _HEAD.size <= len(payload) <= _HEAD.size + CHUNK_BYTES or payload[0] != _FORMAT:
        raise BadMessageError("unreadable Chunk: wrong length or format", remedy=remedy)
    _, status, number, offset, total, etag = _HEAD.unpack_from(payload)
    if not etag.isascii():
        raise BadMessageError("unreadable Chunk: its etag is not ASCII", remedy=remedy)
    return Chunk(number, status, offset, total, etag.rstrip(b"\0").decode("ascii"), payload[_HEAD.size :])
