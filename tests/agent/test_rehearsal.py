"""The loop that is awake before its frame comes."""

import os
import time
from collections.abc import Iterator
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
    for frame in (1, 4, 9):
        seen(rehearsal, frame, time.monotonic_ns() - PERIOD_NS)
    os.write(pipe.write_fd, bytes(64))
    rehearsal.wait()
    assert turns == []


def test_an_agent_that_rehearses_decides_as_one_that_does_not(
    make_bundle: Any, make_config: Any, start_agent: Any
) -> None:
    colours = "rrrrggggbbbbgggg"
    agent = start_agent(make_config(colours=colours, fps=50, more="loop: {rehearse_ms: 3}\n"), make_bundle())
    agent.goes()
    agent.until(lambda: sum(not line.safe for line in agent.lines()) > 3 * len(colours), "three rounds")
    for line in agent.lines():
        if not line.safe:
            assert (line.action == "go") == (colours[(line.frame - 1) % len(colours)] == "g"), line
    assert agent.stop() == 0
