"""The device's side of `edge fleet pictures`: what is read, what is refused, and at which rate it goes."""

import hashlib
import os
import queue
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.chunks import CHUNK_BYTES, FORBIDDEN, MISSING, PARTIAL, TOO_SHORT, WINDOW, Chunk
from edge.kept import ASKED_BYTES, PICTURE_BYTES
from edge.messages import ListPictures, PictureList, SendPicture
from edge_agent.uplink.pictures import Pictures
from edge_agent.uplink.spec import Pictures as Fate
from edge_agent.watch.shelf import Shelf


def name(number: int) -> str:
    return f"{number:020d}-{number}.png"


def fill(folder: Path, count: int, size_bytes: int = 1000) -> list[bytes]:
    folder.mkdir(exist_ok=True)
    contents = [bytes([number % 256]) * size_bytes for number in range(count)]
    for number, content in enumerate(contents):
        (folder / name(number)).write_bytes(content)
    return contents


def send(picture: str, offset: int = 0, size_bytes: int = CHUNK_BYTES) -> SendPicture:
    return SendPicture(id=1, name=picture, offset=offset, size_bytes=size_bytes)


def still(_size_bytes: int) -> None:
    """Hold no rate."""


class Home:
    """A line to the fleet that takes everything, each piece when `open` says so."""

    def __init__(self) -> None:
        self.said: queue.Queue[PictureList | Chunk] = queue.Queue()
        self.open: Callable[[], object] = lambda: None

    def name_pictures(self, answer: PictureList) -> None:
        self.said.put(answer)

    def send_piece(self, piece: Chunk, *, wait_s: float) -> bool:
        assert wait_s > 0
        self.open()
        self.said.put(piece)
        return True


def test_the_newest_are_named_first_with_the_hash_of_what_lies_there(tmp_path: Path) -> None:
    contents = fill(tmp_path, 5)
    for stranger in ("note.txt", name(9).replace(".png", ".new"), "x.png"):
        (tmp_path / stranger).write_bytes(b"x")
    shelf = Shelf(tmp_path)
    assert shelf.names() == [name(number) for number in (4, 3, 2, 1, 0)]
    found = shelf.describe(shelf.names()[:2], ASKED_BYTES, still)
    assert [(one.name, one.sha256) for one in found] == [
        (name(number), hashlib.sha256(contents[number]).hexdigest()) for number in (4, 3)
    ]
    assert Shelf(tmp_path / "none").names() == []


def test_what_is_gone_empty_too_large_or_a_way_out_of_the_folder_is_not_named_and_not_sent(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    fill(folder, 1)
    (tmp_path / "secret").write_bytes(b"secret")
    (folder / name(1)).symlink_to(tmp_path / "secret")
    os.mkfifo(folder / name(2))
    (folder / name(3)).mkdir()
    (folder / name(4)).touch()
    with (folder / name(5)).open("wb") as huge:
        huge.truncate(PICTURE_BYTES + 1)
    shelf = Shelf(folder)
    names = [*shelf.names(), name(6)]
    assert [one.name for one in shelf.describe(names, ASKED_BYTES, still)] == [name(0)]
    for number in (1, 2, 3, 6):
        assert shelf.piece(send(name(number))).status == MISSING
    outside = SendPicture(id=1, name="../secret", offset=0, size_bytes=10)  # the message itself refuses it, too
    assert shelf.piece(outside).status == MISSING


def test_a_list_ends_where_it_holds_enough_and_a_hash_is_made_once(tmp_path: Path) -> None:
    fill(tmp_path, 4)
    shelf, read = Shelf(tmp_path), []
    assert [one.name for one in shelf.describe(shelf.names(), 2500, read.append)] == [name(3), name(2)]
    assert sum(read) == 2000
    shelf.describe(shelf.names(), ASKED_BYTES, read.append)
    assert sum(read) == 4000
    (tmp_path / name(3)).write_bytes(b"another")
    assert shelf.describe([name(3)], ASKED_BYTES, read.append)[0].size_bytes == 7


def test_a_piece_says_where_it_lies_in_how_long_a_file(tmp_path: Path) -> None:
    (content,) = fill(tmp_path, 1)
    shelf = Shelf(tmp_path)
    middle, end, beyond = (shelf.piece(send(name(0), offset, 300)) for offset in (100, 900, 1001))
    assert (middle.status, middle.total_bytes, middle.data) == (PARTIAL, 1000, content[100:400])
    assert (end.status, end.data) == (PARTIAL, content[900:])
    assert (beyond.status, beyond.data) == (TOO_SHORT, b"")
    assert shelf.piece(send(name(0), 2**53 - 1)).status == TOO_SHORT


@pytest.mark.parametrize(("fate", "code"), [("none", "NOT_KEPT"), ("kept", "NOT_SENT")])
def test_without_leave_no_picture_is_named_or_sent_though_it_lies_there(tmp_path: Path, fate: Fate, code: str) -> None:
    fill(tmp_path, 3)
    home, told = Home(), list[str]()
    pictures = Pictures(tmp_path, home, fate, tell=told.append)
    pictures.heard(ListPictures(id=5, newest=10))
    pictures.heard(send(name(2)))
    listed, piece = home.said.get(timeout=30), home.said.get(timeout=30)
    assert isinstance(listed, PictureList)
    assert isinstance(piece, Chunk)
    assert (listed.id, listed.kept, listed.pictures) == (5, 0, ())
    assert listed.refusal.startswith(f"{code}: ")
    assert (piece.status, piece.data, piece.total_bytes) == (FORBIDDEN, b"", 0)
    assert told == []


def test_whoever_looks_is_told_once_and_not_for_each_question(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    home, told = Home(), list[str]()
    pictures = Pictures(tmp_path, home, "sent", tell=told.append)
    for number in range(2):
        pictures.heard(ListPictures(id=number, newest=2))
    pictures.heard(send(name(0)))
    assert [home.said.get(timeout=30).id for _ in range(3)] == [0, 1, 1]
    assert told == ["the fleet asked for pictures: 2 of 3 were named"]


def test_a_line_that_takes_nothing_makes_a_few_questions_wait_and_holds_one_piece(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    home, gate = Home(), queue.Queue[None]()
    waits = queue.Queue[None]()
    home.open = lambda: (waits.put(None), gate.get(timeout=30))
    pictures = Pictures(tmp_path, home, "sent", tell=still_text)
    pictures.heard(send(name(0)))
    waits.get(timeout=30)
    for _ in range(10 * WINDOW):
        pictures.heard(send(name(0)))
    for _ in range(1 + WINDOW):
        gate.put(None)
    for _ in range(1 + WINDOW):
        home.said.get(timeout=30)
    pictures.heard(ListPictures(id=9, newest=1))
    assert home.said.get(timeout=30).id == 9, "what was one too many was dropped"


def still_text(_text: str) -> None:
    """Tell nobody."""


def test_no_second_carries_more_than_the_rate(tmp_path: Path) -> None:
    fill(tmp_path, 1, 20_000)
    home = Home()
    pictures = Pictures(tmp_path, home, "sent", tell=still_text, send_bytes_s=200_000)
    began_s = time.monotonic()
    for _ in range(3):
        pictures.heard(send(name(0)))
    for _ in range(3):
        home.said.get(timeout=30)
    assert time.monotonic() - began_s >= 0.19
