"""Bounds of a paired drop: never too low more often than promised, whatever the truth is."""

from math import exp

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.paired import lower_bound, samples_needed, score_bound, upper_bound


def coverage(samples: int, lost: float, gained: float) -> float:
    """Exact chance that the upper bound holds the true drop: every outcome is looked at, none is drawn."""
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, samples + 1)))])
    covered = 0.0
    for b in range(samples + 1):
        for c in range(samples + 1 - b):
            rest = samples - b - c
            ways = logs[samples] - logs[b] - logs[c] - logs[rest]
            chance = ways + b * np.log(lost) + c * np.log(max(gained, 1e-12)) + rest * np.log(1 - lost - gained)
            if chance > -14 and upper_bound(b, c, samples) >= lost - gained:
                covered += exp(chance)
    return covered


@pytest.mark.parametrize(
    ("samples", "lost", "gained"), [(60, 0.1, 0.05), (100, 0.03, 0.005), (100, 0.031, 0.0), (200, 0.014, 0.0)]
)
def test_at_least_95_of_100_bounds_hold_the_true_drop(samples: int, lost: float, gained: float) -> None:
    assert coverage(samples, lost, gained) >= 0.95


def test_no_difference_in_n_samples_leaves_the_rule_of_three() -> None:
    for samples in (60, 300, 1000, 10_000):
        assert upper_bound(0, 0, samples) == pytest.approx(3 / samples, rel=0.03)


def test_pairs_tell_more_than_two_separate_samples() -> None:
    width = upper_bound(15, 5, 1000) - 0.01
    independent = 1.645 * np.sqrt(0.8 * 0.2 / 1000 + 0.79 * 0.21 / 1000)
    assert width < independent / 3


def test_the_exact_bound_and_the_score_bound_meet_where_many_pairs_differ() -> None:
    exact = upper_bound(80, 70, 10_000)
    assert exact == pytest.approx(score_bound(80, 70, 10_000), rel=0.01)
    assert upper_bound(81, 70, 10_000) == score_bound(81, 70, 10_000) > exact


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 80), st.data())
def test_bounds_lie_around_the_drop_and_mirror_each_other(samples: int, data: st.DataObject) -> None:
    lost = data.draw(st.integers(0, samples))
    gained = data.draw(st.integers(0, samples - lost))
    low, high = lower_bound(lost, gained, samples), upper_bound(lost, gained, samples)
    assert -1 <= low <= (lost - gained) / samples <= high <= 1
    assert low == -upper_bound(gained, lost, samples)


def test_the_samples_needed_are_enough_and_fewer_are_not() -> None:
    for lost, gained in ((0, 0), (2, 0), (5, 2)):
        count = samples_needed(lost, gained, 500, 0.012)
        assert count is not None
        if lost == 0:
            assert count == 250
        scaled = score_bound(lost * count / 500, gained * count / 500, count)
        assert scaled <= 0.012
    assert samples_needed(5, 0, 500, 0.01) is None
    assert samples_needed(0, 0, 500, 0.0) is None
