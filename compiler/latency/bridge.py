"""From the engine whose tables are rich (ncnn) to the runtimes that we ship: a factor, and how far it can be off. Pure.

ncnn's page has two dozen networks for each board, LiteRT's kernels (XNNPACK) have four at most and onnxruntime has two
on one board. So a network's price list comes from ncnn, and what is known of the runtime scales it. Each step adds its
own spread: the printed interval of a bridged prediction is wide because little has been published, and says so.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Literal

import numpy as np

from compiler.latency.fit import Matrix
from compiler.latency.prices import Bridge, Prices
from compiler.latency.spread import combine
from compiler.latency.tables import Network, Ratios, Table


@dataclass(frozen=True, slots=True)
class Published:
    """All that there is to bridge with."""

    tables: Sequence[Table]
    ratios: Ratios
    networks: dict[str, Network]
    prices: Sequence[Prices]

    def prices_of(self, target: str, threads: int, *, int8: bool = False) -> Prices | None:
        """Price list of one board, or None."""
        same = (p for p in self.prices if (p.target, p.threads, p.dtype == "int8") == (target, threads, int8))
        return next(same, None)


@dataclass(frozen=True, slots=True)
class Anchor:
    """log(runtime / what the price list says) of one published figure."""

    target: str
    engine_dtype: str
    ratio: float


def bridges(published: Published) -> list[Bridge]:
    """One bridge for each target with a price list for one thread, runtime and dtype."""
    built = []
    for prices in published.prices:
        if prices.threads == 1 and prices.dtype != "int8":
            built += [litert_float(published, prices), litert_int8(published, prices)]
            built += [onnxruntime_float(published, prices), onnxruntime_int8(published, prices)]
    return built


def litert_float(published: Published, prices: Prices) -> Bridge:
    """XNNPACK's figures with all cores, corrected for what it gains from threads."""
    factor, spread, count = settle(litert_anchors(published), prices, analogy(published))
    scale, scale_spread = thread_scale(published)
    return Bridge(
        runtime="litert",
        dtype="float32",
        target=prices.target,
        basis=prices.dtype,
        winograd=False,
        factor=round(factor * scale, 4),
        spread=round(combine(spread, scale_spread), 4),
        source=f"{figures(count)} of XNNPACK with all cores, and LiteRT's own gain from threads",
    )


def litert_int8(published: Published, prices: Prices) -> Bridge:
    """XNNPACK's int8 against its float32, on the same boards and networks."""
    float_bridge = litert_float(published, prices)
    gains = np.array([log(int8 / float32) for float32, int8 in xnnpack_pairs(published)])
    centre, spread = centre_of(gains)
    return Bridge(
        runtime="litert",
        dtype="int8",
        target=prices.target,
        basis=prices.dtype,
        winograd=False,
        factor=round(float_bridge.factor * exp(centre), 4),
        spread=round(combine(float_bridge.spread, spread), 4),
        source=f"{float_bridge.source}; int8 {exp(-centre):.2f} times faster, {len(gains)} pairs of XNNPACK",
    )


def onnxruntime_float(published: Published, prices: Prices) -> Bridge:
    """Figures of onnxruntime against ncnn where there are any, else ncnn itself."""
    anchors = [
        Anchor(ratio.target, ratio.engine_dtype, log(ratio.ms / ratio.ncnn_ms)) for ratio in published.ratios.ratio
    ]
    factor, spread, count = settle(anchors, prices, analogy(published))
    return Bridge(
        runtime="onnxruntime",
        dtype="float32",
        target=prices.target,
        basis=prices.dtype,
        winograd=True,
        factor=round(factor, 4),
        spread=round(combine(spread, log(thread_scale(published)[0])), 4),
        source=f"by analogy with ncnn, {figures(count)} of onnxruntime beside it",
    )


