"""A model with a state in the agent: every frame is a step; it begins anew at a gap, and replays to the same."""

import hashlib
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edge.bundle import Baseline, Golden, open_bundle, pack
from edge.manifest import Manifest, Provenance, Quality, SeriesInput, StateSpec, TensorSpec, Tolerance, Variant
from edge.runtimes import Session, open_session, run_float
from edge.statistics import SCORE_EDGES
from edge_agent.channels import Announced, Publication, make_pipe, newest, send
from edge_agent.memory import Memory, memory_of
from edge_agent.press import Press
from edge_agent.recording.chunks import ChunkReader, ChunkWriter
from edge_agent.recording.messages import Items, Lost, Turn
from edge_agent.recording.replay import read_items, replay
from edge_agent.ring_memory import create_ring
from edge_agent.sources import Rows
from edge_agent.specs import CaptureSpec, Chosen

ENOUGH = 3
"""Rows after which the counter says `go`."""
CONTRACT = SeriesInput(window=1, stride=1, columns=("pulse",), layout="NF")


@pytest.fixture
def counter(tmp_path: Path) -> Path:
    """A bundle that counts: h' = h + x; y = [ENOUGH - 0.5 - h', h' - ENOUGH + 0.5]."""
    nodes = [
        helper.make_node("Add", ["h", "x"], ["h_next"]),
        helper.make_node("Mul", ["h_next", "sides"], ["both"]),
        helper.make_node("Add", ["both", "limit"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "counter",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1]) for name in ("x", "h")],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2]),
            helper.make_tensor_value_info("h_next", TensorProto.FLOAT, [1, 1]),
        ],
        [
            helper.make_tensor("sides", TensorProto.FLOAT, [1, 2], [-1.0, 1.0]),
            helper.make_tensor("limit", TensorProto.FLOAT, [1, 2], [ENOUGH - 0.5, 0.5 - ENOUGH]),
        ],
    )
    data = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()
    onnx.checker.check_model(data)
    x, h, h_next = (TensorSpec(name=name, shape=(1, 1), dtype="float32") for name in ("x", "h", "h_next"))
    variant = Variant(
        runtime="onnxruntime", dtype="float32", file="model.onnx", sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data), input=x, outputs=(TensorSpec(name="y", shape=(1, 2), dtype="float32"),),
        state=(StateSpec(input=h, output=h_next),),
    )  # fmt: skip
    manifest = Manifest(
        format=2, name="counter", version=1, target="x86-64", labels=("few", "many"), input=CONTRACT,
        variants=(variant,),
        quality=Quality(
            metric="accuracy", reference=1.0, compiled=1.0, drop=0.0, ci95=(0.0, 0.0), agreement=1.0, samples=3
        ),
        golden=Tolerance(atol=1e-3, rtol=1e-3),
        provenance=Provenance(source_sha256="0" * 64, data_sha256="0" * 64, tools={}, recipe={}),
    )  # fmt: skip
    ones = np.ones((4, 1), np.float32)
    said = np.array([[ENOUGH - 0.5 - n, n - ENOUGH + 0.5] for n in range(1, 5)], np.float32)
    return pack(
        tmp_path / "counter-1.edge",
        manifest,
        files={"model.onnx": data},
        golden=Golden(input=ones, outputs=said),
        baseline=Baseline(
            scores=np.full(len(SCORE_EDGES) + 1, 10, np.int64),
            labels=np.full(2, 10, np.int64),
            input_mean=np.zeros(1, np.float32),
            input_std=np.ones(1, np.float32),
        ),
    )


@pytest.fixture
def session(counter: Path) -> Session:
    return open_session(open_bundle(counter))


def count(session: Session) -> float:
    """One more pulse."""
    return float(run_float(session, np.ones(1, np.float32))[1]) + ENOUGH - 0.5


def seen(frame: int, *, at_ms: float, began: int = 1, epoch: int = 1) -> Publication:
    return Publication(0, 0, epoch, frame, round(at_ms * 1e6), 0, began)


def test_the_state_follows_frames_that_join(session: Session) -> None:
    memory = Memory(session, max_gap_ms=100)
    found = []
    for frame in range(1, 5):
        fresh = memory.follow(seen(frame, at_ms=1000 + 50 * frame))
        found.append((fresh, count(session)))
    assert found == [(True, 1), (False, 2), (False, 3), (False, 4)]


@pytest.mark.parametrize(
    ("what", "fresh"),
    [
        (seen(9, at_ms=1100), False),  # a frame may be missing, if the next one is not late
        (seen(3, at_ms=1101), True),
        (seen(3, at_ms=1050, began=3), True),
        (seen(3, at_ms=1050, epoch=2), True),
        (seen(3, at_ms=999), True),
    ],
)
def test_the_state_begins_anew_after_a_gap_or_a_switch(session: Session, what: Publication, fresh: bool) -> None:
    memory = Memory(session, max_gap_ms=100)
    memory.follow(seen(2, at_ms=1000))
    assert count(session) == 1
    assert memory.follow(what) is fresh
    assert count(session) == (1 if fresh else 2)


