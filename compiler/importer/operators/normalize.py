"""Normalizations: subtract a mean, divide by a spread, scale, shift."""

import torch
from torch import Tensor
from torch.nn import functional

from compiler.importer.node import Node
from compiler.importer.operators.arithmetic import raise_to
from compiler.importer.refusal import RefusedError
from compiler.importer.table import operator

IN_EVAL_MODE = "export the network in eval mode"


@operator("BatchNormalization")
def batch_normalization(node: Node) -> Tensor:
    """With the statistics of the training; x [N, C, ...]."""
    if node.flag("training_mode") or (node.opset < 7 and not node.flag("is_test")):
        raise RefusedError("it is in training mode", remedy=IN_EVAL_MODE)
    x, scale, bias, mean, variance = (node.tensor(index) for index in range(5))
    return functional.batch_norm(x, mean, variance, scale, bias, training=False, eps=node.number("epsilon", 1e-5))


@operator("InstanceNormalization")
def instance_normalization(node: Node) -> Tensor:
    """Over the image of each channel; x [N, C, ...]."""
    x = node.tensor(0)
    y, _, _ = _standardize(x, list(range(2, x.dim())), node.number("epsilon", 1e-5))
    return y * _per_channel(node.tensor(1), x) + _per_channel(node.tensor(2), x)


@operator("GroupNormalization", since=21)
def group_normalization(node: Node) -> Tensor:
    """Over groups of channels, scale and bias for each channel."""
    x = node.tensor(0)
    return _in_groups(node) * _per_channel(node.tensor(1), x) + _per_channel(node.tensor(2), x)


@operator("GroupNormalization", since=18)
def group_normalization_18(node: Node) -> Tensor:
    """Over groups of channels, scale and bias for each group: the meaning up to opset 20."""
    x, repeats = node.tensor(0), node.tensor(0).shape[1] // node.integer("num_groups", 1)
    scale, bias = (node.tensor(index).repeat_interleave(repeats) for index in (1, 2))
    return _in_groups(node) * _per_channel(scale, x) + _per_channel(bias, x)


def _in_groups(node: Node) -> Tensor:
    x, groups = node.tensor(0), node.integer("num_groups", 1)
    y, _, _ = _standardize(x.reshape(x.shape[0], groups, -1), [2], node.number("epsilon", 1e-5))
    return y.reshape(x.shape)


@operator("LayerNormalization", since=17)
def layer_normalization(node: Node) -> tuple[Tensor, ...]:
    """Over all axes from `axis` on; also returns the mean and 1 / deviation."""
    x = node.tensor(0)
    axes = list(range(node.integer("axis", -1) % x.dim(), x.dim()))
    y, mean, inverse = _standardize(x, axes, node.number("epsilon", 1e-5))
    bias = node.optional(2)
    y = y * node.tensor(1)
    return y if bias is None else y + bias, mean, inverse


@operator("RMSNormalization", since=23)
def rms_normalization(node: Node) -> Tensor:
    """Divide by the root of the mean square, over all axes from `axis` on."""
    x = node.tensor(0)
    axes = list(range(node.integer("axis", -1) % x.dim(), x.dim()))
    mean_square = torch.mean(x * x, dim=axes, keepdim=True)
    return x * torch.rsqrt(mean_square + node.number("epsilon", 1e-5)) * node.tensor(1)


@operator("MeanVarianceNormalization", since=9)
def mean_variance_normalization(node: Node) -> Tensor:
    """Mean 0 and variance 1 over some axes."""
    axes = node.integers("axes")
    y, _, _ = _standardize(node.tensor(0), [0, 2, 3] if axes is None else axes, 1e-9)
    return y


@operator("LpNormalization")
def lp_normalization(node: Node) -> Tensor:
    """Divide by the sum of magnitudes or by the root of the sum of squares along an axis; 0 stays 0."""
    x, axis = node.tensor(0), node.integer("axis", -1)
    if node.integer("p", 2) == 1:
        norm = torch.sum(torch.abs(x), dim=axis, keepdim=True)
    else:
        norm = torch.sqrt(torch.sum(x * x, dim=axis, keepdim=True))
    return x / torch.where(norm == 0, torch.ones_like(norm), norm)


@operator("LRN")
def local_response_normalization(node: Node) -> Tensor:
    """Divide by a power of the squares in `size` neighbouring channels; x [N, C, ...]."""
    x, size = node.tensor(0), node.integer("size", 1)
    squares = (x * x).reshape(x.shape[0], 1, x.shape[1], -1)
    before = (size - 1) // 2
    padded = functional.pad(squares, (0, 0, before, size - 1 - before))
    means = functional.avg_pool2d(padded, (size, 1), stride=1).reshape(x.shape)
    return x / raise_to(node.number("bias", 1.0) + node.number("alpha", 1e-4) * means, node.number("beta", 0.75))


def _standardize(x: Tensor, axes: list[int], epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return (x - mean) / deviation, the mean, and 1 / deviation."""
    mean = torch.mean(x, dim=axes, keepdim=True)
    centred = x - mean
    inverse = torch.rsqrt(torch.mean(centred * centred, dim=axes, keepdim=True) + epsilon)
    return centred * inverse, mean, inverse


def _per_channel(values: Tensor, x: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (x.dim() - 2))
