"""Recordings: a real agent records, the replay decides the same; a torn file is read up to its end."""

import json
import math
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edge.errors import BadArgumentError, BadDataError, FileMissingError
from edge.manifest import BoxTensors, Head
from edge_agent.recording.again import difference
from edge_agent.recording.chunks import MAGIC, ChunkReader, ChunkWriter
from edge_agent.recording.messages import Array, Closing, Items, Life, Lost, Opening, Turn
from edge_agent.recording.replay import read_items, replay

MakeBundle = Callable[..., Path]
MakeConfig = Callable[..., Path]
EDGE = [sys.executable, "-m", "edge.cli"]


def edge(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*EDGE, *map(str, words)], capture_output=True, text=True, check=False)


def items(path: Path) -> list[Items]:
    return list(read_items(ChunkReader(path), path.name))


def write_items(path: Path, *items: Items) -> Path:
    path.unlink(missing_ok=True)
    writer = ChunkWriter(path)
    for item in items:
        writer.append(msgspec.msgpack.encode(item))
    writer.close()
    return path


@pytest.fixture
def recording(make_bundle: MakeBundle, make_config: MakeConfig, tmp_path: Path) -> Path:
    """Two seconds of a real agent whose pictures change colour."""
    path = tmp_path / "desk.rec"
    config = make_config(colours="rrrrrgggggbbbbbggggg", fps=50)
    config.write_text(config.read_text().replace("hold_s: 0.0", "hold_s: 0.05"))
    done = edge("record", config, "-o", path, "--seconds", "2", "--unsigned", make_bundle())
    assert done.returncode == 0, done.stderr
    return path