def onnxruntime_int8(published: Published, prices: Prices) -> Bridge:
    """Nothing is published: ncnn's own int8 against its float, as uncertain as two engines have been apart.

    Not ncnn's int8 price list: six networks of a hundred million MACs and more say nothing of small ones.
    """
    gains = np.array([log(int8 / float_) for float_, int8 in ncnn_pairs(published, prices)])
    centre, spread = centre_of(gains)
    return Bridge(
        runtime="onnxruntime",
        dtype="int8",
        target=prices.target,
        basis=prices.dtype,
        winograd=True,
        factor=round(exp(centre), 4),
        spread=round(combine(spread, analogy(published), log(thread_scale(published)[0])), 4),
        source=f"by analogy with ncnn, whose int8 gains {exp(-centre):.2f} there; no figure of onnxruntime in int8",
    )


def figures(count: int) -> str:
    """A count in words."""
    return "no figure" if count == 0 else "1 figure" if count == 1 else f"{count} figures"


def settle(anchors: Iterable[Anchor], prices: Prices, alone: float) -> tuple[float, float, int]:
    """(factor, spread, figures used): the board's own anchors if it has two, else all of the same arithmetic.

    `alone` is the least spread to assume with fewer than three figures: two can agree by chance.
    """
    same = [anchor for anchor in anchors if anchor.engine_dtype == prices.dtype]
    own = [anchor for anchor in same if anchor.target == prices.target]
    chosen = own if len(own) > 1 else same
    if len(chosen) < 2:
        return exp(chosen[0].ratio) if chosen else 1.0, alone, len(chosen)
    centre, spread = centre_of(np.array([anchor.ratio for anchor in chosen]))
    return exp(centre), spread if len(chosen) > 2 else max(spread, alone), len(chosen)


def centre_of(logs: Matrix) -> tuple[float, float]:
    """Median, and the farthest that one figure is from the median of the others."""
    apart = [abs(value - np.median(np.delete(logs, index))) for index, value in enumerate(logs)]
    return float(np.median(logs)), float(max(apart))


def litert_anchors(published: Published) -> list[Anchor]:
    """XNNPACK's float32 figures against the price list of the same board and threads."""
    anchors = []
    for table in published.tables:
        for run in table.run if table.engine == "xnnpack" else ():
            prices = published.prices_of(table.target, run.threads)
            if prices is not None and run.dtype == "float32":
                for name, ms in run.ms.items():
                    priced = prices.listed_ms(published.networks[name].work, winograd=False)
                    anchors.append(Anchor(table.target, prices.dtype, log(ms / priced)))
    return anchors


def xnnpack_pairs(published: Published) -> list[tuple[float, float]]:
    """(float32, int8) ms of the same network, board and threads."""
    pairs = []
    for table in published.tables:
        if table.engine == "xnnpack":
            runs: dict[Literal["float32", "float16", "int8"], dict[str, float]] = {
                run.dtype: run.ms for run in table.run
            }
            pairs += [(runs["float32"][name], ms) for name, ms in runs["int8"].items()]
    return pairs


def ncnn_pairs(published: Published, prices: Prices) -> list[tuple[float, float]]:
    """(float, int8) ms of the same network with one thread on the board of `prices`."""
    runs = {
        run.dtype: run.ms
        for table in published.tables
        for run in table.run
        if (table.engine, table.target, run.threads) == ("ncnn", prices.target, 1)
    }
    names = [name for name in runs["int8"] if not published.networks[name].postprocessing]
    return [(runs[prices.dtype][name], runs["int8"][name]) for name in names]


def analogy(published: Published) -> float:
    """How far, in log, two engines of the same arithmetic have been apart at most."""
    return max(abs(anchor.ratio) for anchor in litert_anchors(published) if anchor.engine_dtype == "float32")


def thread_scale(published: Published) -> tuple[float, float]:
    """How much more LiteRT gains from four threads than ncnn does, and the spread in log of that."""
    times = {
        (table.target, run.dtype, run.threads): run.ms
        for table in published.tables
        for run in table.run
        if table.engine == "ncnn"
    }
    logs = []
    for one in published.ratios.scaling:
        slow, fast = (times[one.target, one.dtype, threads][one.ncnn_network] for threads in (1, 4))
        logs.append(log(one.litert / (slow / fast)))
    centre, spread = centre_of(np.array(logs))
    return exp(centre), spread
