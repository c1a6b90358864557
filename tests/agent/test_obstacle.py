"""The lidar decider, on hand-made scans and on a recording of a real lidar."""

import gzip
import math
from pathlib import Path

import numpy as np
import pytest

from edge.errors import BadConfigError
from edge_agent.deciders import Inputs, Reading
from edge_agent.deciders.obstacle import Obstacle, Way

RECORDING = Path(__file__).parents[2] / ".." / "shared" / "data" / "lidar" / "exp1.dat.gz"
ACTIONS = ("stop", "go")
STOP, GO = 0, 1
OUTPUT = np.zeros(3, np.float32)


def obstacle(**options: object) -> Obstacle:
    return Obstacle(Obstacle.Options(**{"sensor": "lidar", "hold_s": 0.0} | options), (), ACTIONS)


def around(distance_m: float, *, sector_m: float | None = None, sector: tuple[int, int] = (-20, 20)) -> np.ndarray:
    """A wall all around, at another distance within a sector of whole degrees."""
    angles = np.arange(360, dtype=np.float32)
    scan = np.stack([angles, np.full(360, distance_m, np.float32)], axis=1)
    if sector_m is not None:
        scan[[angle % 360 for angle in range(*sector)], 1] = sector_m
    return scan


def decide(decider: Obstacle, scan: np.ndarray | None, now_s: float) -> int:
    readings = {} if scan is None else {"lidar": Reading(scan, round(now_s * 1e9))}
    return decider.decide(Inputs(OUTPUT, readings, now_s)).action


def test_a_clear_way_is_driven_and_a_near_thing_in_the_sector_stops() -> None:
    decider = obstacle(stop_s=0.0)
    assert [decide(decider, around(3.0, sector_m=m), t) for t, m in enumerate((3.0, 0.4, 3.0))] == [GO, STOP, GO]


def test_what_stands_beside_the_sector_does_not_matter() -> None:
    assert decide(obstacle(width_deg=40), around(0.2, sector_m=3.0, sector=(-20, 21)), 0.0) == GO
    assert decide(obstacle(width_deg=44), around(0.2, sector_m=3.0, sector=(-20, 21)), 0.0) == STOP


def test_a_sector_may_lie_across_zero_degrees_and_anywhere_else() -> None:
    behind = around(3.0, sector_m=0.3, sector=(175, 186))
    assert decide(obstacle(towards_deg=0), behind, 0.0) == GO
    assert decide(obstacle(towards_deg=180), behind, 0.0) == STOP
    assert decide(obstacle(towards_deg=-180), behind, 0.0) == STOP


def test_it_goes_again_only_beyond_the_larger_distance_and_after_the_hold() -> None:
    decider = obstacle(stop_m=0.5, clear_m=0.8, hold_s=0.3, stop_s=0.0)
    seen = [(0.0, 0.9), (0.2, 0.9), (0.4, 0.9), (0.6, 0.6), (0.8, 0.45), (1.0, 0.6), (1.2, 0.9), (1.4, 0.9), (1.6, 0.9)]
    assert [decide(decider, around(m), t) for t, m in seen] == [STOP, STOP, GO, GO, STOP, STOP, STOP, STOP, GO]


def test_something_that_comes_fast_stops_before_it_is_near() -> None:
    decider = obstacle(stop_m=0.5, stop_s=1.0)
    approach = [(0.2 * i, 5.0 - 0.4 * i) for i in range(10)]  # 2 m/s: a second away at 2 m
    actions = [decide(decider, around(m), t) for t, m in approach]
    assert actions == [GO if 5.0 - 0.4 * i >= 2.0 - 1e-6 else STOP for i in range(10)]


def test_one_noisy_scan_does_not_brake_but_a_thing_that_steps_into_the_way_does() -> None:
    rng = np.random.default_rng(7)
    steady = obstacle(stop_s=1.0)
    noisy = [decide(steady, around(3.0 + float(rng.normal(0, 0.03))), 0.18 * i) for i in range(200)]
    assert noisy == [GO] * 200
    assert decide(steady, around(3.0, sector_m=1.0), 0.18 * 200) == STOP


