"""What work costs on a board, as fitted: `coefficients.toml`, written by tests/bench/latency_fit.py."""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

import msgspec
import numpy as np

from compiler.latency.features import measure
from compiler.latency.work import Work
from edge.manifest import Record

Price = Annotated[float, msgspec.Meta(ge=0)]
Positive = Annotated[float, msgspec.Meta(gt=0)]


class Prices(Record, frozen=True, kw_only=True):
    """ms for a million of each feature (for each operator), for one board, engine, dtype and number of threads."""

    target: str
    core: str
    board: str
    threads: int
    dtype: Literal["float32", "float16", "int8"]
    price: dict[str, Price]
    spread: Positive
    """The interval is [ms / e^spread, ms * e^spread]."""
    networks: int
    median_error: Price
    """By fits that did not see the network, as are the next two."""
    covered: Price
    half_width: Price
    least_ms: Positive
    """Of the networks fitted: a prediction below lies outside of what is known."""
    source: str
    lenders: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Boards that lend how prices relate in single precision, where ncnn computes in half: only the speed is this
    board's. Its check is one for all: each lender priced by the others."""

    @property
    def borrowed(self) -> bool:
        """Whether other boards lend."""
        return self.lenders > 0

    def listed_ms(self, work: Work, *, winograd: bool = True) -> float:
        """What `work` costs by this list; without Winograd, all neighbours cost what strided ones do."""
        prices = dict(self.price)
        if not winograd:
            prices["winograd"] = max(prices["winograd"], prices["spatial"])
        return float(measure(work, tuple(prices)) @ np.array(list(prices.values())))


class Bridge(Record, frozen=True, kw_only=True):
    """From a price list to one of our runtimes."""

    runtime: Literal["litert", "onnxruntime"]
    dtype: Literal["float32", "int8"]
    target: str
    basis: Literal["float32", "float16", "int8"]
    """dtype of the price list to use."""
    winograd: bool
    factor: Positive
    spread: Positive
    source: str


class Coefficients(Record, frozen=True, kw_only=True):
    """The whole file."""

    prices: tuple[Prices, ...]
    bridge: tuple[Bridge, ...]

    def bridge_for(self, target: str, runtime: str, dtype: str) -> Bridge | None:
        """The bridge to one runtime on one target, or None."""
        same = (b for b in self.bridge if (b.target, b.runtime, b.dtype) == (target, runtime, dtype))
        return next(same, None)

    def prices_for(self, bridge: Bridge) -> Prices:
        """The price list that `bridge` scales: of its board with one thread."""
        return self._single(bridge.target, bridge.basis)

    def float_prices_for(self, bridge: Bridge) -> Prices:
        """The same board's list in float32, its own or borrowed."""
        return self._single(bridge.target, "float32")

    def _single(self, target: str, dtype: str) -> Prices:
        return next(p for p in self.prices if (p.target, p.dtype, p.threads) == (target, dtype, 1))


@cache
def load_coefficients() -> Coefficients:
    """Read `coefficients.toml`."""
    text = (files("compiler.latency") / "coefficients.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), Coefficients)
