"""The page of a device's pictures, over a device that lives in this test; with a real one: test_pictures.py."""

import hashlib

import msgspec
import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from edge.errors import DeviceAwayError, FileMissingError, FleetError
from edge.kept import Remark, kept_name
from edge.messages import KeptPicture, PictureList
from edge_agent.png import encode_png
from fleet.dashboard.device_view import device_view
from fleet.dashboard.model import DevicePage
from fleet.dashboard.picture_page import NEWEST, picture_route
from fleet.views import DeviceView

HOSTILE = "<script>alert(1)</script>"


class Camera:
    """A device that keeps `number` pictures, and sends them in pieces."""

    def __init__(self, number: int, label: str = "red", score: float | None = 0.41) -> None:
        self.asked = 0
        self.refusal = ""
        self.data: dict[str, bytes] = {}
        for frame in reversed(range(number)):
            remark = Remark(model="light", version=2, frame=frame, wall_ns=10**18 + frame, label=label, score=score)
            pixels = np.full((4, 6, 3), frame, np.uint8)
            self.data[kept_name(remark)] = encode_png(pixels, msgspec.json.encode(remark).decode())

    def pictures(self, device: str, newest: int) -> PictureList:
        self.asked += 1
        if device != "car-1":
            raise FleetError(f"not enrolled: {device}", remedy="edge fleet enrol")
        if self.refusal:
            return PictureList(id=1, refusal=self.refusal)
        listed = [
            KeptPicture(name=name, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
            for name, data in list(self.data.items())[:newest]
        ]
        return PictureList(id=1, kept=len(self.data), pictures=tuple(listed))

    def picture_piece(self, device: str, name: str, offset: int, size_bytes: int) -> bytes:
        assert device == "car-1"
        return self.data[name][offset : offset + size_bytes]


def page(camera: Camera, path: str = "/pictures/car-1") -> tuple[int, str]:
    with TestClient(Starlette(routes=[picture_route(camera)])) as browser:
        answer = browser.get(path)
    return answer.status_code, answer.text


def test_a_page_asks_once_and_shows_no_more_than_a_person_looks_at() -> None:
    camera = Camera(30)
    for path, shown in (
        ("/pictures/car-1", NEWEST),
        ("/pictures/car-1?newest=5", 5),
        ("/pictures/car-1?newest=-1", NEWEST),
    ):
        camera.asked = 0
        status, text = page(camera, path)
        assert (status, camera.asked, text.count("<img")) == (200, 1, shown)
        assert f"the newest {shown} of 30" in text
    assert "edge fleet pictures car-1" in text


def test_a_device_that_may_not_send_them_or_is_unknown_is_told_with_what_to_do() -> None:
    camera = Camera(3)
    camera.refusal = "NOT_SENT: this device keeps its pictures to itself"
    status, text = page(camera)
    assert (status, text.count("<img")) == (422, 0)
    assert "send: true" in text
    assert page(camera, "/pictures/car-9")[0] == 422
    assert page(camera, "/pictures/..%2F")[0] == 404
    assert "keeps no picture yet" in page(Camera(0))[1]


@pytest.mark.parametrize("score", [0.41, None])
def test_nothing_that_stands_in_a_picture_becomes_html(score: float | None) -> None:
    text = page(Camera(1, label=HOSTILE, score=score))[1]
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert ("0.410" if score else "no score") in text


def test_a_picture_that_is_gone_or_another_one_leaves_its_place_to_a_word() -> None:
    class Forgetful(Camera):
        def picture_piece(self, device: str, name: str, offset: int, size_bytes: int) -> bytes:
            first, second, *_ = self.data
            if name == first:
                raise FileMissingError("gone", remedy="none")
            data = super().picture_piece(device, name, offset, size_bytes)
            return b"x" * len(data) if name == second else data

    text = page(Forgetful(4))[1]
    assert text.count("<img") == 2
    assert "removed by the device meanwhile" in text
    assert "not what the device said" in text


def test_a_device_that_goes_away_leaves_what_came(monkeypatch: pytest.MonkeyPatch) -> None:
    class Leaving(Camera):
        def picture_piece(self, device: str, name: str, offset: int, size_bytes: int) -> bytes:
            if name == list(self.data)[2]:
                raise DeviceAwayError("car-1 is offline", remedy="wait for it")
            return super().picture_piece(device, name, offset, size_bytes)

    monkeypatch.setattr("fleet.dashboard.picture_page.WAIT_S", 0.0)
    status, text = page(Leaving(5))
    assert (status, text.count("<img")) == (200, 2)
    assert "car-1 is offline; 2 of 5 came" in text
    assert text.endswith("</html>")


def test_a_devices_page_leads_to_its_pictures_only_where_there_is_such_a_page() -> None:
    view = DevicePage(DeviceView(id="car-1", online=True, seen_ns=0))
    assert 'href="/pictures/car-1"' in device_view(view, 0.0, with_pictures=True)
    assert "/pictures/" not in device_view(view, 0.0)
