"""Prices are never negative, intervals come from what was left out, and what is stored is what was fitted."""

from math import exp, log

import numpy as np
import pytest

from compiler.latency.fit import COVERAGE, check, fit, half_width, left_out, solve, spread_of
from compiler.latency.prices import load_coefficients
from compiler.latency.tables import load_networks, load_tables


def test_the_solution_satisfies_the_optimality_conditions() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        a, b = rng.normal(size=(12, 6)), rng.normal(size=12)
        x = solve(a, b)
        gradient = a.T @ (b - a @ x)
        assert (x >= 0).all()
        assert gradient.max() <= 1e-8  # no unknown would better the fit by growing
        assert np.abs(gradient[x > 0]).max(initial=0) <= 1e-8


def test_true_prices_are_found_again() -> None:
    rng = np.random.default_rng(2)
    rows, prices = rng.uniform(1, 100, (20, 5)), np.array([0.2, 0, 1.5, 0.01, 3])
    assert fit(rows, rows @ prices) == pytest.approx(prices, abs=1e-9)
    assert np.abs(left_out(rows, rows @ prices)).max() < 1e-9


def test_the_spread_holds_the_share_it_is_made_for() -> None:
    assert spread_of(np.array([0.1, -0.4, 0.2, -0.3, 0.5, 0.6, -0.7, 0.8, 0.9])) == pytest.approx(0.8)
    assert spread_of(np.array([0.1, -0.4])) == pytest.approx(0.4)  # too few to leave one out


def test_intervals_cover_noisy_networks_that_were_never_seen() -> None:
    rng = np.random.default_rng(3)
    rows = rng.uniform(1, 100, (40, 4))
    times_ms = rows @ np.array([0.2, 0.5, 1.5, 3]) * np.exp(rng.normal(0, 0.1, 40))
    checked = check(rows, times_ms)
    assert checked.covered >= 0.7
    assert checked.half_width < 0.25


def test_half_width_is_that_of_the_printed_interval() -> None:
    spread = log(1.25)
    assert half_width(spread) == pytest.approx((exp(spread) - exp(-spread)) / 2)


def test_stored_prices_are_those_that_the_tables_give() -> None:
    import latency_fit

    stored = {(p.target, p.threads, p.dtype): p for p in load_coefficients().prices}
    networks = load_networks().network
    for table in load_tables():
        for run in table.run:
            if table.engine == "ncnn" and run.threads == 1 and table.board.startswith("Raspberry Pi"):
                assert latency_fit.fit_run(table, run, networks) == stored[table.target, run.threads, run.dtype]


def test_scaled_by_one_network_four_of_five_others_lie_in_their_interval_on_boards_that_were_never_fitted() -> None:
    import latency_fit

    checks = latency_fit.scaled_checks(load_coefficients())
    assert len({one.board for one in checks}) == 4
    assert min(one.covered for one in checks) >= COVERAGE - 0.01


def test_a_doubled_spread_holds_for_networks_smaller_than_all_that_were_fitted() -> None:
    import latency_fit

    for one in latency_fit.smaller_checks():
        assert one.small >= 10
        assert one.covered_doubled >= 0.9


def test_on_the_boards_that_we_compile_for_four_of_five_networks_lie_in_their_interval() -> None:
    single = [p for p in load_coefficients().prices if p.threads == 1 and p.dtype != "int8" and p.target != "rk3588"]
    assert {p.target for p in single} == {"raspberrypi3", "raspberrypi4", "raspberrypi5", "jetson-orin"}
    for prices in single:
        assert prices.networks >= 20
        assert prices.covered >= COVERAGE
        assert prices.half_width <= 0.25
