"""A kept picture, as the device that keeps it and the fleet that asks for it see it: its name, its remark, its limits.

Both sides check everything here: a name leads to no other file, and what comes is a whole PNG before it is written.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import msgspec

from edge.errors import BadMessageError

NAME_PATTERN = r"^[0-9]{20}-[0-9]{1,20}\.png$(?!\n)"
"""Unix time in nanoseconds, frame: in the order of names the newest is the last."""
PICTURE_BYTES = 16 << 20
"""Of one picture: 5 million pixels in colour, not compressed at all."""
ASKED_PICTURES = 100
ASKED_BYTES = 64 << 20
"""Of all pictures that one question may name."""
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
REMARK_HEAD = b"Comment\0\0\0\0\0"
"""Of the iTXt chunk: keyword, not compressed, no language. Source: PNG specification, W3C, third edition, 11.3.3.4."""
_MOST_PIXELS = 1 << 26

Words = Annotated[str, msgspec.Meta(max_length=2000)]
Natural = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Remark(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in each file, as JSON."""

    model: Words
    version: Natural
    frame: Natural
    wall_ns: Natural
    label: Words
    score: float | None
    """None: the model gave no number."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What a file says of itself."""

    width: int
    height: int
    remark: Remark | None


def kept_name(remark: Remark) -> str:
    """Name of the file of a picture."""
    return f"{remark.wall_ns:020d}-{remark.frame}.png"


def is_kept_name(text: str) -> bool:
    """Say whether `text` may name a kept picture; such a name holds nothing that leads elsewhere."""
    return re.match(NAME_PATTERN, text) is not None


def read_picture(data: bytes) -> Picture:
    """Check that these bytes are one whole PNG, every check sum of it; raises `BadMessageError`. Unpacks no pixels."""
    if len(data) > PICTURE_BYTES or not data.startswith(PNG_SIGNATURE):
        raise _no_picture("it is too large, or no PNG")
    parts = list(_chunks(data))
    kinds = [kind for kind, _ in parts]
    if kinds[:1] != [b"IHDR"] or kinds[-1:] != [b"IEND"] or b"IDAT" not in kinds or len(parts[0][1]) != 13:
        raise _no_picture("parts of it are missing")
    width, height = struct.unpack_from(">II", parts[0][1])
    if not 0 < width * height <= _MOST_PIXELS:
        raise _no_picture(f"it is {width} x {height} pixels large")
    return Picture(width, height, _remark(parts))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(PNG_SIGNATURE)
    while at < len(data):
        if at + 12 > len(data):
            raise _no_picture("it is cut off")
        length, kind = struct.unpack_from(">I4s", data, at)
        body, end = data[at + 8 : at + 8 + length], at + 12 + length
        if end > len(data) or zlib.crc32(body, zlib.crc32(kind)) != struct.unpack_from(">I", data, end - 4)[0]:
            raise _no_picture("it is cut off, or damaged")
        yield kind, body
        at = end


def _remark(parts: list[tuple[bytes, bytes]]) -> Remark | None:
    """None where there is none that can be read: the picture is worth something without it."""
    for kind, body in parts:
        if kind == b"iTXt" and body.startswith(REMARK_HEAD):
            try:
                return msgspec.json.decode(body[len(REMARK_HEAD) :], type=Remark)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                return None
    return None


def _no_picture(why: str) -> BadMessageError:
    return BadMessageError(f"not a kept picture: {why}", remedy="run agent and fleet of one release")
