"""The onnx package's own node tests, as cases for the importer: which run, which are left out, and why."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.importer import claimed

DTYPES = {1, 6, 7, 9}
"""float32, int32, int64, bool: what a TFLite file of ours takes and returns."""
TOLERANCE = 1e-4
"""Largest |difference| that agrees, for values up to 1; relative to the value above."""


@dataclass(frozen=True, slots=True)
class Case:
    """One model with inputs and the outputs it must give."""

    name: str
    kinds: tuple[str, ...]
    """Of its nodes: one, or several where the test spells an operator out in simpler ones."""
    content: bytes = field(repr=False)
    inputs: tuple[NDArray[Any], ...] = field(repr=False)
    expected: tuple[NDArray[Any], ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A case of a claimed operator that is not run."""

    name: str
    reason: str


def collect_cases() -> tuple[list[Case], list[LeftOut]]:
    """Return every case whose operators are claimed and that has a float32 input, and those that do not fit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package divides by zero on purpose
        from onnx.backend.test.case.node import collect_testcases

        found = collect_testcases(None)
    table = claimed()
    cases: list[Case] = []
    left_out: list[LeftOut] = []
    for one in found:
        graph = one.model.graph
        if {node.op_type for node in graph.node} <= {*table}:
            reason = _misfit(graph)
            if reason:
                left_out.append(LeftOut(one.name, reason))
            else:
                cases.append(_case(one))
    return cases, left_out


def _misfit(graph: Any) -> str:
    """Say why a case cannot become a TFLite file with fixed sizes; empty if it can."""
    values = [*graph.input, *graph.output]
    if any(value.type.WhichOneof("value") != "tensor_type" for value in values):
        return "an input or output is a sequence or optional, not a tensor"
    kinds = [value.type.tensor_type.elem_type for value in values]
    if not {*kinds} <= DTYPES:
        return "an input or output is of a type other than float32, int32, int64 and bool"
    if 1 not in kinds[: len(graph.input)]:
        return "no float input"
    return ""


def _case(one: Any) -> Case:
    """Make inputs that decide sizes constants, as they are in exported networks."""
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(one.model)
    arrays, expected = one.data_sets[0]
    feed = dict(zip((value.name for value in model.graph.input), arrays, strict=True))
    frozen = {*_deciding_sizes(model.graph)} & {*feed}
    kept = [value for value in model.graph.input if value.name not in frozen]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(feed[name], name) for name in sorted(frozen))
    return Case(
        name=one.name.removeprefix("test_"),
        kinds=tuple(dict.fromkeys(node.op_type for node in model.graph.node)),
        content=model.SerializeToString(),
        inputs=tuple(np.asarray(feed[value.name]) for value in kept),
        expected=tuple(np.asarray(item) for item in expected),
    )


def _deciding_sizes(graph: Any) -> Iterator[str]:
    table = claimed()
    for node in graph.node:
        for index in {index for version in table[node.op_type] for index in version.constant_inputs}:
            if index < len(node.input):
                yield node.input[index]


def largest_error(got: tuple[NDArray[Any], ...], expected: tuple[NDArray[Any], ...]) -> float:
    """Return max |got - expected| / max(1, |expected|); infinite where shapes or special values differ.

    TFLite's ADD ends at the largest finite number, so that one counts as infinity where infinity is expected.
    """
    if len(got) != len(expected):
        return float("inf")
    return max((_error(a, b) for a, b in zip(got, expected, strict=True)), default=0.0)


def _error(got: NDArray[Any], expected: NDArray[Any]) -> float:
    if got.shape != expected.shape:
        return float("inf")
    a, b = got.astype(np.float64), expected.astype(np.float64)
    special = ~np.isfinite(b)
    a = np.where(np.isinf(b) & (np.abs(a) >= np.finfo(np.float32).max), np.copysign(np.inf, a), a)
    if not np.array_equal(a[special], b[special], equal_nan=True):
        return float("inf")
    errors = np.abs(a[~special] - b[~special]) / np.maximum(1.0, np.abs(b[~special]))
    return float(errors.max(initial=0.0)) if not np.isnan(errors).any() else float("inf")
