"""A picture as PNG, with the standard library and numpy only. Source: PNG specification, W3C, third edition."""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from edge.kept import PNG_SIGNATURE, REMARK_HEAD

_GREY, _RGB = 0, 2
_LEVEL = 1


def encode_png(picture: NDArray[np.uint8], remark: str = "") -> bytes:
    """Encode uint8 [height, width, 3] in BGR order, or [height, width] in grey; `remark` goes into the file as text."""
    height, width = picture.shape[:2]
    rgb = picture[..., ::-1] if picture.ndim == 3 else picture
    rows = np.zeros((height, 1 + rgb[0].size), np.uint8)  # each row begins with its filter: none
    rows[:, 1:] = rgb.reshape(height, -1)
    head = struct.pack(">IIBBBBB", width, height, 8, _RGB if picture.ndim == 3 else _GREY, 0, 0, 0)
    text = _chunk(b"iTXt", REMARK_HEAD + remark.encode()) if remark else b""
    body = _chunk(b"IDAT", zlib.compress(rows.tobytes(), _LEVEL))
    return PNG_SIGNATURE + _chunk(b"IHDR", head) + text + body + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