def test_a_slow_source_is_no_gap(session: Session) -> None:
    series = msgspec.structs.replace(CONTRACT, stride=5)
    memory = memory_of(session, series, max_age_ms=100, period_ms=1000)
    assert memory is not None
    memory.follow(seen(1, at_ms=0))
    assert not memory.follow(seen(2, at_ms=9_900))
    assert memory.follow(seen(3, at_ms=20_000))


def test_a_model_with_a_state_is_shown_every_frame_and_others_the_newest() -> None:
    pipe = make_pipe()
    for in_order, expected in ((True, [1, 2, 3]), (False, [3])):
        for frame in (1, 2, 3):
            assert send(pipe.write_fd, seen(frame, at_ms=0).pack())
        announced = Announced(pipe.read_fd, in_order=in_order)
        found = [Publication.unpack(packet).frame for packet in iter(announced.take, None)]
        assert found == expected
        assert not announced.waiting
    pipe.close()


def test_capture_says_with_which_frame_a_stretch_began() -> None:
    token, pipe = bytes(16), make_pipe()
    chosen = Chosen(kind="csv", options={}, folder=".")
    press = Press(
        CaptureSpec(
            parent=0, link_fd=-1, source=chosen, fps=10, contract=CONTRACT, epoch=1, active=0,
            ring_fd=create_ring(token=token, slots=4, slot_bytes=64), token=token.hex(),
            publications=(pipe.write_fd,),
        )
    )  # fmt: skip

    def began(gap: str = "") -> int:
        press.publish_rows(Rows(np.ones((1, 1), np.float32), 5, gap))
        packet = newest(pipe.read_fd)
        assert packet is not None
        return Publication.unpack(packet).began

    assert [began(), began(), began("a value is missing"), began()] == [1, 1, 3, 3]
    press.publish_rows(Rows(np.empty((0, 1), np.float32), 6, "nothing new"))
    assert [began(), began()] == [5, 5]
    press.start_anew()
    assert began() == 7
    pipe.close()


# --- a whole agent ---------------------------------------------------------------------------------


@pytest.fixture
def recording(counter: Path, tmp_path: Path) -> Path:
    """An agent that plays five pulses, again and again; each time the file begins again is a gap."""
    (tmp_path / "pulses.csv").write_text("pulse\n" + "1\n" * 5)
    (tmp_path / "agent.yaml").write_text(
        textwrap.dedent("""
            device: desk-1
            model: counter
            state_dir: state
            source: {kind: csv, path: pulses.csv, columns: [pulse], fps: 50}
            decider: {kind: classify, go: [many], floor: 0.5, hold_s: 0.0}
            actuators:
              - {kind: recorder, path: applied.txt, max_age_ms: 60000, safe_state: stop}
        """)
    )
    path = tmp_path / "desk.rec"
    command = [sys.executable, "-m", "edge.cli", "record", str(tmp_path / "agent.yaml"), "-o", str(path)]
    command += ["--seconds", "1", "--unsigned", str(counter)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return path


def items(path: Path) -> list[Items]:
    return list(read_items(ChunkReader(path), path.name))


def test_an_agent_counts_from_gap_to_gap_and_its_recording_replays_bit_for_bit(recording: Path, counter: Path) -> None:
    turns = [item for item in items(recording) if isinstance(item, Turn)]
    assert len(turns) > 5
    assert turns[0].fresh
    told = 0.0
    for before, turn in zip([None, *turns[:-1]], turns, strict=True):
        told = 1.0 if turn.fresh else told + 1
        assert turn.output.array()[0, 1] + ENOUGH - 0.5 == told
        assert turn.action == int(told >= ENOUGH)
        if before is not None and turn.frame == before.frame + 1:
            assert turn.fresh == (turn.frame % 5 == 1)
    command = [sys.executable, "-m", "edge.cli", "replay", str(recording), "--bundle", str(counter), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert (result["decisions_differ"], result["again"]["outputs_differ"], result["again"]["uncompared"]) == (0, 0, 0)
    assert result["again"]["compared"] == len(turns)

    # what was lost leaves the state unknown until it begins anew, and not a turn longer
    found = items(recording)
    at = next(i for i, item in enumerate(found) if isinstance(item, Turn) and not item.fresh)
    writer = ChunkWriter(recording.with_name("lost.rec"))
    for item in (*found[:at], Lost(turns=1), *found[at + 1 :]):
        writer.append(msgspec.msgpack.encode(item))
    writer.close()
    again = replay(recording.with_name("lost.rec"), counter).again
    assert again is not None
    rest = [item for item in found[at + 1 :] if isinstance(item, Turn)]
    unknown = next((i for i, turn in enumerate(rest) if turn.fresh), len(rest))
    assert (again.outputs_differ, again.uncompared, again.compared) == (0, unknown, len(turns) - 1 - unknown)
