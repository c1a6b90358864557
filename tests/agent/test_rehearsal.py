"""Loop and capture that are awake before their frame comes."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.channels import Pipe, Publication, make_pipe, send
from edge_agent.link import Rehearse
from edge_agent.rehearsal import FRAMES, BetweenTurns, Forecast, Rehearsal, Rhythm

PERIOD_NS, AHEAD_MS = 30_000_000, 5.0


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = make_pipe()
    yield made
    made.close()


class Turns:
    """Writes down when a turn was gone through, and whether with inference."""

    def __init__(self) -> None:
        self.began_ns: list[int] = []
        self.with_inference: list[bool] = []

    def __call__(self, *, inference: bool) -> None:
        self.began_ns.append(time.monotonic_ns())
        self.with_inference.append(inference)


def between_turns(pipe: Pipe, turns: Turns, *, inference: bool = False) -> BetweenTurns:
    return BetweenTurns(Rehearsal(AHEAD_MS, (pipe.read_fd,)), turns, inference=inference)


def see(between: BetweenTurns, frames: tuple[int, ...], now_ns: int, *, inference_ms: float = 1.0) -> None:
    """The last of `frames` was published now, the others a period a frame before."""
    for frame in frames:
        at_ns = now_ns + (frame - frames[-1]) * PERIOD_NS
        between.saw(Publication(0, 0, 1, frame, at_ns, at_ns), round(inference_ms * 1e6))


def test_the_loop_goes_through_a_turn_once_before_the_frame_that_it_expects(pipe: Pipe) -> None:
    turns, now_ns = Turns(), time.monotonic_ns()
    between = between_turns(pipe, turns)
    see(between, (1, 2, 3), now_ns)
    between.wait()  # nothing comes: it gives up
    assert turns.with_inference == [False]
    assert turns.began_ns[0] >= now_ns + PERIOD_NS - round(AHEAD_MS * 1e6)
    assert time.monotonic_ns() >= now_ns + PERIOD_NS + round(AHEAD_MS * 1e6)


def test_told_to_do_without_the_loop_only_waits_until_it_may_rehearse_again(pipe: Pipe) -> None:
    turns = Turns()
    between = between_turns(pipe, turns)
    for on, gone_through in ((False, 0), (True, 1)):
        between.obey([Rehearse(on=on)])
        see(between, (1, 2, 3), time.monotonic_ns())
        between.wait()
        assert len(turns.began_ns) == gone_through


def test_inference_is_rehearsed_so_early_that_it_is_over_in_time(pipe: Pipe) -> None:
    turns, now_ns = Turns(), time.monotonic_ns()
    between = between_turns(pipe, turns, inference=True)
    see(between, (1, 2, 3), now_ns, inference_ms=12.0)
    between.wait()
    assert turns.with_inference == [True]
    assert now_ns + PERIOD_NS - 17_000_000 <= turns.began_ns[0]


def test_inference_is_not_rehearsed_where_the_next_frame_would_wait_for_it(pipe: Pipe) -> None:
    turns, now_ns = Turns(), time.monotonic_ns()
    between = between_turns(pipe, turns, inference=True)
    see(between, (1, 2, 3), now_ns, inference_ms=26.0)  # and 5 ms, of a period of 30
    between.wait()
    assert turns.with_inference == [False]


def test_inference_is_not_rehearsed_for_frames_that_may_come_much_too_early(pipe: Pipe) -> None:
    turns, now_ns = Turns(), time.monotonic_ns()
    between = between_turns(pipe, turns, inference=True)
    for frame, early_ns in ((1, 0), (2, 8_000_000), (3, 0), (4, 0)):
        at_ns = now_ns + (frame - 4) * PERIOD_NS - early_ns
        between.saw(Publication(0, 0, 1, frame, at_ns, at_ns), 1_000_000)
    between.wait()
    assert turns.with_inference == [False]


def test_a_frame_that_is_there_already_is_not_kept_waiting(pipe: Pipe) -> None:
    turns = Turns()
    between = between_turns(pipe, turns)
    see(between, (1, 2, 3), time.monotonic_ns())
    send(pipe.write_fd, bytes(64))
    between.wait()
    assert turns.began_ns == []


def test_a_loop_that_saw_no_two_frames_in_a_row_expects_none(pipe: Pipe) -> None:
    turns = Turns()
    between = between_turns(pipe, turns)
    see(between, (1, 4, 9), time.monotonic_ns())
    between.wait()  # nothing comes, for longer than a period
    assert turns.began_ns == []


def test_without_a_time_ahead_a_wait_ends_when_it_is_due_and_rehearses_nothing(pipe: Pipe) -> None:
    turns, due_ns = Turns(), time.monotonic_ns() + 20_000_000
    Rehearsal(0.0, (pipe.read_fd,)).before(due_ns, lambda: turns(inference=False))
    assert time.monotonic_ns() >= due_ns
    assert turns.began_ns == []


def test_a_frame_that_came_late_makes_the_next_one_neither_late_nor_early() -> None:
    rhythm = Rhythm()
    for frame in range(1, FRAMES + 1):
        rhythm.saw(frame, frame * 100 + (40 if frame == FRAMES - 1 else 0))
    assert rhythm.next() == Forecast(due_ns=(FRAMES + 1) * 100, earliest_ns=(FRAMES + 1) * 100)


def test_a_gap_begins_a_rhythm_anew() -> None:
    rhythm = Rhythm()
    rhythm.saw(1, 100)
    rhythm.saw(2, 200)
    assert rhythm.next() == Forecast(300, 300)
    rhythm.saw(9, 1000)
    assert rhythm.next() is None
    rhythm.saw(10, 1050)
    assert rhythm.next() == Forecast(1100, 1100)


COUNTED = """
from pathlib import Path

from edge_agent.deciders.classify import Classify


class Counted(Classify):
    def step(self, output, now_s):
        with Path(__file__).with_name(f"{id(self)}.asked").open("a") as file:
            file.write("b" if output.max() == output.min() else ".")  # b: of a black picture
        return super().step(output, now_s)
"""


def test_an_agent_that_rehearses_decides_as_one_that_does_not_by_a_decider_that_sees_no_rehearsal(
    make_bundle: Any, make_config: Any, start_agent: Any, tmp_path: Path
) -> None:
    colours = "rrrrggggbbbbgggg"
    (tmp_path / "own.py").write_text(COUNTED)
    config = make_config(colours=colours, fps=50, more="loop: {rehearse_ms: 3, rehearse_inference: true}\n")
    config.write_text(config.read_text().replace("kind: classify", "kind: 'own.py:Counted'"))
    agent = start_agent(config, make_bundle())
    agent.goes()
    agent.until(lambda: sum(not line.safe for line in agent.lines()) > 3 * len(colours), "three rounds")
    for line in agent.lines():
        if not line.safe:
            assert (line.action == "go") == (colours[(line.frame - 1) % len(colours)] == "g"), line
    asked = lambda: [path.read_text() for path in tmp_path.glob("*.asked")]  # noqa: E731
    agent.until(lambda: any("b" in one for one in asked()), "inference on a black picture")
    found = asked()
    assert len(found) == 2  # one decides, its twin rehearses: once before the first frame, and then again and again
    assert min(len(one) for one in found) > 3
    assert sum("b" in one for one in found) == 1  # the one that decides sees no black picture
    assert agent.stop() == 0
