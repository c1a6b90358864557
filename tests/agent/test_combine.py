"""`any`, `all` and `priority`, of the real deciders."""

from pathlib import Path

import numpy as np
import pytest

from edge.errors import BadConfigError
from edge.manifest import Head
from edge_agent.deciders import NOTHING, TOP1, Decider, Inputs, Reading, make_decider

LABELS = ("red", "green", "off")
GREEN = np.array([0.05, 0.9, 0.05], np.float32)
RED = np.array([0.9, 0.05, 0.05], np.float32)
STOP, GO = 0, 1
CLASSIFY = {"kind": "classify", "go": ["green"], "hold_s": 0.0}
LIDAR = {"kind": "obstacle", "sensor": "lidar", "hold_s": 0.0}
DOOR = {"kind": "limits", "sensor": "door", "low": 0.5}
ZONES = {"kind": "zones", "zones": [{"corners": [[0, 0], [1, 0], [1, 1]], "labels": ["red"]}]}


def combined(
    kind: str, *parts: dict[str, object], actions: tuple[str, ...] = ("stop", "go"), **options: object
) -> Decider:
    return make_decider(kind, {"of": list(parts), **options}, Path(), LABELS, actions)


def step(decider: Decider, output: np.ndarray, distance_m: float | None, now_s: float = 1.0) -> int:
    scan = np.stack([np.arange(360), np.full(360, distance_m or 0.0)], axis=1).astype(np.float32)
    readings = {} if distance_m is None else {"lidar": Reading(scan, round(now_s * 1e9))}
    return decider.decide(Inputs(output, readings, now_s)).action


@pytest.mark.parametrize(
    ("output", "distance_m", "action"),
    [(GREEN, 3.0, GO), (GREEN, 0.2, STOP), (RED, 3.0, STOP), (RED, 0.2, STOP), (GREEN, None, STOP)],
)
@pytest.mark.parametrize("kind", ["priority", "all"])
def test_an_obstacle_beats_green_and_so_does_a_lidar_that_says_nothing(
    kind: str, output: np.ndarray, distance_m: float | None, action: int
) -> None:
    assert step(combined(kind, LIDAR, CLASSIFY), output, distance_m) == action


def test_any_obeys_the_first_part_that_does_not_stop() -> None:
    decider = combined("any", LIDAR, CLASSIFY)
    seen = [(RED, 0.2, 1.0), (RED, 3.0, 2.0), (GREEN, 0.2, 3.0)]
    assert [step(decider, output, m, t) for output, m, t in seen] == [STOP, GO, GO]


def test_all_stops_where_parts_want_different_things() -> None:
    left, right = CLASSIFY | {"go": {"green": "left"}}, CLASSIFY | {"go": {"green": "right"}}
    assert step(combined("all", left, right, actions=("stop", "left", "right")), GREEN, None) == STOP


def test_priority_passes_only_the_actions_it_is_told_to() -> None:
    slow = CLASSIFY | {"go": {"green": "slow"}}
    lidar = LIDAR | {"go": "go"}
    decider = combined("priority", slow, lidar, actions=("stop", "slow", "go"), passes=["go"])
    assert step(decider, GREEN, 3.0) == 1
    assert step(decider, RED, 3.0, 2.0) == STOP


def test_the_label_that_is_told_is_the_models_whoever_decided() -> None:
    decision = combined("priority", LIDAR, CLASSIFY).decide(Inputs(GREEN, {}, 0.0))
    assert (decision.action, decision.label, round(decision.score, 2)) == (STOP, 1, 0.9)
    assert combined("priority", LIDAR, CLASSIFY).floor == 0.8


@pytest.mark.parametrize(
    ("parts", "score_of"),
    [
        ((LIDAR, CLASSIFY), TOP1),
        ((CLASSIFY, LIDAR), TOP1),
        ((LIDAR, DOOR), NOTHING),
        ((ZONES, CLASSIFY), ""),
        ((CLASSIFY, ZONES), TOP1),
        ((LIDAR, {"kind": "any", "of": [DOOR, CLASSIFY]}), TOP1),
    ],
)
def test_a_score_is_known_as_the_models_own_where_no_part_before_it_may_tell_another(
    parts: tuple[dict[str, object], ...], score_of: str
) -> None:
    assert getattr(combined("priority", *parts), "score_of", "") == score_of


def test_every_part_sees_every_frame_so_that_holds_have_no_gaps() -> None:
    decider = combined("priority", LIDAR, CLASSIFY | {"hold_s": 0.3, "max_gap_s": 0.2})
    seen = [(0.2, 0.1), (0.2, 0.25), (3.0, 0.41)]  # green all the while, at first behind an obstacle
    assert [step(decider, GREEN, m, t) for m, t in seen] == [STOP, STOP, GO]


def test_combinations_may_be_nested() -> None:
    inner = {"kind": "any", "of": [CLASSIFY, CLASSIFY | {"go": ["off"]}]}
    decider = combined("priority", LIDAR, inner)
    assert [step(decider, GREEN, m, t) for m, t in ((3.0, 1.0), (0.2, 2.0))] == [GO, STOP]


def test_a_detectors_floor_is_the_bundles_also_within_a_combination() -> None:
    decider = combined("all", ZONES, LIDAR)
    boxes = np.zeros((1, 4 + len(LABELS), 2), np.float32)
    decider.decide(Inputs(boxes, {}, 1.0, head=Head(format="yolo", floor=0.7)))
    assert decider.floor == 0.7


def test_the_safe_action_cannot_be_passed_on() -> None:
    with pytest.raises(BadConfigError, match="cannot pass"):
        combined("priority", LIDAR, CLASSIFY, passes=["stop"])
