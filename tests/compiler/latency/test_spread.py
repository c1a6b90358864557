"""Intervals come from networks that were left out, and hold the share of them that is promised."""

from math import exp, log, sqrt

import numpy as np
import pytest

from compiler.latency.prices import load_coefficients
from compiler.latency.spread import COVERAGE, check, half_width, spread_of, spreads_of, student


def test_the_spread_holds_the_share_it_is_made_for() -> None:
    errors = np.linspace(-0.9, 1.0, 20)
    assert spread_of(errors) == pytest.approx(np.sort(np.abs(errors))[17])  # 18 of 20: 85 % of 21


def test_few_networks_are_given_the_interval_of_student() -> None:
    assert student(0.8, 4) == pytest.approx(1.533, abs=1e-3)
    assert student(0.8, 5) == pytest.approx(1.476, abs=1e-3)
    assert spread_of(np.array([0.1, -0.1, 0.1, -0.1, 0.2])) == pytest.approx(1.533 * sqrt(0.08 / 5), abs=1e-3)


def test_what_is_not_published_does_not_count() -> None:
    row = np.linspace(-1, 1, 21)
    errors = np.stack([row, np.where(row > 0.95, np.nan, row)])
    assert spreads_of(errors)[1] == spread_of(row[:-1])


def test_intervals_cover_noisy_networks_that_were_never_seen() -> None:
    rng = np.random.default_rng(3)
    rows = np.exp(rng.normal(1, 1.5, (24, 4)))
    logs = np.log(rows @ [0.2, 0.5, 1.5, 3]) + rng.normal(0, 0.1, (3, 24))
    checks = check(rows, logs, np.zeros(4))
    assert np.mean([one.covered for one in checks]) >= COVERAGE
    assert max(one.half_width for one in checks) < 0.25


def test_half_width_is_that_of_the_printed_interval() -> None:
    spread = log(1.25)
    assert half_width(spread) == pytest.approx((exp(spread) - exp(-spread)) / 2)


def test_on_the_boards_that_we_compile_for_four_of_five_networks_lie_in_their_interval() -> None:
    single = [p for p in load_coefficients().prices if p.threads == 1 and p.target != "rk3588"]
    assert {p.target for p in single} == {"raspberrypi3", "raspberrypi4", "raspberrypi5", "jetson-orin"}
    for prices in single:
        assert prices.networks >= (5 if prices.dtype == "int8" else 20)
        assert prices.covered >= COVERAGE
        assert prices.half_width <= 0.25


def test_scaled_by_one_network_four_of_five_others_lie_in_their_interval_on_boards_that_were_never_fitted() -> None:
    import latency_fit

    checks = latency_fit.scaled_checks(load_coefficients())
    assert len({one.board for one in checks}) == 4
    assert min(one.covered for one in checks) >= COVERAGE


def test_a_doubled_spread_holds_for_networks_smaller_than_all_that_were_fitted() -> None:
    import latency_families
    import latency_fit

    from compiler.latency.tables import load_networks, load_tables

    checks = list(latency_fit.smaller_checks(latency_families.families(load_tables(), load_networks().network)))
    assert len(checks) == 5
    for one in checks:
        assert one.small >= 10
        assert one.covered_doubled >= 0.9
