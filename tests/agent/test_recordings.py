"""A recording of sensors as a source, the clock of a Raspberry Pi's camera, and rows on their way into the ring."""

import time
from pathlib import Path

import numpy as np
import pytest

from edge.errors import BadConfigError, BadDataError, FileMissingError, MissingExtraError
from edge.manifest import ImageInput, InputContract, SeriesInput
from edge_agent.channels import Publication, make_pipe, packets
from edge_agent.press import Press
from edge_agent.ring import RingReader
from edge_agent.ring_memory import RingMemory, create_ring
from edge_agent.sources import Rows
from edge_agent.sources.csv import Csv
from edge_agent.sources.picamera import PiCamera, to_monotonic
from edge_agent.specs import CaptureSpec, Chosen


def recording(folder: Path, text: str, **options: object) -> Csv:
    (folder / "r.csv").write_text(text)
    return Csv(Csv.Options(**{"path": folder / "r.csv", "columns": ("b", "a")} | options))


def test_rows_come_in_the_models_order_and_begin_again_with_a_gap(tmp_path: Path) -> None:
    source = recording(tmp_path, "t;a;b\n0;1;2\n1;3;4\n", delimiter=";")
    source.open(0, 0, 10)
    rows = [source.read(1) for _ in range(3)]
    assert [one.values.tolist() for one in rows if one] == [[[2, 1]], [[4, 3]], [[2, 1]]]
    assert [bool(one.gap) for one in rows if one] == [False, False, True]
    source.close()


def test_a_recording_may_end_and_a_missing_value_is_a_gap(tmp_path: Path) -> None:
    source = recording(tmp_path, "a,b\n1,nan\n1,2\n", loop=False)
    source.open(0, 0, 10)
    first = source.read(1)
    assert first is not None
    assert (first.values.shape, first.gap) == ((0, 2), "a value is missing")
    assert source.read(1) is not None
    assert source.read(1) is None


def test_what_is_no_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileMissingError):
        Csv(Csv.Options(path=tmp_path / "none", columns=("a",))).open(0, 0, 10)
    with pytest.raises(BadConfigError, match="no column 'b'"):
        recording(tmp_path, "a,c\n").open(0, 0, 10)
    for text in ("a,b\nx,1\n", "a,b\n1\n", "a,b\n"):
        source = recording(tmp_path, text)
        source.open(0, 0, 10)
        with pytest.raises(BadDataError):
            source.read(1)


def press(contract: InputContract) -> tuple[Press, RingReader, int]:
    token, pipe = bytes(16), make_pipe()
    ring_fd = create_ring(token=token)
    spec = CaptureSpec(
        parent=0, link_fd=0, source=Chosen(kind="csv", options={}, folder="."), fps=30, contract=contract,
        epoch=1, active=0, ring_fd=ring_fd, token=token.hex(), publications=(pipe.write_fd,),
    )  # fmt: skip
    return Press(spec), RingReader(RingMemory(ring_fd, token)), pipe.read_fd


def test_rows_reach_the_loop_as_whole_windows_and_never_across_a_gap() -> None:
    writer, reader, read_fd = press(SeriesInput(window=3, stride=2, columns=("a",)))
    for number in range(5):
        writer.publish_rows(Rows(np.array([[number]], np.float32), number))
    writer.publish_rows(Rows(np.array([[5.0]], np.float32), 5, "a cable was loose"))
    for number in (6, 7):
        writer.publish_rows(Rows(np.array([[number]], np.float32), number))
    seen = [Publication.unpack(packet) for packet in packets(read_fd)]
    assert [(one.frame, one.captured_ns) for one in seen] == [(1, 2), (2, 4), (3, 7)]
    windows = []
    for one in seen:
        frame = reader.claim(one.slot, one.frame)
        windows.append(None if frame is None else frame.ravel().tolist())
        reader.release(one.slot)
    assert windows == [[0, 1, 2], [2, 3, 4], [5, 6, 7]]


def test_rows_for_a_model_that_takes_pictures_are_explained() -> None:
    writer, _, _ = press(ImageInput(width=4, height=4, colour="RGB", layout="NHWC"))
    with pytest.raises(BadConfigError, match="whole samples"):
        writer.publish_rows(Rows(np.zeros((1, 1), np.float32), 1))


def test_a_sensors_time_of_exposure_becomes_ours() -> None:
    ago_ns = 30_000_000
    stamp = to_monotonic(time.clock_gettime_ns(time.CLOCK_BOOTTIME) - ago_ns)
    assert 0 <= time.monotonic_ns() - stamp - ago_ns < 1e9
    for impossible in (0, time.clock_gettime_ns(time.CLOCK_BOOTTIME) + 10**12):
        assert time.monotonic_ns() - to_monotonic(impossible) < 1e9


def test_without_picamera2_it_is_said_where_it_comes_from() -> None:
    try:
        import picamera2  # noqa: F401
    except ImportError:
        with pytest.raises(MissingExtraError, match="python3-picamera2"):
            PiCamera(PiCamera.Options()).open(96, 96, 30)
    else:
        pytest.skip("picamera2 is installed here")
