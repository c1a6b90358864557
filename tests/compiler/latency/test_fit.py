"""What boards have in common fills in for what one of them does not tell, and what is stored is what was fitted."""

import numpy as np
import pytest

from compiler.latency.features import FEATURES, FLOAT_FEATURES, INT8_FEATURES, THREADS_FEATURES, feature_names
from compiler.latency.fit import borrowed_errors, fit_boards, fit_together, left_out, log_prior, mean_board
from compiler.latency.prices import load_coefficients
from compiler.latency.tables import load_networks, load_tables
from compiler.latency.work import Work

PRICES = np.array([0.2, 0.5, 1.5, 3.0])
PRIOR = np.log([1.0, 2.0, 8.0, 16.0])


def networks(rng: np.random.Generator, count: int = 24) -> np.ndarray:
    return np.exp(rng.normal(1, 1.5, (count, 4)))


def test_prices_that_the_times_tell_are_found_whatever_was_expected() -> None:
    rng = np.random.default_rng(2)
    rows = networks(rng, 200)
    prices = fit_boards(rows, np.log(rows @ PRICES)[None, :], PRIOR, apart=1.5)
    assert np.exp(prices[0]) == pytest.approx(PRICES, rel=0.01)
    assert np.abs(left_out(rows[:20], np.log(rows[:20] @ PRICES)[None, :], PRIOR)).max() < 0.1


def test_a_price_that_no_network_tells_relates_to_the_others_as_expected() -> None:
    rng = np.random.default_rng(3)
    rows = networks(rng)
    rows[:, 3] = 0
    expected = np.log(PRICES)
    prices = fit_boards(rows, np.log(7 * rows @ PRICES)[None, :], expected, apart=0.5)
    assert np.exp(prices[0]) == pytest.approx(7 * PRICES, rel=1e-3)


def test_a_board_learns_from_its_kin_what_its_own_networks_do_not_tell() -> None:
    rng = np.random.default_rng(4)
    rows = networks(rng)
    speeds = np.array([1.0, 2.0, 3.0, 5.0])
    logs = np.log(rows @ PRICES) + np.log(speeds)[:, None] + rng.normal(0, 0.05, (4, 24))
    logs[0, rows[:, 3] > np.median(rows[:, 3])] = np.nan
    alone = fit_together(rows, logs[:1], PRIOR)[0]
    together = fit_together(rows, logs, PRIOR)[0]
    assert np.abs(together - np.log(PRICES)).max() < np.abs(alone - np.log(PRICES)).max()


def test_the_speed_of_a_board_is_free() -> None:
    rng = np.random.default_rng(5)
    rows = networks(rng)
    logs = np.log(rows @ PRICES)[None, :]
    slow, fast = (fit_together(rows, logs + shift, PRIOR) for shift in (0.0, -6.0))
    assert slow - 6 == pytest.approx(fast, abs=1e-6)


def test_missing_networks_do_not_move_the_mean_board() -> None:
    rng = np.random.default_rng(6)
    logs = rng.normal(size=12) + np.array([[0.0], [4.0], [-2.0]])
    whole = mean_board(logs)
    logs[1, :5] = np.nan
    assert mean_board(logs) - mean_board(logs)[0] == pytest.approx(whole - whole[0], abs=1e-6)


def test_every_feature_has_a_meaning_and_an_expected_price() -> None:
    work = Work(pointwise=10**6, depthwise=10**6, dense=2 * 10**6, operators=3)
    assert FEATURES["pointwise"](work) == 1
    assert FEATURES["loaded"](work) == 6
    assert FEATURES["operators"](work) == 3
    for names, dtype, threads in ((FLOAT_FEATURES, "float32", 1), (THREADS_FEATURES, "float16", 4)):
        assert feature_names(dtype, threads) == names
        assert np.isfinite(log_prior(names, dtype, threads)).all()
    assert feature_names("int8", 4) == INT8_FEATURES


def test_stored_prices_are_those_that_the_tables_give() -> None:
    import latency_families

    stored = {(p.target, p.threads, p.dtype): p for p in load_coefficients().prices}
    kinds = latency_families.families(load_tables(), load_networks().network)
    again = [prices for kind in kinds for prices in kind.prices() if prices.target]
    assert len(again) == 20
    for prices in again:
        assert prices == stored[prices.target, prices.threads, prices.dtype]


def test_a_board_that_borrows_its_prices_has_only_its_speed() -> None:
    rng = np.random.default_rng(8)
    rows = networks(rng)
    logs = np.log(rows @ PRICES) + np.log([[1.0], [2.0], [9.0]])
    assert np.abs(borrowed_errors(rows, logs, PRIOR)).max() < 0.1
    logs[2] = np.log(9 * rows @ PRICES[::-1])  # nothing like its kin
    assert np.abs(borrowed_errors(rows, logs, PRIOR)[2]).max() > 0.5


def test_a_network_is_left_out_on_every_board_of_its_family() -> None:
    rng = np.random.default_rng(7)
    rows = networks(rng)
    logs = np.log(rows @ PRICES) + rng.normal(0, 0.05, (3, 24))
    odd = logs.copy()
    odd[:, 5] += 3  # one network is odd on all boards: no prediction of it may know
    errors = left_out(rows, odd, PRIOR) - left_out(rows, logs, PRIOR)
    assert errors[:, 5] == pytest.approx(3, abs=1e-6)
