"""From the engine whose tables are rich (ncnn) to the runtimes that we ship: a factor, and how far it can be off. Pure.

ncnn's page has two dozen networks for each board; of LiteRT with one thread four to seven are published for a board, of
onnxruntime two for one, with all cores. So a network's price list comes from ncnn, and what is known of the runtime
scales it. On one board LiteRT is the same number of times slower or faster than its list whatever the network; from
board to board that number differs. Each step adds its own spread.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from typing import Literal

import numpy as np

from compiler.latency.anchors import Anchor, between_boards, by_board, litert_anchors, within_boards
from compiler.latency.prices import Bridge, Prices
from compiler.latency.spread import combine
from compiler.latency.tables import Network, Ratios, Table

Dtype = Literal["float32", "int8"]
THREADS_ALLOWANCE = 0.21
"""Figures with all cores against a list for one thread: LiteRT gains 1.2 times as much from threads as ncnn does.
Source: N. Tsukamoto, benchmarks: SSDLite MobileNetV2 with one and four threads, Raspberry Pi 3 and 4."""


@dataclass(frozen=True, slots=True)
class Published:
    """All that there is to bridge with; `prices` are for one thread, of boards of no target, too."""

    tables: Sequence[Table]
    ratios: Ratios
    networks: dict[str, Network]
    prices: Sequence[Prices]

    def prices_on(self, board: str, dtype: Dtype) -> Prices:
        """Price list of one board; every board that is fitted has one in float32, of its own or borrowed."""
        return next(prices for prices in self.prices if (prices.board, prices.dtype) == (board, dtype))


def bridges(published: Published) -> list[Bridge]:
    """One bridge for each target with a price list, runtime and dtype."""
    built = []
    for prices in published.prices:
        if prices.target and prices.dtype != "int8" and not prices.borrowed:
            built += [litert(published, prices, "float32"), litert(published, prices, "int8")]
            built += [onnxruntime_float(published, prices), onnxruntime_int8(published, prices)]
    return built


def litert(published: Published, prices: Prices, dtype: Dtype) -> Bridge:
    """LiteRT's figures with one thread against ncnn's list in that dtype. `prices`: the float list of the board."""
    listed = published.prices_on(prices.board, dtype)
    anchors = litert_anchors(published.tables, published.networks, published.prices)
    factor, spread, words = settle(anchors, listed, halves=prices.dtype == "float16")
    return Bridge(
        runtime="litert",
        dtype=dtype,
        target=prices.target,
        basis=listed.dtype,
        winograd=False,
        factor=round(factor, 4),
        spread=round(spread, 4),
        source=words,
    )


def settle(anchors: Sequence[Anchor], prices: Prices, *, halves: bool) -> tuple[float, float, str]:
    """(factor, spread in log, words): the board's own figures if there are any, else those of boards of its kind."""
    own = [anchor for anchor in anchors if anchor.board == prices.board and anchor.int8 == (prices.dtype == "int8")]
    if own:
        centre = float(np.median([anchor.ratio for anchor in own]))
        designs = len({anchor.design for anchor in own})
        words = f"{figures(len(own))} of LiteRT with 1 thread on that board"
        return exp(centre), within_boards(anchors) * sqrt(1 + 1 / designs), words
    kin = by_board(anchor for anchor in anchors if anchor.kind == (prices.dtype == "int8", halves))
    centre = float(np.mean(list(kin.values())))
    words = f"LiteRT with 1 thread on {figures(len(kin), 'other board')}"
    return exp(centre), between_boards(anchors) * sqrt(1 + 1 / len(kin)), words


def onnxruntime_float(published: Published, prices: Prices) -> Bridge:
    """Figures of onnxruntime against ncnn where there are any, else ncnn itself."""
    ratios = [log(one.ms / one.ncnn_ms) for one in published.ratios.ratio if one.engine_dtype == prices.dtype]
    apart = alike(published)
    return Bridge(
        runtime="onnxruntime",
        dtype="float32",
        target=prices.target,
        basis="float32",
        winograd=True,
        factor=round(exp(float(np.median(ratios))), 4) if ratios else 1.0,
        spread=round(combine(apart, THREADS_ALLOWANCE) if ratios else apart, 4),
        source=f"by analogy with ncnn, {figures(len(ratios))} of onnxruntime beside it",
    )


def onnxruntime_int8(published: Published, prices: Prices) -> Bridge:
    """Nothing is published: between ncnn in int8 and LiteRT in int8 on such cores, and unsure which is nearer.

    Not ncnn's int8 price list: onnxruntime's other operators cost in int8 what they cost in float.
    """
    ours = float(np.median([log(int8 / float_) for float_, int8 in ncnn_pairs(published, prices)]))
    gain = float(np.median(litert_gains(published, halves=prices.dtype == "float16")))
    theirs = log(litert(published, prices, "float32").factor) + gain
    return Bridge(
        runtime="onnxruntime",
        dtype="int8",
        target=prices.target,
        basis="float32",
        winograd=True,
        factor=round(exp((ours + theirs) / 2), 4),
        spread=round(combine(abs(ours - theirs) / 2, onnxruntime_float(published, prices).spread), 4),
        source=f"by analogy with ncnn's int8 (x {exp(ours):.2f}) and LiteRT's (x {exp(theirs):.2f}), none of its own",
    )


def litert_gains(published: Published, *, halves: bool) -> list[float]:
    """log(int8 / float32) of LiteRT, one thread, same board and network, on cores of one kind."""
    lists = [prices for prices in published.prices if (prices.dtype == "float16") == halves and prices.dtype != "int8"]
    boards = {prices.board for prices in lists}
    gains = []
    for table in published.tables:
        if table.engine == "xnnpack" and table.board in boards:
            runs = {run.dtype: run.ms for run in table.run}
            gains += [log(ms / runs["float32"][name]) for name, ms in runs.get("int8", {}).items()]
    return gains


def alike(published: Published) -> float:
    """How far, in log, an engine is from ncnn in the same arithmetic on one more board, by LiteRT in float32."""
    anchors = litert_anchors(published.tables, published.networks, published.prices)
    boards = by_board(anchor for anchor in anchors if anchor.kind == (False, False))
    return combine(float(np.mean(list(boards.values()))), between_boards(anchors) * sqrt(1 + 1 / len(boards)))


def figures(count: int, noun: str = "figure") -> str:
    """A count in words."""
    return f"no {noun}" if count == 0 else f"1 {noun}" if count == 1 else f"{count} {noun}s"


def ncnn_pairs(published: Published, prices: Prices) -> list[tuple[float, float]]:
    """(float, int8) ms of the same network with one thread on the board of `prices`."""
    runs = {
        run.dtype: run.ms
        for table in published.tables
        for run in table.run
        if (table.engine, table.role, table.board, run.threads) == ("ncnn", "fit", prices.board, 1)
    }
    names = [name for name in runs["int8"] if not published.networks[name].postprocessing]
    return [(runs[prices.dtype][name], runs["int8"][name]) for name in names]
