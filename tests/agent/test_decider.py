import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import BadConfigError
from edge_agent.deciders import SAFE
from edge_agent.deciders.classify import Classify, Hold

LABELS = ("red", "green", "off")
ACTIONS = ("stop", "go")
RED, GREEN = 0, 1
STOP, GO = 0, 1


def output(label: int, score: float) -> np.ndarray:
    rest = (1 - score) / 2
    return np.array([score if index == label else rest for index in range(3)], np.float32)


def classify(**options: object) -> Classify:
    return Classify(Classify.Options(**{"go": ("green",), "hold_s": 0.3} | options), LABELS, ACTIONS)


def drive(decider: Classify, seen: list[tuple[int, float, float]]) -> list[int]:
    return [decider.step(output(label, score), now_s).action for label, score, now_s in seen]


def test_green_goes_only_after_it_has_held() -> None:
    seen = [(GREEN, 0.9, 0.0), (GREEN, 0.9, 0.2), (GREEN, 0.9, 0.29), (GREEN, 0.9, 0.31), (GREEN, 0.9, 0.5)]
    assert drive(classify(), seen) == [STOP, STOP, STOP, GO, GO]


def test_red_stops_at_once() -> None:
    assert drive(classify(hold_s=0.0), [(GREEN, 0.9, 0.0), (RED, 0.9, 0.01)]) == [GO, STOP]


def test_any_break_starts_the_hold_again() -> None:
    seen = [(GREEN, 0.9, 0.0), (GREEN, 0.9, 0.2), (RED, 0.9, 0.25), (GREEN, 0.9, 0.3), (GREEN, 0.9, 0.55)]
    assert drive(classify(), [*seen, (GREEN, 0.9, 0.65)]) == [STOP] * 5 + [GO]


def test_an_unsure_green_is_no_green() -> None:
    assert drive(classify(floor=0.8, hold_s=0.0), [(GREEN, 0.79, 0.0), (GREEN, 0.8, 0.1)]) == [STOP, GO]


def test_a_held_green_is_kept_down_to_the_lower_floor() -> None:
    decider = classify(floor=0.8, floor_release=0.6, hold_s=0.1)
    seen = [(GREEN, 0.9, 0.0), (GREEN, 0.9, 0.1), (GREEN, 0.65, 0.2), (GREEN, 0.55, 0.3), (GREEN, 0.65, 0.4)]
    assert drive(decider, seen) == [STOP, GO, GO, STOP, STOP]


def test_the_lower_floor_does_not_help_before_green_is_held() -> None:
    decider = classify(floor=0.8, floor_release=0.6, hold_s=0.2)
    assert drive(decider, [(GREEN, 0.9, 0.0), (GREEN, 0.7, 0.1), (GREEN, 0.9, 0.25)]) == [STOP, STOP, STOP]


def test_another_go_label_does_not_inherit_the_hold_or_the_lower_floor() -> None:
    options = Classify.Options(go={"red": "left", "green": "right"}, floor=0.8, floor_release=0.5, hold_s=0.1)
    decider = Classify(options, LABELS, ("stop", "left", "right"))
    seen = [(RED, 0.9, 0.0), (RED, 0.9, 0.1), (GREEN, 0.6, 0.2), (GREEN, 0.9, 0.3), (GREEN, 0.9, 0.4)]
    assert drive(decider, seen) == [0, 1, 0, 0, 2]


def test_a_gap_between_frames_is_a_break() -> None:
    assert drive(classify(max_gap_s=0.5), [(GREEN, 0.9, 0.0), (GREEN, 0.9, 0.6), (GREEN, 0.9, 0.95)]) == [
        STOP, STOP, GO,
    ]  # fmt: skip


def test_time_that_runs_backwards_is_a_break() -> None:
    assert drive(classify(), [(GREEN, 0.9, 10.0), (GREEN, 0.9, 10.2), (GREEN, 0.9, 3.0), (GREEN, 0.9, 3.1)]) == [0] * 4


def test_nan_stops() -> None:
    decider = classify(hold_s=0.0, floor=0.0)
    broken = np.array([0.0, math.nan, 0.0], np.float32)
    assert decider.step(output(GREEN, 0.9), 0.0).action == GO
    assert Hold(floor=0.5, release=0.5, hold_s=0.0).step(1, math.nan, 0.0) is False
    assert classify(hold_s=0.0).step(broken, 0.1).action == STOP


def test_a_decision_says_what_the_model_saw_even_when_it_stops() -> None:
    decision = classify().step(output(RED, 0.7), 0.0)
    assert (decision.action, decision.label, round(decision.score, 3)) == (SAFE, RED, 0.7)


def test_logits_are_understood_too() -> None:
    decision = classify(hold_s=0.0).step(np.array([[0.0, 9.0, 0.0]], np.float32), 0.0)
    assert decision.action == GO
    assert decision.score > 0.99


@given(
    frames=st.lists(
        st.tuples(st.sampled_from([RED, GREEN, None]), st.floats(0, 1), st.floats(0.01, 0.4)), min_size=1, max_size=60
    ),
    hold_s=st.floats(0, 1),
)
def test_it_never_goes_unless_green_was_sure_at_first_and_unbroken_for_the_hold_time(
    frames: list[tuple[int | None, float, float]], hold_s: float
) -> None:
    hold, now_s, since_s = Hold(floor=0.8, release=0.6, hold_s=hold_s), 0.0, None
    for label, score, step_s in frames:
        now_s += step_s
        went = hold.step(GREEN if label == GREEN else None, score, now_s)
        if label != GREEN or score < 0.6:
            since_s = None
        elif since_s is None and score >= 0.8:
            since_s = now_s
        if went:
            assert since_s is not None
            assert now_s - since_s >= hold_s - 1e-9


@pytest.mark.parametrize(
    ("options", "actions", "remedy"),
    [
        ({"go": ("gren",)}, ACTIONS, "did you mean 'green'"),
        ({"go": {"green": "goo"}}, ACTIONS, "did you mean 'go'"),
        ({"go": ("green",)}, ("stop", "slow", "go"), "label: action"),
        ({"go": ("green",), "floor": 0.5, "floor_release": 0.6}, ACTIONS, "lower"),
    ],
)
def test_options_that_do_not_fit_the_model_are_explained(
    options: dict[str, object], actions: tuple[str, ...], remedy: str
) -> None:
    with pytest.raises(BadConfigError) as caught:
        Classify(Classify.Options(**options), LABELS, actions)
    assert remedy in caught.value.remedy
