"""Activations: one value in, one value out, and the softmax family."""

import torch
from torch import Tensor
from torch.nn import functional

from compiler.importer.node import Node
from compiler.importer.table import operator


@operator("Relu")
def relu(node: Node) -> Tensor:
    """max(x, 0)."""
    return functional.relu(node.tensor(0))


@operator("Sigmoid")
def sigmoid(node: Node) -> Tensor:
    """1 / (1 + e^-x)."""
    return torch.sigmoid(node.tensor(0))


@operator("LeakyRelu")
def leaky_relu(node: Node) -> Tensor:
    """Return x, or alpha * x below 0."""
    return functional.leaky_relu(node.tensor(0), node.number("alpha", 0.01))


@operator("PRelu")
def prelu(node: Node) -> Tensor:
    """Return x, or slope * x below 0; the slope is broadcast."""
    x, slope = node.tensor(0), node.tensor(1)
    return torch.where(x < 0, slope * x, x)


@operator("ThresholdedRelu")
def thresholded_relu(node: Node) -> Tensor:
    """Return x, or 0 up to alpha."""
    x = node.tensor(0)
    return torch.where(x > node.number("alpha", 1.0), x, torch.zeros_like(x))


@operator("Elu")
def elu(node: Node) -> Tensor:
    """Return x, or alpha * (e^x - 1) below 0."""
    x = node.tensor(0)
    return torch.where(x > 0, x, node.number("alpha", 1.0) * _growth(x))


@operator("Celu")
def celu(node: Node) -> Tensor:
    """Return x, or alpha * (e^(x / alpha) - 1) below 0."""
    x, alpha = node.tensor(0), node.number("alpha", 1.0)
    return torch.where(x > 0, x, alpha * _growth(x / alpha))


@operator("Selu")
def selu(node: Node) -> Tensor:
    """Return gamma * x, or gamma * alpha * (e^x - 1) below 0."""
    x = node.tensor(0)
    alpha, gamma = node.number("alpha", 1.67326319217681884765625), node.number("gamma", 1.05070102214813232421875)
    return gamma * torch.where(x > 0, x, alpha * _growth(x))


def _growth(x: Tensor) -> Tensor:
    """e^x - 1 below 0, and 0 above, where e^x would overflow."""
    return torch.exp(torch.clamp(x, max=0.0)) - 1.0


@operator("HardSigmoid")
def hard_sigmoid(node: Node) -> Tensor:
    """clip(alpha * x + beta, 0, 1)."""
    return torch.clamp(node.number("alpha", 0.2) * node.tensor(0) + node.number("beta", 0.5), 0.0, 1.0)


@operator("HardSwish", since=14)
def hard_swish(node: Node) -> Tensor:
    """Return x * clip(x / 6 + 1/2, 0, 1)."""
    return functional.hardswish(node.tensor(0))


@operator("Swish", since=24)
def swish(node: Node) -> Tensor:
    """Return x * sigmoid(alpha * x)."""
    x = node.tensor(0)
    return x * torch.sigmoid(node.number("alpha", 1.0) * x)


@operator("Mish", since=18)
def mish(node: Node) -> Tensor:
    """Return x * tanh(ln(1 + e^x))."""
    x = node.tensor(0)
    return x * torch.tanh(_softplus(x))


@operator("Softplus")
def softplus(node: Node) -> Tensor:
    """ln(1 + e^x)."""
    return _softplus(node.tensor(0))


def _softplus(x: Tensor) -> Tensor:
    """max(x, 0) + ln(1 + e^-|x|): no overflow."""
    return functional.relu(x) + torch.log(1.0 + torch.exp(-torch.abs(x)))


@operator("Softsign")
def softsign(node: Node) -> Tensor:
    """Return x / (1 + |x|)."""
    x = node.tensor(0)
    return x / (1.0 + torch.abs(x))


@operator("Gelu", since=20)
def gelu(node: Node) -> Tensor:
    """Return x * P(X <= x), exact or with tanh."""
    return functional.gelu(node.tensor(0), approximate=node.text("approximate", "none"))


@operator("Shrink", since=9)
def shrink(node: Node) -> Tensor:
    """0 between -lambd and lambd; else x moved towards 0 by bias."""
    x, lambd, bias = node.tensor(0), node.number("lambd", 0.5), node.number("bias", 0.0)
    zero = torch.zeros_like(x)
    return torch.where(x < -lambd, x + bias, torch.where(x > lambd, x - bias, zero))


@operator("Softmax", since=13)
def softmax(node: Node) -> Tensor:
    """Softmax along one axis."""
    return torch.softmax(node.tensor(0), dim=node.integer("axis", -1))


@operator("LogSoftmax", since=13)
def log_softmax(node: Node) -> Tensor:
    """Logarithm of the softmax along one axis."""
    return torch.log_softmax(node.tensor(0), dim=node.integer("axis", -1))


@operator("Softmax", since=1)
def flat_softmax(node: Node) -> Tensor:
    """Softmax over all axes from `axis` on: the meaning up to opset 12."""
    x = node.tensor(0)
    return torch.softmax(_flatten_tail(x, node), dim=-1).reshape(x.shape)


@operator("LogSoftmax", since=1)
def flat_log_softmax(node: Node) -> Tensor:
    """Logarithm of the softmax over all axes from `axis` on: the meaning up to opset 12."""
    x = node.tensor(0)
    return torch.log_softmax(_flatten_tail(x, node), dim=-1).reshape(x.shape)


def _flatten_tail(x: Tensor, node: Node) -> Tensor:
    return torch.flatten(x, start_dim=node.integer("axis", 1))


@operator("Hardmax", since=13)
def hardmax(node: Node) -> Tensor:
    """1 at the first largest value along an axis, 0 elsewhere."""
    x = node.tensor(0)
    axis = node.integer("axis", -1) % x.dim()
    places = torch.arange(x.shape[axis]).reshape(-1, *[1] * (x.dim() - axis - 1))
    return (places == torch.argmax(x, dim=axis, keepdim=True)).to(x.dtype)
