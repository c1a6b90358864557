"""Kept pictures as both sides see them: names that lead nowhere, whole files only, hostile numbers and bytes."""

import struct
import zlib

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.chunks import CHUNK_BYTES, Chunk, pack, unpack
from edge.errors import BadMessageError
from edge.kept import PICTURE_BYTES, PNG_SIGNATURE, Remark, is_kept_name, kept_name, read_picture
from edge.messages import Command, KeptPicture, ListPictures, PictureList, SendPicture, decode, encode
from edge_agent.png import encode_png

REMARK = Remark(model="light", version=3, frame=7, wall_ns=1_790_000_000_000_000_000, label="gr\x1b[2Jün", score=0.5)
NOISE = np.random.default_rng(1).integers(0, 255, (9, 11, 3), np.uint8)
PNG = encode_png(NOISE, msgspec.json.encode(REMARK).decode())
NAME = kept_name(REMARK)


def test_a_picture_says_its_size_and_what_the_model_made_of_it() -> None:
    seen = read_picture(PNG)
    assert (seen.width, seen.height, seen.remark) == (11, 9, REMARK)
    unscored = msgspec.json.encode(msgspec.structs.replace(REMARK, score=float("nan"))).decode()
    told = read_picture(encode_png(NOISE, unscored)).remark
    assert told is not None
    assert told.score is None


@pytest.mark.parametrize("remark", ["", "x", '{"model": 1}', "[" * 5000])
def test_a_picture_without_a_remark_that_can_be_read_is_still_a_picture(remark: str) -> None:
    assert read_picture(encode_png(NOISE, remark)).remark is None


@given(st.integers(0, len(PNG) - 1), st.integers(1, 255))
def test_any_other_byte_and_any_missing_end_is_noticed(at: int, change: int) -> None:
    other = bytearray(PNG)
    other[at] ^= change
    for hostile in (bytes(other), PNG[:at], PNG + PNG[: at + 1]):
        with pytest.raises(BadMessageError):
            read_picture(hostile)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_picture_are_one_known_error(junk: bytes) -> None:
    for hostile in (junk, PNG_SIGNATURE + junk):
        with pytest.raises(BadMessageError):
            read_picture(hostile)


def test_a_picture_that_would_unpack_to_more_than_memory_holds_is_refused() -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0)
    bomb = PNG_SIGNATURE + chunk(b"IHDR", head) + chunk(b"IDAT", b"x") + chunk(b"IEND", b"")
    with pytest.raises(BadMessageError, match="pixels"):
        read_picture(bomb)


@pytest.mark.parametrize(
    "name",
    ["", ".png", "../" + NAME, "/etc/passwd", NAME + "\n", NAME + "/", NAME[1:], NAME.replace(".png", ".new"),
     NAME.replace("-", "/"), "\u0661" * 20 + "-1.png", NAME + "\0", NAME.upper()],
)  # fmt: skip
def test_no_other_name_is_that_of_a_kept_picture(name: str) -> None:
    assert is_kept_name(NAME)
    assert not is_kept_name(name)
    picture = {"name": name, "size_bytes": 1, "sha256": "0" * 64}
    question = {"type": "send-picture", "id": 1, "name": name, "offset": 0, "size_bytes": 1}
    for kind, fields in ((KeptPicture, picture), (Command, question)):
        with pytest.raises(BadMessageError):
            decode(kind, msgspec.json.encode(fields))


PIECE = {"type": "send-picture", "id": 1, "name": NAME, "offset": 0, "size_bytes": 1}


@pytest.mark.parametrize(
    "question",
    [
        {"type": "list-pictures", "id": 1, "newest": 0},
        {"type": "list-pictures", "id": 1, "newest": 101},
        {"type": "list-pictures", "id": 1, "newest": 1e300},
        {"type": "list-pictures", "id": 2**32, "newest": 1},
        {"type": "list-pictures", "newest": 1},
        {"type": "reboot", "id": 1},
        {"id": 1, "newest": 1},
        PIECE | {"offset": -1},
        PIECE | {"offset": 2**64},
        PIECE | {"size_bytes": 0},
        PIECE | {"size_bytes": CHUNK_BYTES + 1},
        PIECE | {"id": -1},
        [],
    ],
)
def test_a_question_with_hostile_numbers_cannot_be_read(question: object) -> None:
    with pytest.raises(BadMessageError):
        decode(Command, msgspec.json.encode(question))  # type: ignore[arg-type]


def test_a_list_that_is_too_long_or_names_what_is_too_large_cannot_be_read() -> None:
    one = {"name": NAME, "size_bytes": 1, "sha256": "0" * 64}
    for pictures in ([one] * 101, [one | {"size_bytes": PICTURE_BYTES + 1}], [one | {"sha256": "x"}]):
        with pytest.raises(BadMessageError):
            decode(PictureList, msgspec.json.encode({"id": 1, "kept": 500, "pictures": pictures}))


@given(
    st.builds(ListPictures, id=st.integers(0, 2**32 - 1), newest=st.integers(1, 100))
    | st.builds(
        SendPicture, id=st.integers(0, 2**32 - 1), name=st.just(NAME), offset=st.integers(0, 2**53 - 1),
        size_bytes=st.integers(1, CHUNK_BYTES),
    )
)  # fmt: skip
def test_what_may_be_asked_is_read_as_it_was_written(question: Command) -> None:
    assert decode(Command, encode(question)) == question  # type: ignore[arg-type]


@given(st.integers(0, 2**32 - 1), st.sampled_from([206, 403, 404, 416]), st.integers(0, 2**64 - 1), st.binary())
def test_a_piece_is_read_as_it_was_written(number: int, status: int, offset: int, data: bytes) -> None:
    piece = Chunk(number, status, offset, len(data), "", data)
    assert unpack(pack(piece)) == piece