def test_without_a_fresh_scan_it_stops_and_starts_the_hold_anew() -> None:
    decider = obstacle(hold_s=0.3)
    seen = [(0.0, 3.0), (0.4, 3.0), (0.6, None), (0.8, 3.0), (1.2, 3.0)]
    assert [decide(decider, None if m is None else around(m), t) for t, m in seen] == [STOP, GO, STOP, STOP, GO]


def test_the_same_scan_seen_again_changes_nothing() -> None:
    decider = obstacle(hold_s=0.3)
    reading = {"lidar": Reading(around(3.0), 10)}
    assert [decider.decide(Inputs(OUTPUT, reading, t)).action for t in (0.0, 1.0, 2.0)] == [STOP] * 3


def test_a_scan_that_sees_nothing_is_no_clear_way_unless_it_is_said_to_be() -> None:
    blind = around(0.0)
    assert decide(obstacle(), blind, 0.0) == STOP
    assert decide(obstacle(min_returns=0), blind, 0.0) == GO
    assert decide(obstacle(), np.zeros((0, 2), np.float32), 0.0) == STOP


def test_error_codes_of_a_few_millimetres_are_no_returns_and_specks_may_be_ignored() -> None:
    speck = around(3.0)
    speck[0, 1] = 0.007
    assert decide(obstacle(), speck, 0.0) == GO
    speck[0, 1] = 0.3
    assert decide(obstacle(), speck, 0.0) == STOP
    assert decide(obstacle(ignore_nearest=1), speck, 0.0) == GO


def test_nan_and_time_that_runs_backwards_stop() -> None:
    way = Way(stop_m=0.5, clear_m=0.6, stop_s=1.0, hold_s=0.3)
    way.step(3.0, 1.0)
    way.step(3.0, 2.0)
    assert way.clear
    way.step(math.nan, 2.1)
    assert not way.clear
    way.step(3.0, 0.5)
    way.step(3.0, 0.6)
    assert not way.clear


@pytest.mark.parametrize(
    ("options", "actions", "remedy"),
    [
        ({"stop_m": 1.0, "clear_m": 0.5}, ACTIONS, "larger"),
        ({}, ("stop", "slow", "go"), "go"),
        ({"go": "goo"}, ACTIONS, "did you mean 'go'"),
    ],
)
def test_options_that_do_not_fit_are_explained(
    options: dict[str, object], actions: tuple[str, ...], remedy: str
) -> None:
    with pytest.raises(BadConfigError) as caught:
        Obstacle(Obstacle.Options(sensor="lidar", **options), (), actions)
    assert remedy in caught.value.remedy


def recorded_scans() -> list[tuple[float, np.ndarray]]:
    """Seconds and scans of a Hokuyo URG-04LX: 682 rays over 240 degrees, millimetres, below 20 an error code."""
    if not RECORDING.is_file():
        pytest.skip("no recording of a real lidar here (shared/data/lidar)")
    angles = np.linspace(-120.0, 120.0, 682)
    scans = []
    with gzip.open(RECORDING, "rt") as lines:
        for line in lines:
            numbers = line.split()
            distances_m = np.array(numbers[-682:], np.float32) / 1000
            scan = np.stack([angles, np.where(distances_m < 0.02, 0, distances_m)], axis=1).astype(np.float32)
            scans.append((int(numbers[0]) / 1e6, scan))
    return scans


def test_on_a_real_recording_it_stops_for_everything_near_and_goes_on_a_free_floor() -> None:
    scans = recorded_scans()
    decider = obstacle(stop_m=0.6, stop_s=0.0, min_returns=10, ignore_nearest=2)
    actions = [decide(decider, scan, t) for t, scan in scans]
    for (_, scan), action in zip(scans, actions, strict=True):
        ahead = np.sort(scan[(abs(scan[:, 0]) <= 20) & (scan[:, 1] > 0.05), 1])
        if len(ahead) < 10 or ahead[2] < 0.6:
            assert action == STOP
        elif ahead[2] > 0.72:
            assert action == GO
    assert len(scans) == 756
    assert 50 < sum(actions) < 700
