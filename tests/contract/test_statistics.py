"""Counting, quantiles, and drift that small samples alone do not fake."""

import numpy as np
import pytest

from edge.statistics import AGE_EDGES_MS, LATENCY_EDGES_US, SCORE_EDGES, count, psi, quantile, softmax_top1


@pytest.mark.parametrize("edges", [SCORE_EDGES, LATENCY_EDGES_US, AGE_EDGES_MS])
def test_edges_ascend_and_fit_a_message(edges: tuple[float, ...]) -> None:
    assert list(edges) == sorted(set(edges))
    assert len(edges) + 1 <= 256


def test_a_value_on_an_edge_counts_above_it() -> None:
    assert count([0.0, 0.1, 0.15, 0.999, 1.0, -5.0], SCORE_EDGES).tolist() == [2, 2, *[0] * 15, 2]


def test_no_value_is_lost_and_nan_counts_lowest() -> None:
    counts = count([np.nan, np.inf, -np.inf, 0.5], SCORE_EDGES)
    assert counts.sum() == 4
    assert (counts[0], counts[-1]) == (2, 1)


def plain_psi(p: np.ndarray, q: np.ndarray) -> float:
    used = (p + q) > 0
    p, q = (p[used] + 0.5) / (p[used] + 0.5).sum(), (q[used] + 0.5) / (q[used] + 0.5).sum()
    return float(((p - q) * np.log(p / q)).sum())


def test_samples_of_50_of_one_distribution_rarely_look_like_drift() -> None:
    rng = np.random.default_rng(7)
    pairs = [(count(rng.beta(50, 0.5, 50), SCORE_EDGES), count(rng.beta(50, 0.5, 50), SCORE_EDGES)) for _ in range(400)]
    plain = np.mean([plain_psi(p, q) > 0.2 for p, q in pairs])
    debiased = np.mean([psi(p, q) > 0.2 for p, q in pairs])
    assert plain > 0.4, "without the correction about half of the pairs look like drift"
    assert debiased < 0.1


def test_samples_of_500_never_look_like_drift_unless_they_drift() -> None:
    rng = np.random.default_rng(8)
    baseline = count(rng.beta(20, 1, 2000), SCORE_EDGES)
    same = [psi(baseline, count(rng.beta(20, 1, 500), SCORE_EDGES)) for _ in range(200)]
    shifted = [psi(baseline, count(rng.beta(20, 2, 500), SCORE_EDGES)) for _ in range(200)]
    assert max(same) < 0.1
    assert min(shifted) > 0.5


def test_drift_into_bins_that_the_baseline_never_saw_is_finite_and_large() -> None:
    sure, unsure = count([0.9999] * 1000, SCORE_EDGES), count([0.9999] * 350 + [0.6] * 150, SCORE_EDGES)
    assert 0.5 < psi(sure, unsure) < 10


def test_an_empty_histogram_shows_no_drift_and_foreign_bins_are_an_error() -> None:
    assert psi(np.zeros(18, int), count([0.5], SCORE_EDGES)) == 0.0
    with pytest.raises(ValueError, match="different bins"):
        psi([1, 2], [1, 2, 3])


def test_quantiles_are_within_one_bin_of_the_truth() -> None:
    values = np.random.default_rng(3).lognormal(7, 1, 5000)
    counts = count(values, LATENCY_EDGES_US)
    for q in (0.05, 0.5, 0.95, 0.99):
        assert quantile(counts, LATENCY_EDGES_US, q) == pytest.approx(np.quantile(values, q), rel=0.07)


def test_quantiles_at_the_rims() -> None:
    assert np.isnan(quantile(np.zeros(len(SCORE_EDGES) + 1, int), SCORE_EDGES, 0.5))
    assert quantile(count([1e9], AGE_EDGES_MS), AGE_EDGES_MS, 0.5) == AGE_EDGES_MS[-1]
    assert quantile(count([0.35], SCORE_EDGES), SCORE_EDGES, 0.0) == 0.3
    assert quantile(count([0.35], SCORE_EDGES), SCORE_EDGES, 1.0) == 0.4


def test_probabilities_are_used_as_they_are_and_logits_go_through_a_softmax() -> None:
    assert softmax_top1(np.array([[0.1, 0.7, 0.2]], np.float32)) == (1, pytest.approx(0.7))
    assert softmax_top1(np.array([1.0, 3.0], np.float32)) == (1, pytest.approx(1 / (1 + np.exp(-2))))
    assert softmax_top1(np.array([1000.0, -1000.0], np.float32)) == (0, 1.0)


def test_an_int8_softmax_still_counts_as_probabilities() -> None:
    exact = np.array([0.9, 0.03, 0.03, 0.02, 0.02], np.float32)
    rounded = np.rint(exact * 256) / 256
    assert softmax_top1(rounded.astype(np.float32))[1] == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_output_that_is_not_a_number_scores_nothing(bad: float) -> None:
    assert softmax_top1(np.array([0.2, bad, 0.3], np.float32))[1] == 0.0
