"""The zip inside a .edge file, strict: stored members in sorted order with fixed dates, and not one byte beside them.

So equal contents are equal bytes, and a reader needs no zip library that would have to distrust its input: whatever
is not laid out exactly so (a comment, a gap, zip64, compression, encryption, a second name) is refused. Any zip tool
can list and unpack such a file.
Source: PKWARE APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12, 4.3.16.
"""

import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

from edge.errors import BadBundleError

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
REMEDY = "fetch the bundle again, or compile it again"
_NAME = re.compile(NAME_PATTERN.encode())
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_VERSION, _MADE_BY_UNIX, _DATE_1980_01_01 = 20, (3 << 8) | 20, (1 << 5) | 1
_MODE = 0o100644 << 16


@dataclass(frozen=True, slots=True)
class Member:
    """Where one member's bytes lie in the file."""

    name: str
    offset: int
    size_bytes: int
    crc: int


def write(members: Mapping[str, bytes]) -> bytes:
    """The archive of `members`; the same for the same contents, whatever their order."""
    body, directory = bytearray(), bytearray()
    for name in sorted(members):
        data, encoded = members[name], name.encode("ascii")
        crc, size = zlib.crc32(data), len(data)
        common = (_VERSION, 0, 0, 0, _DATE_1980_01_01, crc, size, size, len(encoded), 0)
        directory += _CENTRAL.pack(b"PK\1\2", _MADE_BY_UNIX, *common, 0, 0, 0, _MODE, len(body)) + encoded
        body += _LOCAL.pack(b"PK\3\4", *common) + encoded + data
    end = _END.pack(b"PK\5\6", 0, 0, len(members), len(members), len(directory), len(body), 0)
    return bytes(body + directory + end)


def index(file: BinaryIO, *, most_members: int, most_bytes: int) -> dict[str, Member]:
    """List the members of `file`, whose layout is checked byte for byte; no member is read.

    Raises: BadBundleError for anything that `write` does not write, or beyond `most_members` or `most_bytes` each.
    """
    total = file.seek(0, 2)
    end = _read(file, total - _END.size, _END.size)
    mark, disk, first, here, count, directory_size, directory_at, comment = _END.unpack(end)
    if mark != b"PK\5\6" or (disk, first, comment) != (0, 0, 0) or here != count:
        raise _bad("it does not end as a bundle does; it may be cut short")
    if count > most_members:
        raise _bad(f"it has {count} members, more than {most_members}")
    if directory_at + directory_size + _END.size != total or directory_size > most_members * (_CENTRAL.size + 64):
        raise _bad("its directory does not fit its length")
    directory = _read(file, directory_at, directory_size)
    members: dict[str, Member] = {}
    at = offset = 0
    for _ in range(count):
        member, at = _entry(directory, at, offset)
        if member.size_bytes > most_bytes:
            raise _bad(f"{member.name} claims {member.size_bytes} bytes, more than {most_bytes}")
        if members and member.name <= max(members):
            raise _bad(f"{member.name} is there twice, or out of order")
        local = directory[at - len(member.name) - _CENTRAL.size + 6 : at - len(member.name) - _CENTRAL.size + 32]
        header = _read(file, offset, _LOCAL.size + len(member.name))
        if header != b"PK\3\4" + local + member.name.encode():
            raise _bad(f"{member.name} has two different headers")
        members[member.name] = member
        offset = member.offset + member.size_bytes
    if at != len(directory) or offset != directory_at:
        raise _bad("it holds bytes that belong to no member")
    return members


def read(file: BinaryIO, member: Member) -> bytes:
    """The bytes of one member, its checksum checked."""
    data = _read(file, member.offset, member.size_bytes)
    if zlib.crc32(data) != member.crc:
        raise _bad(f"{member.name} is damaged")
    return data


def _entry(directory: bytes, at: int, offset: int) -> tuple[Member, int]:
    """Parse one directory entry at `at`, whose local header must lie at `offset`; returns it and the next position."""
    if at + _CENTRAL.size > len(directory):
        raise _bad("its directory is cut short")
    fields = _CENTRAL.unpack_from(directory, at)
    crc, size, length = fields[7], fields[8], fields[10]
    raw = directory[at + _CENTRAL.size : at + _CENTRAL.size + length]
    if not _NAME.fullmatch(raw):
        raise _bad(f"it holds the forbidden name {raw[:80]!r}")
    expected = (
        b"PK\1\2",
        _MADE_BY_UNIX,
        _VERSION,
        0,
        0,
        0,
        _DATE_1980_01_01,
        crc,
        size,
        size,
        length,
        0,
        0,
        0,
        0,
        _MODE,
    )
    if fields != (*expected, offset):
        raise _bad(f"{raw.decode()} is compressed, encrypted or dated; members are stored plainly")
    return Member(raw.decode(), offset + _LOCAL.size + length, size, crc), at + _CENTRAL.size + length


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    if at < 0:
        raise _bad("it is cut short")
    file.seek(at)
    data = file.read(size)
    if len(data) != size:
        raise _bad("it is cut short")
    return data


def _bad(what: str) -> BadBundleError:
    return BadBundleError(f"not a bundle: {what}", remedy=REMEDY)