def test_a_recording_replays_to_the_same_decisions_and_the_same_outputs(
    recording: Path, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    done = edge("replay", recording, "--bundle", tmp_path / "light-1.edge", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["turns"] == result["decisions_compared"] == result["again"]["compared"] > 5
    assert (result["decisions_differ"], result["lost"], result["uncompared"], result["torn_bytes"]) == (0, 0, 0, 0)
    assert result["ended"] == "2 s were recorded"
    assert result["again"]["same_bundle"]
    assert (result["again"]["inputs_differ"], result["again"]["outputs_differ"]) == (0, 0)
    turns = [item for item in items(recording) if isinstance(item, Turn)]
    assert {turn.action for turn in turns} <= {0, 1}
    frames = [turn.frame for turn in turns]
    assert frames == sorted(set(frames))
    for turn in turns:  # what the source showed under this frame id, and what the model was given
        colour = "rrrrrgggggbbbbbggggg"[(turn.frame - 1) % 20]
        picture = turn.picture.array()
        assert picture.shape == (16, 16, 3)
        assert int(picture[0, 0].argmax()) == "bgr".index(colour)
        assert np.array_equal(turn.taken.array()[0], picture[..., ::-1] * np.float32(1 / 255))

    other = make_bundle(version=2, gain=4.0)
    done = edge("replay", recording, "--bundle", other)
    assert done.returncode == 1
    assert "another bundle than was recorded" in done.stdout
    told = replay(recording, other)
    assert told.again is not None
    assert told.again.outputs_differ == told.turns
    assert told.decisions_differ > 0  # at this gain no label reaches the floor
    assert len(told.differences) == 10


def made_up(turns: int = 10) -> tuple[Opening, Life, list[Turn]]:
    """What a loop would have recorded that saw green all the time, with `hold_s: 0.25` at 10 frames a second."""
    opening = Opening(wall_ns=1, device="desk-1", model="light", agent="0")
    life = Life(
        life=7, version=1, bundle="light-1.edge", sha256="0" * 64, runtime="onnxruntime", dtype="float32", threads=1,
        machine="x86_64", labels=("red", "green"), actions=("stop", "go"), decider="classify",
        options={"go": ["green"], "floor": 0.5, "hold_s": 0.25}, folder="/",
    )  # fmt: skip
    picture = Array.of(np.zeros((2, 2, 3), np.uint8))
    output = np.array([[0.125, 0.875]], np.float32)
    return opening, life, [
        Turn(
            life=7, epoch=1, frame=frame, captured_ns=frame * 100_000_000, dropped=0, read_ns=0, handed_ns=0,
            picture=picture, taken=picture, output=Array.of(output), action=int(frame >= 4), label=1, score=0.875,
        )
        for frame in range(1, turns + 1)
    ]  # fmt: skip


def test_the_decider_is_replayed_with_the_times_that_it_was_handed(tmp_path: Path) -> None:
    opening, life, turns = made_up()
    assert replay(write_items(tmp_path / "same.rec", opening, life, *turns)).same
    slow = [msgspec.structs.replace(turn, captured_ns=2 * turn.captured_ns) for turn in turns]
    result = replay(write_items(tmp_path / "slow.rec", opening, life, *slow))
    assert [one.frame for one in result.differences] == [3]  # it has held for 0.4 s by then


def test_a_detectors_turns_are_replayed_with_all_its_outputs_and_its_head(tmp_path: Path) -> None:
    opening, life, turns = made_up(2)
    head = Head(format="boxes", tensors=BoxTensors(boxes=1, scores=0))
    whole = [[0, 0], [1, 0], [1, 1], [0, 1]]
    options = {"clear_s": 0.0, "zones": [{"corners": whole, "labels": ["green"]}]}
    life = msgspec.structs.replace(life, decider="zones", options=options, head=head)
    scores = np.array([[[0.125, 0.875]]], np.float32)
    box = Array.of(np.array([[[0.2, 0.2, 0.4, 0.4]]], np.float32))
    seen = [
        msgspec.structs.replace(turn, output=Array.of(scores), others=(box,), action=0, label=1, score=0.875)
        for turn in turns
    ]
    assert replay(write_items(tmp_path / "boxes.rec", opening, life, *seen)).same
    blind = msgspec.structs.replace(seen[1], output=Array.of(scores * 0))
    assert replay(write_items(tmp_path / "blind.rec", opening, life, seen[0], blind)).decisions_differ == 1


def test_every_output_of_a_detector_must_be_the_same_bit_for_bit() -> None:
    scores, boxes = np.zeros((1, 2), np.float32), np.ones((1, 2, 4), np.float32)
    assert difference([scores, boxes], [scores.copy(), boxes.copy()]) is None
    assert difference([scores, boxes], [scores, boxes + 2]) == 2.0
    assert difference([scores], [-scores]) == 0.0  # minus zero has other bits
    assert difference([scores, boxes], [scores]) == math.inf


def test_a_decision_that_was_tampered_with_is_found(tmp_path: Path) -> None:
    opening, life, turns = made_up()
    turns[5] = msgspec.structs.replace(turns[5], action=0)
    turns[7] = msgspec.structs.replace(turns[7], score=0.8750001)
    result = replay(write_items(tmp_path / "other.rec", opening, life, *turns))
    assert not result.same
    assert [one.frame for one in result.differences] == [6, 8]


def test_after_lost_turns_nothing_is_claimed_until_the_next_loop_begins(tmp_path: Path) -> None:
    opening, life, turns = made_up()
    again = msgspec.structs.replace(life, life=life.life + 1)
    later = [msgspec.structs.replace(turn, life=life.life + 1) for turn in turns[:4]]
    path = write_items(tmp_path / "lost.rec", opening, life, *turns[:3], Lost(turns=2), *turns[5:], again, *later)
    result = replay(path)
    assert (result.turns, result.decisions_compared, result.uncompared, result.lost) == (12, 7, 5, 2)
    assert result.ended == ""


def test_a_loop_that_is_killed_begins_again_without_a_past(
    make_bundle: MakeBundle, make_config: MakeConfig, tmp_path: Path
) -> None:
    path = tmp_path / "killed.rec"
    command = [*EDGE, "record", make_config(), "-o", path, "--seconds", "60", "--unsigned", make_bundle()]
    agent = subprocess.Popen([str(word) for word in command], stderr=subprocess.DEVNULL)
    try:
        lives: list[int] = []
        killed = False
        limit_s = time.monotonic() + 60
        while len(lives) < 2:
            assert agent.poll() is None
            assert time.monotonic() < limit_s
            time.sleep(0.2)
            found = items(path) if path.exists() else []
            lives = [item.life for item in found if isinstance(item, Life)]
            if not killed and sum(isinstance(item, Turn) for item in found) > 5:
                os.kill(lives[0], signal.SIGKILL)
                killed = True
        time.sleep(1.0)
        agent.terminate()
        assert agent.wait(60) == 0
    finally:
        agent.kill()
        agent.wait()
    assert isinstance(items(path)[-1], Closing)
    result = replay(path)
    assert result.same
    assert result.uncompared == 0
    assert result.ended == "the agent ended"


def test_a_recording_ends_at_its_size(make_bundle: MakeBundle, make_config: MakeConfig, tmp_path: Path) -> None:
    path, noise = tmp_path / "small.rec", np.random.default_rng(1)
    config = make_config(size=224, fps=100)
    np.save(tmp_path / "frames.npy", noise.integers(0, 255, (4, 224, 224, 3), np.uint8))
    done = edge("record", config, "-o", path, "--max-mib", "2", "--unsigned", make_bundle(size=224))
    assert done.returncode == 0, done.stderr
    assert 2 << 20 <= path.stat().st_size < 3 << 20
    assert replay(path).ended == f"{2 << 20} bytes were recorded"


# --- the file ---------------------------------------------------------------------------------------


@pytest.fixture
def chunks(tmp_path: Path) -> Path:
    path = tmp_path / "file.rec"
    writer = ChunkWriter(path)
    for word in (b"one", b"two" * 1000, b"three"):
        writer.append(word)
    writer.close()
    return path


def test_after_a_power_cut_every_whole_chunk_is_read_and_the_file_goes_on(chunks: Path) -> None:
    data = chunks.read_bytes()
    ends = [len(MAGIC)]
    for packed in (zlib.compress(word, 1) for word in (b"one", b"two" * 1000, b"three")):
        ends.append(ends[-1] + 8 + len(packed))
    for cut in range(len(MAGIC), len(data)):
        chunks.write_bytes(data[:cut])
        whole = sum(cut >= end for end in ends) - 1
        reader = ChunkReader(chunks)
        assert len(list(reader)) == whole
        assert reader.torn_bytes == cut - ends[whole]
        writer = ChunkWriter(chunks)
        writer.append(b"more")
        writer.close()
        assert list(ChunkReader(chunks))[whole:] == [b"more"]


def test_a_flipped_bit_ends_the_file_where_it_is(chunks: Path) -> None:
    data = bytearray(chunks.read_bytes())
    data[-1] ^= 1
    chunks.write_bytes(data)
    reader = ChunkReader(chunks)
    assert list(reader) == [b"one", b"two" * 1000]
    assert reader.torn_bytes > 0


@pytest.mark.parametrize(
    "content", [b"", b"EDGEREC2", MAGIC, MAGIC + b"\xff" * 50], ids=["empty", "other", "nothing", "noise"]
)
def test_what_is_no_recording_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.rec"
    path.write_bytes(content)
    with pytest.raises(BadDataError):
        replay(path)


@pytest.mark.parametrize("array", [Array("O", (1,), b"12345678"), Array("<f4", (9,), b"1234"), Array("?!", (1,), b"1")])
def test_a_hostile_array_is_an_error_of_ours(tmp_path: Path, array: Array) -> None:
    opening, life, turns = made_up(1)
    path = write_items(tmp_path / "bad.rec", opening, life, msgspec.structs.replace(turns[0], output=array))
    with pytest.raises(BadDataError):
        replay(path)


def test_a_bomb_of_zeros_does_not_fill_the_memory(tmp_path: Path) -> None:
    packed = zlib.compress(bytes(65 << 20), 9)
    path = tmp_path / "bomb.rec"
    path.write_bytes(MAGIC + len(packed).to_bytes(4, "little") + zlib.crc32(packed).to_bytes(4, "little") + packed)
    with pytest.raises(BadDataError, match="more than"):
        replay(path)


def test_what_cannot_be_recorded_or_replayed_says_why(
    make_bundle: MakeBundle, make_config: MakeConfig, tmp_path: Path
) -> None:
    config, bundle = make_config(), make_bundle()
    foreign = tmp_path / "letter.txt"
    foreign.write_text("Dear fleet")
    assert edge("record", config, "-o", foreign, "--unsigned", bundle).returncode == BadDataError.exit_code
    assert foreign.read_text() == "Dear fleet"
    nowhere = edge("record", config, "-o", tmp_path / "no" / "x.rec", "--unsigned", bundle)
    assert nowhere.returncode == FileMissingError.exit_code
    assert edge("record", config, "-o", tmp_path / "y", "--seconds", "0").returncode == BadArgumentError.exit_code
    assert edge("replay", tmp_path / "none.rec").returncode == FileMissingError.exit_code


def test_the_arrays_of_a_recording_are_exact() -> None:
    values: Any = np.array([[np.nan, -0.0, np.float32(0.1)]], np.float32)
    assert Array.of(values).array().tobytes() == values.tobytes()
