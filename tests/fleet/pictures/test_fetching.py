"""Pictures are fetched whole, over lines that break, from devices that may be away."""

import base64
import re
import threading
from pathlib import Path

import pytest
from relay import CAR, Relay, fetch, keep
from starlette.applications import Starlette
from starlette.testclient import TestClient

from edge.errors import BadArgumentError, DeviceAwayError, FleetError
from edge_agent.uplink.line import FleetLine
from fleet.control import Control
from fleet.dashboard.picture_page import picture_route
from fleet.picture_line import Patience
from fleet.pictures import Fetched, describe, fetch_pictures
from fleet.questions import Questions


def test_pictures_come_whole_and_each_once_with_what_the_model_made_of_them(
    control: Control, device: FleetLine, kept: Path, tmp_path: Path
) -> None:
    contents = [keep(kept, number) for number in range(4)]
    sizes: list[int] = []
    done = fetch(control, tmp_path / "here", newest=3, progress=sizes.append)
    assert (done.kept, done.named, done.gone, done.damaged) == (4, 3, (), ())
    assert [Path(one.file).read_bytes() for one in done.pictures] == [contents[number] for number in (3, 2, 1)]
    assert [one.remark.frame for one in done.pictures if one.remark] == [3, 2, 1]
    assert sum(sizes) == sum(map(len, contents[1:]))
    assert len(sizes) > 3, "a picture came in several pieces"
    assert all(Path(one.file).stat().st_mode & 0o77 == 0 for one in done.pictures)
    text = describe(done)
    assert "car-1 keeps 4; 3 of the newest 3" in text
    assert "\x1b" not in text

    again = fetch(control, tmp_path / "here", newest=4)
    assert [one.fetched for one in again.pictures] == [False, False, False, True]
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == [
        f"{CAR}-{path.name}" for path in sorted(kept.iterdir())
    ]


def test_the_page_shows_the_newest_with_what_the_model_made_of_them_and_nobody_keeps_them(
    control: Control, device: FleetLine, kept: Path
) -> None:
    contents = [keep(kept, number) for number in range(3)]
    before = {path for path in control.folder.root.rglob("*") if path.is_file()}
    with TestClient(Starlette(routes=[picture_route(control)])) as browser:
        answer = browser.get(f"/pictures/{CAR}?newest=2")
    shown = re.findall('src="data:image/png;base64,([^"]+)"', answer.text)
    assert [base64.b64decode(each) for each in shown] == [contents[2], contents[1]]
    assert "the newest 2 of 3 that it keeps" in answer.text
    assert answer.text.count("0.500") == 2
    assert answer.headers["cache-control"] == "no-store"
    assert {path for path in control.folder.root.rglob("*") if path.is_file()} == before


def test_two_people_may_ask_one_device_at_once(control: Control, device: FleetLine, kept: Path, tmp_path: Path) -> None:
    contents = [keep(kept, number) for number in range(3)]
    done: list[Fetched] = []
    threads = [
        threading.Thread(target=lambda place=place: done.append(fetch(control, tmp_path / place))) for place in "ab"
    ]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(done) == 2
    for one in done:
        assert [Path(picture.file).read_bytes() for picture in one.pictures] == contents[::-1]


def test_a_line_that_is_cut_in_the_middle_of_a_picture_goes_on_where_it_was(
    control: Control, device: FleetLine, relay: Relay, kept: Path, tmp_path: Path, patient: Questions
) -> None:
    patient.piece_s = 1.0
    contents = [keep(kept, number) for number in range(2)]
    sizes: list[int] = []

    def cut_once(size_bytes: int) -> None:
        sizes.append(size_bytes)
        if len(sizes) == 2:
            relay.cut()

    done = fetch(control, tmp_path / "here", progress=cut_once)
    assert [Path(one.file).read_bytes() for one in done.pictures] == contents[::-1]
    assert sum(sizes) == sum(map(len, contents)), "no byte was taken twice"


def test_a_device_that_stays_away_leaves_what_came_and_says_how_much(
    control: Control, device: FleetLine, relay: Relay, kept: Path, tmp_path: Path, patient: Questions
) -> None:
    contents = [keep(kept, number) for number in range(2)]
    came = 0

    def cut_in_the_second(size_bytes: int) -> None:
        nonlocal came
        came += size_bytes
        if came > len(contents[1]):
            patient.piece_s = 0.2
            relay.dead.set()
            relay.cut()

    with pytest.raises(DeviceAwayError, match="1 of 2 pictures are in"):
        fetch(control, tmp_path / "here", wait_s=0.0, progress=cut_in_the_second)
    (whole,) = (tmp_path / "here").iterdir()
    assert whole.read_bytes() == contents[1]


def test_what_the_device_removes_meanwhile_is_told_as_gone(
    control: Control, device: FleetLine, kept: Path, tmp_path: Path
) -> None:
    for number in range(3):
        keep(kept, number)
    names = sorted(path.name for path in kept.iterdir())
    done = fetch(control, tmp_path / "here", progress=lambda _size: (kept / names[1]).unlink(missing_ok=True))
    assert done.gone == (names[1],)
    assert [Path(one.file).name for one in done.pictures] == [f"{CAR}-{names[2]}", f"{CAR}-{names[0]}"]


def test_a_device_that_is_not_enrolled_or_offline_or_silent_is_told_apart(
    control: Control, patient: Questions, tmp_path: Path
) -> None:
    patient.list_s = 0.1
    with pytest.raises(FleetError, match="not enrolled"):
        control.pictures("car-9", 1)
    with pytest.raises(DeviceAwayError, match="car-1 is offline"):
        control.pictures(CAR, 1)
    said: list[str] = []
    with pytest.raises(DeviceAwayError):
        fetch_pictures(control, CAR, tmp_path / "x", newest=1, patience=Patience(0.5, said.append))
    assert said == ["car-1 is offline; asking again for up to 0.5 s"]
    assert not (tmp_path / "x").exists()
    (tmp_path / "file").touch()
    with pytest.raises(BadArgumentError, match="is no folder"):
        fetch(control, tmp_path / "file")


def test_a_device_that_has_kept_nothing_yet_says_so(control: Control, device: FleetLine, tmp_path: Path) -> None:
    done = fetch(control, tmp_path / "here")
    assert (done.kept, done.named, done.pictures) == (0, 0, ())
    assert describe(done) == "car-1 keeps no picture yet"
