"""The loop that is awake before its frame comes."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.channels import Pipe, Publication, make_pipe, send
from edge_agent.rehearsal import Rehearsal

PERIOD_NS = 30_000_000


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = make_pipe()
    yield made
    made.close()


def seen(rehearsal: Rehearsal, frame: int, published_ns: int) -> None:
    rehearsal.saw(Publication(0, 0, 1, frame, published_ns, published_ns))


def test_it_goes_through_a_turn_once_before_the_frame_that_it_expects(pipe: Pipe) -> None:
    turns: list[int] = []
    rehearsal = Rehearsal(5.0, (pipe.read_fd,), lambda: turns.append(time.monotonic_ns()))
    now_ns = time.monotonic_ns()
    for frame in (1, 2, 3):
        seen(rehearsal, frame, now_ns + (frame - 3) * PERIOD_NS)
    rehearsal.wait()  # nothing comes: it gives up
    assert len(turns) == 1
    assert turns[0] >= now_ns + PERIOD_NS - 5_000_000


def test_a_frame_that_is_there_already_is_not_kept_waiting(pipe: Pipe) -> None:
    turns: list[int] = []
    rehearsal = Rehearsal(5.0, (pipe.read_fd,), lambda: turns.append(1))
    for frame in (1, 2, 3):
        seen(rehearsal, frame, time.monotonic_ns() + frame * PERIOD_NS)
    send(pipe.write_fd, bytes(64))
    rehearsal.wait()
    assert turns == []


def test_one_that_saw_no_two_frames_in_a_row_expects_none(pipe: Pipe) -> None:
    turns: list[int] = []
    rehearsal = Rehearsal(5.0, (pipe.read_fd,), lambda: turns.append(1))
    now_ns = time.monotonic_ns()
    for count, frame in enumerate((1, 4, 9), start=-2):
        seen(rehearsal, frame, now_ns + count * PERIOD_NS)  # evenly, as if the next one came after PERIOD_NS
    rehearsal.wait()  # nothing comes, for longer than that
    assert turns == []


COUNTED = """
from pathlib import Path

from edge_agent.deciders.classify import Classify


class Counted(Classify):
    def step(self, output, now_s):
        with Path(__file__).with_name(f"{id(self)}.asked").open("a") as file:
            file.write(".")
        return super().step(output, now_s)
"""


def test_an_agent_that_rehearses_decides_as_one_that_does_not_by_a_decider_that_sees_no_rehearsal(
    make_bundle: Any, make_config: Any, start_agent: Any, tmp_path: Path
) -> None:
    colours = "rrrrggggbbbbgggg"
    (tmp_path / "own.py").write_text(COUNTED)
    config = make_config(colours=colours, fps=50, more="loop: {rehearse_ms: 3}\n")
    config.write_text(config.read_text().replace("kind: classify", "kind: 'own.py:Counted'"))
    agent = start_agent(config, make_bundle())
    agent.goes()
    agent.until(lambda: sum(not line.safe for line in agent.lines()) > 3 * len(colours), "three rounds")
    for line in agent.lines():
        if not line.safe:
            assert (line.action == "go") == (colours[(line.frame - 1) % len(colours)] == "g"), line
    asked = [len(path.read_text()) for path in tmp_path.glob("*.asked")]
    assert len(asked) == 2  # one decides, its twin rehearses: once before the first frame, and then again and again
    assert min(asked) > 3
    assert agent.stop() == 0
