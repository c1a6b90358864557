"""What has been published of LiteRT with one thread, against the price list of the same board; pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log, sqrt

import numpy as np

from compiler.latency.prices import Prices
from compiler.latency.spread import COVERAGE, student
from compiler.latency.tables import Network, Table


@dataclass(frozen=True, slots=True)
class Anchor:
    """log(LiteRT / what the price list says) of one published figure."""

    board: str
    network: str
    int8: bool
    halves: bool
    """Whether ncnn computed in half precision on that board, and with dot products of bytes."""
    ratio: float

    @property
    def kind(self) -> tuple[bool, bool]:
        """Figures of one kind can be compared: (in int8, halves)."""
        return self.int8, self.halves

    @property
    def design(self) -> str:
        """Sizes of one network are one design: "efficientdet_lite3" is of efficientdet's."""
        return re.sub(r"_lite\d+x?$", "", self.network)


def litert_anchors(
    tables: Iterable[Table], networks: dict[str, Network], prices: Sequence[Prices]
) -> tuple[Anchor, ...]:
    """XNNPACK's figures with one thread, each against the list of its board and dtype."""
    lists = {(one.board, one.dtype == "int8"): one for one in prices if one.dtype != "float16"}
    halves = {one.board for one in prices if one.dtype == "float16"}
    return tuple(
        Anchor(
            board=table.board,
            network=name,
            int8=run.dtype == "int8",
            halves=table.board in halves,
            ratio=log(
                ms
                * table.clock
                / lists[table.board, run.dtype == "int8"].listed_ms(networks[name].work, winograd=False)
            ),
        )
        for table in tables
        for run in (table.run if table.engine == "xnnpack" else ())
        for name, ms in run.ms.items()
    )


def by_board(anchors: Iterable[Anchor]) -> dict[str, float]:
    """Median ratio of each board."""
    ratios: dict[str, list[float]] = {}
    for anchor in anchors:
        ratios.setdefault(anchor.board, []).append(anchor.ratio)
    return {board: float(np.median(each)) for board, each in ratios.items()}


def within_boards(anchors: Sequence[Anchor]) -> float:
    """How far, in log, the next network is from its board's median: of all boards and dtypes, by Student."""
    apart, freedom = 0.0, 0
    for kind in sorted({anchor.kind for anchor in anchors}):
        same = [anchor for anchor in anchors if anchor.kind == kind]
        medians = by_board(same)
        apart += sum((anchor.ratio - medians[anchor.board]) ** 2 for anchor in same)
        freedom += len(same) - len(medians)
    return student(COVERAGE, freedom) * sqrt(apart / freedom)


def between_boards(anchors: Iterable[Anchor]) -> float:
    """How far, in log, the next board's median is from the mean of all, by Student; only float32 has enough boards."""
    medians = np.array(list(by_board(anchor for anchor in anchors if anchor.kind == (False, False)).values()))
    return student(COVERAGE, len(medians) - 1) * float(medians.std(ddof=1))
