"""A network camera: MJPEG over HTTP, from a server of this process, through the very FFmpeg that RTSP takes."""

import os
import threading
import time

import pytest

from edge.errors import SourceError
from edge_agent.sources.stream import Stream, without_password
from edge_agent.sources.stream_simulator import StreamSimulator

WAIT_S = 20.0


def stream(url: str) -> Stream:
    return Stream(Stream.Options(url=url, open_s=5.0, silent_s=1.0))


def test_the_newest_picture_is_delivered_even_to_a_reader_that_was_busy() -> None:
    with StreamSimulator() as camera:
        source = stream(camera.url)
        source.open(64, 48, 20)
        first = source.read(1)
        assert first.pixels.shape == (48, 64, 3)
        time.sleep(1.0)  # twenty pictures
        now_ns = time.monotonic_ns()
        late = source.read(2)
        assert now_ns - late.captured_ns < 0.5e9
        assert abs(int(late.pixels.mean()) - camera.value) <= 12
        source.close()


def test_a_camera_that_freezes_breaks_off_and_is_opened_again_without_leaving_anything_behind() -> None:
    with StreamSimulator() as camera:
        source = stream(camera.url)
        before: list[tuple[int, int]] = []
        for _ in range(3):
            source.open(64, 48, 20)
            source.read(1)
            camera.frozen = True
            with pytest.raises(SourceError, match="broke off"):
                read_until_it_breaks(source)
            source.close()
            camera.frozen = False
            limit_s = time.monotonic() + WAIT_S
            while camera.viewers:
                assert time.monotonic() < limit_s
                time.sleep(0.01)
            before.append((threading.active_count(), len(os.listdir("/proc/self/fd"))))  # noqa: PTH208
        assert before[1] == before[2]


def test_a_camera_that_hangs_up_breaks_off_and_may_be_opened_again() -> None:
    with StreamSimulator() as camera:
        source = stream(camera.url)
        for _ in range(2):
            source.open(64, 48, 20)
            source.read(1)
            camera.drop()
            with pytest.raises(SourceError, match="broke off"):
                read_until_it_breaks(source)
            source.close()


def read_until_it_breaks(source: Stream) -> None:
    for frame in range(1000):
        source.read(frame)


def test_a_camera_that_is_not_there_is_named_without_its_password() -> None:
    with pytest.raises(SourceError) as caught:
        stream("http://user:secret@127.0.0.1:1/").open(64, 48, 20)
    assert "http://127.0.0.1:1/" in caught.value.problem
    assert "secret" not in caught.value.problem
    assert without_password("rtsp://a:b@c@host/x") == "rtsp://host/x"
