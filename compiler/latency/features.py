"""Work -> the numbers that have a price."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from compiler.latency.work import Work

Dtype = Literal["float32", "float16", "int8"]
MILLION = 1e-6
DEPTHWISE_PRICE = 4
"""What a depthwise MAC costs in int8, in dense ones. Only one network published in int8 has any, so it cannot be
fitted; in float the fits give 2.5 to 3.5."""
FEATURES: dict[str, Callable[[Work], float]] = {
    "pointwise": lambda work: work.pointwise * MILLION,
    "winograd": lambda work: work.winograd * MILLION,
    "spatial": lambda work: work.spatial * MILLION,
    "first": lambda work: work.first * MILLION,
    "depthwise": lambda work: work.depthwise * MILLION,
    "dense": lambda work: (work.dense + work.recurrent) * MILLION,
    "loaded": lambda work: (DEPTHWISE_PRICE * work.depthwise + work.dense + work.recurrent) * MILLION,
    "pointwise_elements": lambda work: work.pointwise_elements * MILLION,
    "spatial_elements": lambda work: work.spatial_elements * MILLION,
    "other_elements": lambda work: work.other_elements * MILLION,
    "moved_elements": lambda work: (work.spatial_elements + work.other_elements) * MILLION,
    "exponential_elements": lambda work: work.exponential_elements * MILLION,
    "large_elements": lambda work: work.large_elements * MILLION,
    "operators": lambda work: float(work.operators),
}
MACS_EXPECTED = {
    "pointwise": 1.0, "winograd": 0.5, "spatial": 1.5, "first": 1.5, "depthwise": 4.0, "dense": 2.0, "loaded": 4.0,
}  # fmt: skip
"""Round prices of MACs, in that of a pointwise one."""
ELEMENT_EXPECTED, LARGE_EXPECTED, OPERATOR_EXPECTED = 10.0, 5.0, 0.1
"""The same of an element, of what a large one costs more, and of an operator in million MACs: one thread, float."""
INT8_GAIN, THREADS_GAIN = 3.0, 2.0
"""How much cheaper MACs become in int8, and with several threads, than all the rest does."""
FLOAT_FEATURES = (
    "pointwise", "winograd", "spatial", "first", "depthwise", "dense",
    "pointwise_elements", "spatial_elements", "other_elements", "exponential_elements", "operators",
)  # fmt: skip
THREADS_FEATURES = (*FLOAT_FEATURES, "large_elements")
"""Several threads share one memory; a single one does not fill it."""
INT8_FEATURES = (
    "pointwise", "winograd", "spatial", "first", "loaded", "pointwise_elements", "moved_elements", "operators",
)  # fmt: skip
"""Six networks are published in int8: none has exponentials, one has depthwise layers."""


def feature_names(dtype: Dtype, threads: int) -> tuple[str, ...]:
    """Names of what has a price, for one arithmetic and number of threads."""
    if dtype == "int8":
        return INT8_FEATURES
    return FLOAT_FEATURES if threads == 1 else THREADS_FEATURES


def expected_price(name: str, dtype: Dtype, threads: int) -> float:
    """Round figure, in the price of a pointwise MAC: what no network of a table tells costs about this."""
    if name in MACS_EXPECTED:
        return MACS_EXPECTED[name]
    price = {"large_elements": LARGE_EXPECTED, "operators": OPERATOR_EXPECTED}.get(name, ELEMENT_EXPECTED)
    return price * (INT8_GAIN if dtype == "int8" else 1.0) * (THREADS_GAIN if threads > 1 else 1.0)


def measure(work: Work, names: Sequence[str]) -> NDArray[np.float64]:
    """Return [features]: millions of MACs, millions of elements, operators."""
    return np.array([FEATURES[name](work) for name in names])
