"""Which settings of the loop are chosen, from given measurements."""

from collections.abc import Callable, Iterator
from itertools import combinations, cycle

import msgspec
import pytest

from edge_agent.choose_loop import ROUNDS, Choice, Machine, Round, choose, is_lost, judge, make_steps
from edge_agent.config import LoopConfig

PERIOD_MS = 33.3
BASE = LoopConfig(hang_s=5.0)
FOUR = Machine((0, 1, 2, 3), may_be_urgent=True)
Gains = dict[tuple[str, object], float]


def rounds(*ages_ms: float, p99_ms: float = 2.0) -> list[Round]:
    return [Round(age_p50_ms=age, age_p99_ms=p99_ms, loop_p50_ms=0.5) for age in ages_ms]


class Board:
    """A machine on which each setting takes its share of the time; every run differs a little from the one before."""

    def __init__(self, gains: Gains, loop_ms: float = 0.5) -> None:
        self._gains, self._loop_ms = gains, loop_ms
        self._jitter: Iterator[float] = cycle([1.0, 1.01, 0.99, 1.005, 1.0, 0.995, 1.01])
        self.runs: list[LoopConfig] = []

    def run(self, loop: LoopConfig) -> Round:
        self.runs.append(loop)
        age_ms = next(self._jitter)
        for (key, value), gain in self._gains.items():
            if getattr(loop, key) == value:
                age_ms *= gain
        return Round(age_p50_ms=age_ms, age_p99_ms=2 * age_ms, loop_p50_ms=self._loop_ms)


def chosen(board: Board, machine: Machine = FOUR, own: LoopConfig = BASE, hindrance: str = "") -> Choice:
    return choose(BASE, make_steps(machine, own, hindrance), PERIOD_MS, board.run, lambda _steps=1: None)


def verdicts(choice: Choice) -> dict[str, str]:
    return {outcome.setting: outcome.verdict for outcome in choice.outcomes}


def test_what_pays_is_chosen_and_what_does_not_is_left_as_it_comes() -> None:
    board = Board({("cpu", 3): 0.8, ("priority", 50): 0.9, ("rehearse_ms", 0.8): 0.7})
    choice = chosen(board)
    assert choice.loop == msgspec.structs.replace(BASE, cpu=3, priority=50, rehearse_ms=0.8)
    assert [outcome.setting for outcome in choice.outcomes if outcome.kept] == [
        "cpu 3",
        "priority 50",
        "rehearse_ms 0.8",
    ]
    assert verdicts(choice)["cpu 3"] == "kept: 20% less at p50 and 20% less at p99"


def test_without_any_gain_nothing_is_chosen_and_every_step_is_given_up_early() -> None:
    board = Board({})
    choice = chosen(board)
    assert choice.loop == BASE
    assert len(board.runs) < 1 + 2 * ROUNDS * len(choice.outcomes)


def test_more_threads_are_tried_only_while_fewer_paid() -> None:
    assert verdicts(chosen(Board({})))["threads 4"] == "not tried: threads 2 was not kept"
    assert chosen(Board({("threads", 2): 0.7, ("threads", 4): 0.5})).loop.threads == 4
    assert chosen(Board({("threads", 2): 0.7, ("threads", 4): 0.9})).loop.threads == 2


def test_what_costs_energy_must_save_a_tenth_and_what_costs_none_a_fiftieth() -> None:
    choice = chosen(Board({("cpu", 3): 0.95, ("rehearse_ms", 0.8): 0.95}))
    assert (choice.loop.cpu, choice.loop.rehearse_ms) == (3, 0.0)
    assert verdicts(choice)["rehearse_ms 0.8"] == "no: 5% less at p50 and 5% less at p99, and it must save 10%"


def test_a_second_inference_is_tried_only_on_top_of_a_rehearsal_that_paid() -> None:
    gains: Gains = {("rehearse_inference", True): 0.5}
    assert verdicts(chosen(Board(gains)))["rehearse_inference"] == "not tried: rehearse_ms 0.8 was not kept"
    assert chosen(Board(gains | {("rehearse_ms", 0.8): 0.8})).loop.rehearse_inference


def test_a_loop_that_never_sleeps_gets_no_priority_and_no_rehearsal() -> None:
    board = Board({("priority", 50): 0.5, ("rehearse_ms", 0.8): 0.5}, loop_ms=40.0)
    choice = chosen(board)
    assert choice.loop == BASE
    assert verdicts(choice)["priority 50"] == "not tried: the loop takes 120% of the time"
    assert not any(loop.priority or loop.rehearse_ms for loop in board.runs)


def test_a_second_inference_is_not_tried_where_there_is_no_time_for_it() -> None:
    board = Board({("rehearse_ms", 0.8): 0.5, ("rehearse_inference", True): 0.5}, loop_ms=16.0)
    choice = chosen(board)
    assert choice.loop.rehearse_ms == 0.8
    assert not any(loop.rehearse_inference for loop in board.runs)


