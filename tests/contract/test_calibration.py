"""A board's calibration: what was written is read, and what was altered, cut or invented is refused."""

import hashlib
from pathlib import Path

import pytest
from msgspec.structs import replace

from edge.calibration import Calibration, Timing, read_calibration, write_calibration
from edge.errors import BadArgumentError, BadDataError

MODEL = bytes(range(256))
TIMING = Timing(
    sha256=hashlib.sha256(MODEL).hexdigest(), file="model.onnx", runtime="onnxruntime", dtype="float32",
    p10_ms=1.0, p50_ms=1.1, p90_ms=1.3, p99_ms=2.0, inferences=100, model=MODEL,
)  # fmt: skip
BOARD = Calibration(
    cores=("cortex-a72",),
    cpu="a board",
    threads=1,
    runtimes={"onnxruntime": "1"},
    timings=(TIMING,),
    taken="2026-01-01",
)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_calibration(BOARD, tmp_path / "board.json")
    assert read_calibration(tmp_path / "board.json") == BOARD


def test_the_date_is_no_part_of_its_identity_and_a_time_is() -> None:
    assert replace(BOARD, taken="2026-02-02").identity == BOARD.identity
    assert replace(BOARD, timings=(replace(TIMING, p50_ms=1.2),)).identity != BOARD.identity


def test_a_timing_is_found_by_file_and_runtime() -> None:
    assert BOARD.timing_of(TIMING.sha256, "onnxruntime") == TIMING
    assert BOARD.timing_of(TIMING.sha256, "litert") is None
    assert BOARD.timing_of("0" * 64, "onnxruntime") is None


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[1]", b"\xff", b'{"format": 2}', b'{"format":1,"cores":[],"cpu":"x","threads":1}'],
    ids=["empty", "no fields", "a list", "no text", "another format", "no cores"],
)
def test_what_is_no_calibration_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "board.json").write_bytes(content)
    with pytest.raises(BadDataError, match="no calibration of format 1"):
        read_calibration(tmp_path / "board.json")


@pytest.mark.parametrize(("old", "new"), [('"p50_ms": 1.1', '"p50_ms": -1'), ('"p50_ms": 1.1', '"p50_ms": 1e999')])
def test_a_time_that_cannot_be_is_refused(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "board.json"
    write_calibration(BOARD, path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(BadDataError):
        read_calibration(path)


def test_another_model_than_the_one_that_was_timed_is_refused(tmp_path: Path) -> None:
    write_calibration(replace(BOARD, timings=(replace(TIMING, model=b"other"),)), tmp_path / "board.json")
    with pytest.raises(BadDataError, match=r"model\.onnx is not the one"):
        read_calibration(tmp_path / "board.json")


def test_a_missing_file_and_a_folder_that_is_none_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BadArgumentError) as caught:
        read_calibration(tmp_path / "absent.json")
    assert "edge bench BUNDLE --calibration" in caught.value.remedy
    with pytest.raises(BadArgumentError):
        write_calibration(BOARD, tmp_path / "absent" / "board.json")
