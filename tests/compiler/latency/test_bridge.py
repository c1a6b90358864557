"""From ncnn's prices to our runtimes: a board's own figures first, and what differs from board to board is added."""

from math import exp, log, sqrt

import numpy as np
import pytest
from msgspec.structs import replace

from compiler.latency.anchors import Anchor, between_boards, by_board, within_boards
from compiler.latency.bridge import settle
from compiler.latency.prices import Prices, load_coefficients
from compiler.latency.spread import COVERAGE, combine, half_width, student
from compiler.latency.tables import load_networks, load_tables

PRICES: Prices = replace(load_coefficients().prices[0], board="board", dtype="float32")


def anchors(board: str, *ratios: float, int8: bool = False, halves: bool = False) -> list[Anchor]:
    return [Anchor(board, f"network{index}", int8, halves, log(ratio)) for index, ratio in enumerate(ratios)]


KIN = [*anchors("kin", 1.1, 1.0, 1.2), *anchors("other", 0.8, 0.8), *anchors("third", 0.9)]


def test_a_boards_own_figures_count_before_those_of_others() -> None:
    factor, spread, words = settle([*KIN, *anchors("board", 2.0, 2.1, 2.2)], PRICES, halves=False)
    assert factor == pytest.approx(2.1)
    assert spread < 0.2
    assert "on that board" in words


def test_without_own_figures_the_difference_between_boards_is_added() -> None:
    factor, spread, words = settle(KIN, PRICES, halves=False)
    assert factor == pytest.approx((1.1 * 0.8 * 0.9) ** (1 / 3))
    assert spread == pytest.approx(between_boards(KIN) * sqrt(4 / 3))
    assert "3 other boards" in words


def test_figures_of_another_arithmetic_say_nothing() -> None:
    others = anchors("board", 5.0, int8=True) + anchors("elsewhere", 5.0, halves=True)
    factor, _, words = settle(KIN + others, PRICES, halves=False)
    assert factor < 1.1
    assert "other boards" in words


def test_sizes_of_one_network_are_one_design() -> None:
    def spread(*networks: str) -> float:
        own = [Anchor("board", network, int8=False, halves=False, ratio=0.1) for network in networks]
        return settle([*KIN, *own], PRICES, halves=False)[1]

    assert spread("net_lite0", "net_lite3x") * sqrt(3 / 4) > spread("net_lite0", "other") * 0.99


def test_the_spread_within_boards_is_that_of_networks_about_their_boards_median() -> None:
    found = anchors("a", 1.0, exp(0.1), exp(-0.1)) + anchors("b", 7.0, 7 * exp(0.2), 7 * exp(-0.2))
    assert within_boards(found) == pytest.approx(student(COVERAGE, 4) * sqrt(0.1 / 4))
    assert list(by_board(found).values()) == pytest.approx([0, log(7)])


def test_the_interval_of_every_bridge_says_how_little_is_published() -> None:
    coefficients = load_coefficients()
    for bridge in coefficients.bridge:
        prices = coefficients.prices_for(bridge)
        assert prices.dtype == bridge.basis
        assert ("analogy with ncnn" in bridge.source) == (bridge.runtime == "onnxruntime")
        assert bridge.spread > (0.06 if "on that board" in bridge.source else 0.2)


def test_on_raspberry_pis_litert_is_predicted_within_a_quarter() -> None:
    coefficients = load_coefficients()
    for bridge in coefficients.bridge:
        if bridge.runtime == "litert" and bridge.target.startswith("raspberrypi"):
            whole = combine(coefficients.prices_for(bridge).spread, bridge.spread)
            assert half_width(whole) <= 0.255


def test_every_published_figure_of_litert_lies_in_the_interval_that_the_others_give() -> None:
    import latency_families
    import latency_fit

    kinds = latency_families.families(load_tables(), load_networks().network)
    checks = latency_fit.bridged_checks(latency_fit.all_published(kinds))
    assert sum(one.figures for one in checks) == 30
    assert np.average([one.covered for one in checks], weights=[one.figures for one in checks]) >= COVERAGE