def test_no_rehearsal_takes_the_last_time_that_a_loop_sleeps() -> None:
    choice = chosen(Board({("priority", 50): 0.8, ("rehearse_ms", 0.8): 0.5}, loop_ms=31.0))
    assert (choice.loop.priority, choice.loop.rehearse_ms) == (50, 0.0)
    assert verdicts(choice)["rehearse_ms 0.8"] == "not tried: the loop would be awake for 98% of the time"


def test_what_this_user_or_this_machine_may_not_do_is_not_tried() -> None:
    board = Board({("cpu", 0): 0.5, ("priority", 50): 0.5})
    choice = chosen(board, Machine((0,), may_be_urgent=False))
    assert choice.loop == BASE
    assert not any(loop.threads > 1 or loop.priority or loop.cpu is not None for loop in board.runs)


def test_what_the_file_says_is_kept_where_it_is_better_than_what_was_chosen() -> None:
    own = msgspec.structs.replace(BASE, cpu=1, rehearse_ms=3.0)
    gains: Gains = {("cpu", 3): 0.9, ("rehearse_ms", 3.0): 0.5}
    assert chosen(Board(gains), own=own).loop == own
    assert chosen(Board({("cpu", 3): 0.9}), own=own).loop == msgspec.structs.replace(BASE, cpu=3)
    refused = chosen(Board(gains), own=own, hindrance="there is no processor 1")
    assert refused.loop.cpu == 3
    assert verdicts(refused)["as the file has it"] == "not tried: there is no processor 1"


@pytest.mark.parametrize("first_is_slow", [True, False])
def test_a_machine_that_becomes_slower_or_faster_makes_no_setting_look_better(first_is_slow: bool) -> None:
    ages = iter(range(200, 0, -1) if first_is_slow else range(1, 200))

    def run(_loop: LoopConfig) -> Round:
        age_ms = float(next(ages))
        return Round(age_p50_ms=age_ms, age_p99_ms=age_ms, loop_p50_ms=0.5)

    assert choose(BASE, make_steps(FOUR, BASE), PERIOD_MS, run, lambda _steps=1: None).loop == BASE


def test_one_round_may_be_disturbed_but_not_two() -> None:
    calm, faster, unsure = (
        rounds(1.0, 1.1, 1.0, 1.1),
        (True, "kept: 20% less at p50"),
        "no: not faster in every round but one",
    )
    assert judge(rounds(1.0, 1.0, 1.0, 1.0), rounds(0.8, 0.8, 0.8, 0.8), 0.1) == faster
    assert judge(rounds(1.0, 1.0, 1.0, 0.7), rounds(0.8, 0.8, 0.8, 0.8), 0.1) == faster
    assert judge(rounds(1.0, 1.0, 1.0, 1.0), rounds(0.8, 0.8, 0.8, 9.9), 0.1) == faster
    assert judge(calm, rounds(0.8, 0.8, 1.1, 9.9), 0.1) == (False, unsure)
    assert judge(rounds(1.0, 1.0, 0.7, 0.7), rounds(0.8, 0.8, 0.8, 0.8), 0.1) == (False, unsure)


def test_rounds_that_differ_by_chance_alone_look_faster_once_in_77_times() -> None:
    orders = list(combinations(range(2 * ROUNDS), ROUNDS))
    lucky = 0
    for places in orders:
        others = [place for place in range(2 * ROUNDS) if place not in places]
        lucky += judge(rounds(*(1.0 + p for p in others)), rounds(*(1.0 + p for p in places)), 0.0)[0]
    assert lucky / len(orders) == pytest.approx(1 / 77)


def test_what_is_given_up_early_would_not_have_been_kept() -> None:
    orders = combinations(range(8), 4)
    for places in orders:
        others = [place for place in range(8) if place not in places]
        without, within = rounds(*(1.0 + p for p in others)), rounds(*(1.0 + p for p in places))
        if judge(without, within, 0.0)[0]:
            assert not any(is_lost(without[:n], within[:n]) for n in range(4))


def test_a_better_median_is_no_use_where_the_99th_percentile_is_worse() -> None:
    kept, verdict = judge(rounds(1.0, 1.1), rounds(0.8, 0.9, p99_ms=2.5), 0.1)
    assert (kept, verdict) == (False, "no: 19% less at p50, but more at p99")


@pytest.mark.parametrize("make", [lambda: Board({}), lambda: Board({("cpu", 3): 0.5})])
def test_progress_comes_to_one_for_each_step(make: Callable[[], Board]) -> None:
    told: list[float] = []

    def advance(steps: float = 1) -> None:
        told.append(steps)

    steps = make_steps(FOUR, BASE)
    choose(BASE, steps, PERIOD_MS, make().run, advance)
    assert sum(told) == pytest.approx(len(steps))
