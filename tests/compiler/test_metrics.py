"""Each metric on values small enough to check by hand."""

from math import inf

import numpy as np
import pytest

from compiler.compare import bootstrap, compare, rule_of_three
from compiler.metrics import METRICS, correlation, metric_for, sqnr_db
from compiler.metrics.auc import area
from compiler.metrics.f1 import F1, alarm_rates
from compiler.yardstick import Run, Yardstick, best_threshold, fit, value_of
from edge.errors import BadArgumentError, BadDataError, BadModelError

TRUTH = np.array([0, 0, 1, 1])


def column(*numbers: float) -> np.ndarray:
    return np.array(numbers, np.float32)[:, None]


def test_auc_is_the_share_of_pairs_in_the_right_order_and_ties_count_half() -> None:
    assert area(np.array([0.1, 0.4, 0.35, 0.8]), TRUTH) == 0.75
    assert area(np.array([0.1, 0.4, 0.4, 0.8]), TRUTH) == 0.875
    assert area(np.zeros(4), TRUTH) == 0.5
    assert np.isnan(area(np.zeros(4), np.zeros(4)))


def test_auc_of_two_classes_reads_the_second_score() -> None:
    before = np.array([[2, 1], [1, 2], [0, 3], [0, 5]], np.float32)
    assert METRICS["auc"].compare(before, before[:, ::-1], TRUTH) == (1.0, 0.0, 1.0)


def test_f1_and_the_alarm_rates_at_one_threshold() -> None:
    outcome = F1(0.5).compare(column(0.1, 0.6, 0.7, 0.9), column(0.1, 0.2, 0.3, 0.9), TRUTH)
    assert outcome.reference == pytest.approx(0.8)  # 2 of 3 alarms are real, none is missed
    assert outcome.compiled == pytest.approx(2 / 3)
    assert alarm_rates(np.array([0, 1, 1, 0]), TRUTH) == (0.5, 0.5)


def test_top5_counts_the_five_highest() -> None:
    values = np.tile(np.arange(8, dtype=np.float32), (2, 1))
    hits = METRICS["top5"].hits(values, np.array([3, 2]))
    assert hits is not None
    assert hits.tolist() == [True, False]


def test_mae_drops_by_the_error_added_as_a_share_of_always_saying_the_median() -> None:
    truth = column(0, 10, 20)
    outcome = METRICS["mae"].compare(column(1, 11, 21), column(2, 12, 22), truth)
    assert (outcome.reference, outcome.compiled) == (1.0, 2.0)
    assert outcome.drop == pytest.approx(1 / (20 / 3))


def test_correlation_is_with_the_float_model_and_needs_no_truth() -> None:
    before = column(1, 2, 3, 4)
    assert METRICS["correlation"].compare(before, 3 * before + 1, TRUTH) == pytest.approx((1, 1, 0))
    assert correlation(before, -before) == pytest.approx(-1)
    assert correlation(before, np.full_like(before, 2)) == 0


def test_sqnr_in_decibels() -> None:
    assert sqnr_db(column(10, 0), column(9, 0)) == pytest.approx(20)
    assert sqnr_db(column(1), column(1)) == inf


@pytest.mark.parametrize(
    ("task", "metric", "problem"),
    [
        ("regress", "accuracy", "no metric 'accuracy'"),
        ("classify", "top5", "always right"),
        ("classify", "auc", "two classes"),
    ],
)
def test_a_metric_that_says_nothing_of_the_task_is_refused(task: str, metric: str, problem: str) -> None:
    values = np.eye(4, dtype=np.float32)
    with pytest.raises(BadArgumentError, match=problem):
        fit(task, metric, values, np.arange(4))  # type: ignore[arg-type]


def test_one_class_has_no_auc_but_a_correlation() -> None:
    with pytest.raises(BadDataError, match="--metric correlation"):
        fit("anomaly", None, column(1, 2, 3), np.zeros(3, int))
    assert fit("anomaly", "correlation", column(1, 2, 3), np.zeros(3, int)).metric.name == "correlation"


def test_the_threshold_separates_best_and_lies_between_two_scores() -> None:
    assert best_threshold(np.array([1, 2, 8, 9], np.float32), TRUTH) == 5
    assert best_threshold(np.array([1, 6, 5, 9], np.float32), TRUTH) in {3.0, 3.5, 7.5}


def test_an_autoencoders_score_is_the_mean_squared_error_and_a_score_is_itself() -> None:
    x = np.array([[1, 2, 3]], np.float32)
    assert value_of("anomaly", x, np.array([1, 2, 6], np.float32)).tolist() == [3.0]
    assert value_of("anomaly", x, np.array([7], np.float32)).tolist() == [7.0]
    with pytest.raises(BadModelError, match="rebuilds its input of 3 numbers; this one gives 2"):
        value_of("anomaly", x, np.zeros(2, np.float32))


def test_a_bootstrap_never_promises_less_than_what_was_never_seen() -> None:
    values = column(*range(100))
    truth = (np.arange(100) >= 80).astype(int)
    same = Run(values, values)
    quality = compare(same, same, truth, fit("anomaly", None, values, truth)).quality
    assert quality.drop == 0
    assert quality.upper95 == pytest.approx(rule_of_three(20))


def test_the_bootstrap_bound_of_an_auc_covers_the_truth_about_as_often_as_it_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("compiler.compare.RESAMPLES", 250)
    rng = np.random.default_rng(5)
    yardstick = Yardstick("anomaly", metric_for("anomaly", None))

    def draw(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        truth = np.arange(count) % 2
        clean = truth + rng.normal(0, 0.8, count)
        noisy = clean + rng.normal(0, 0.4, count)
        return clean.astype(np.float32)[:, None], noisy.astype(np.float32)[:, None], truth

    true_drop = yardstick.metric.compare(*draw(100_000)).drop
    covered = sum(bootstrap(*draw(120), yardstick)[2] >= true_drop for _ in range(60))
    assert covered >= 53  # 57 are expected; fewer than 53 of 60 happen once in 50 at 95 %


def test_regressions_agree_within_a_tenth_of_the_spread() -> None:
    truth = column(*range(10))
    yardstick = fit("regress", None, truth, truth)
    off = truth + np.where(np.arange(10) < 3, 0.5, 0.1).astype(np.float32)[:, None]
    assert yardstick.agreement(truth, off) == 0.7
