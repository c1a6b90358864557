"""onnx-ir graph -> kernels: Conv, Gemm and MatMul whose weights are constant and their own."""

from collections.abc import Iterator
from math import ceil
from typing import Any

import numpy as np

from compiler.quantize.kernels import Kernel
from compiler.quantize.onnx_layers import parse


def read_kernels(content: bytes) -> tuple[Kernel, ...]:
    """Describe the layers of a simplified float file whose weights can be learned, in order of computation."""
    graph = parse(content).graph
    return tuple(kernel for node in graph for kernel in _kernels(node))


def _kernels(node: Any) -> Iterator[Kernel]:  # noqa: ANN401  an onnx_ir.Node
    """Yield the node's kernel, if it is one."""
    if node.op_type not in {"Conv", "Gemm", "MatMul"} or not all(_is_own(value) for value in node.inputs[1:] if value):
        return
    if node.inputs[0].const_value is not None or not _is_plain(node):
        return
    shape = node.inputs[1].shape
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    transposed = node.op_type == "MatMul" or (node.op_type == "Gemm" and not _number(node, "transB", 0))
    order = (1, 0) if transposed else tuple(range(len(shape)))
    if bias is not None and bias.shape.numpy() != (shape[order[0]],):
        return
    names = (node.name, node.inputs[0].name, node.inputs[1].name, bias.name if bias is not None else "")
    if node.op_type != "Conv":
        yield Kernel(*names, order)
        return
    strides, dilations = (_numbers(node, name, [1] * (len(shape) - 2)) for name in ("strides", "dilations"))
    padding = _padding(node, strides, dilations)
    if padding is not None:
        groups = int(_number(node, "group", 1))
        yield Kernel(*names, order, groups, strides, dilations, padding)


def _is_own(value: Any) -> bool:  # noqa: ANN401
    """Float numbers in the file that nothing else reads."""
    constant = value.const_value
    return constant is not None and np.dtype(constant.dtype.numpy()) == np.float32 and len(tuple(value.uses())) == 1


def _is_plain(node: Any) -> bool:  # noqa: ANN401
    """Of the dimensions and without the factors that a kernel knows."""
    rank = len(node.inputs[1].shape)
    if node.op_type == "Conv":
        return rank in {3, 4}
    factors = (_number(node, "transA", 0), _number(node, "alpha", 1) - 1, _number(node, "beta", 1) - 1)
    return rank == 2 and not any(factors)


def _padding(node: Any, strides: tuple[int, ...], dilations: tuple[int, ...]) -> tuple[tuple[int, int], ...] | None:  # noqa: ANN401
    """Before and after each dimension; None where the size of the input, which would tell, is not known."""
    found = node.attributes.get("auto_pad")
    mode = "NOTSET" if found is None else found.as_string()
    sides = [int(side) for side in node.inputs[1].shape[2:]]
    if mode in {"NOTSET", "VALID"}:
        pads = _numbers(node, "pads", [0] * 2 * len(sides)) if mode == "NOTSET" else (0,) * 2 * len(sides)
        return tuple(zip(pads[: len(sides)], pads[len(sides) :], strict=True))
    sizes = (node.inputs[0].shape or ())[2:]
    if len(sizes) != len(sides) or not all(isinstance(size, int) for size in sizes):
        return None
    totals = [
        max((ceil(size / step) - 1) * step + reach * (side - 1) + 1 - size, 0)
        for size, step, reach, side in zip(sizes, strides, dilations, sides, strict=True)
    ]
    halves = [total // 2 if mode == "SAME_UPPER" else total - total // 2 for total in totals]
    return tuple((half, total - half) for half, total in zip(halves, totals, strict=True))


def _number(node: Any, name: str, default: float) -> float:  # noqa: ANN401
    found = node.attributes.get(name)
    return default if found is None else float(found.value)


def _numbers(node: Any, name: str, default: list[int]) -> tuple[int, ...]:  # noqa: ANN401
    found = node.attributes.get(name)
    return tuple(default if found is None else (int(value) for value in found.value))
