"""Scale(1/s) -> ... -> Scale(s): give the channels between two layers like ranges, without changing what is computed.

An int8 activation has one scale for all channels. Where one channel reaches 500 and another 0.5, the second one lives
in a quarter of a step. A positive factor per channel passes ReLU, pools and zero padding unchanged, so the layer before
may divide by s what the layer after multiplies by s.

With r1 the range of a channel before and r2 that of the weights which read it, s = sqrt(r1 / r2) makes both
sqrt(r1 r2). Source: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction",
eq. 11. There r1 is the range of the first layer's weights. Here it is the measured range of the activation: our weights
have one scale an output channel, so their own ranges cost nothing, and the activation's do. For the same reason a
depthwise reader (one scale a channel) sets no bound: s makes its input flat.

ReLU6 is no more than a ReLU to a channel that never comes near 6, so such a channel gets its s, of which it stays below
6 by HEADROOM; the others keep s = 1. (A clip with a bound per channel, 6 / s, exists in neither format as one integer
operator.) Other operators with a fixed number inside are not scale-invariant: channels beside them keep s = 1, and the
reason is listed. Layers joined by an addition share one s.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf

import numpy as np
from numpy.typing import NDArray

from compiler.quantize.layers import Constants, Layer, Network, along, per_channel_max

ROUNDS = 20
SILENT = 1e-3
"""A channel whose range, relative to its own weights, is below this share of its neighbours' hardly ever fires. To make
it as wide as the others would blow its weights up until a runtime refuses the scales (XNNPACK: 256 and more)."""
HEADROOM = 0.75
"""Share of a ceiling (ReLU6's 6) that a channel's measured range may fill: what other samples reach beyond it fits."""
SPREAD = 2.0
"""Groups whose channel ranges lie within this factor are left alone: there is nothing to win."""


@dataclass(frozen=True, slots=True, eq=False)
class Equalized:
    """Changed constants, and what was done and refused, for people."""

    constants: Constants = field(repr=False)
    """All of the network's, changed or not."""
    groups: int
    """Sets of channels that got factors of their own."""
    refused: tuple[str, ...]
    """One sentence for each set that could not, without repeats."""
    said: str = ""
    """What was done about ceilings; empty where there are none."""


@dataclass(slots=True, eq=False)
class _Group:
    """Tensors that must share their factors, and the layers that can carry them."""

    tensors: list[str] = field(default_factory=list)
    producers: list[Layer] = field(default_factory=list)
    readers: list[Layer] = field(default_factory=list)
    shifted: list[Layer] = field(default_factory=list)
    """Layers inside the group with a bias of their own."""
    walls: list[str] = field(default_factory=list)
    ceiling: float = inf
    """Lowest of those that its tensors are clipped at."""


def equalize(network: Network, channel_max: Mapping[str, NDArray[np.float64]]) -> Equalized:
    """Choose factors for every set of channels and fold them into weights and biases.

    Args:
        network: its weights are not changed.
        channel_max: [channels] of each activation, the largest magnitude measured.
    """
    groups = _groups(network)
    constants = {name: values.astype(np.float64) for name, values in network.constants.items()}
    ranges: dict[int, NDArray[np.float64]] = {}
    free: dict[int, NDArray[np.bool_]] = {}
    refused: list[str] = []
    for number, group in enumerate(groups):
        why = _why_not(group, network, channel_max)
        if why is not None:
            refused.append(why)
            continue
        found = _group_range(group, network, channel_max)
        if found is not None and (found < HEADROOM * group.ceiling).any():
            ranges[number], free[number] = found, found < HEADROOM * group.ceiling
    for _ in range(ROUNDS if ranges else 0):
        for number, found in ranges.items():
            factors = _factors(found, groups[number], constants, free[number])
            _fold(groups[number], factors, constants)
            ranges[number] = found / factors
    as_float = {name: values.astype(np.float32) for name, values in constants.items()}
    ceilings = [free[number] for number in ranges if groups[number].ceiling < inf]
    return Equalized(as_float, len(ranges), tuple(dict.fromkeys(why for why in refused if why)), _said(ceilings))


def _said(ceilings: list[NDArray[np.bool_]]) -> str:
    scaled, channels = sum(int(one.sum()) for one in ceilings), sum(one.size for one in ceilings)
    return f"{scaled} of {channels} channels never come near the clip of their ReLU6" if ceilings else ""


def _groups(network: Network) -> list[_Group]:
    """Join tensors that share channels; sort the layers around them into who writes, who reads, who forbids."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            name = parent[name]
        return name

    for layer in network.layers:
        for name in (*layer.inputs, *layer.outputs):
            root(name)
        if layer.role in {"through", "join"}:
            for name in (*layer.inputs, *layer.outputs[1:]):
                parent[root(name)] = root(layer.outputs[0])
    groups: dict[str, _Group] = {}
    for name in parent:
        groups.setdefault(root(name), _Group()).tensors.append(name)
    for layer in network.layers:
        _sort_in(layer, lambda name: groups[root(name)])
    for name in (*network.inputs, *network.outputs):
        if name in parent:
            groups[root(name)].walls.append("")  # the model's own inputs and outputs: nothing to report
    return list(groups.values())


def _sort_in(layer: Layer, group_of: Callable[[str], _Group]) -> None:
    if layer.ceiling < inf:
        written = group_of(layer.outputs[0])
        written.ceiling = min(written.ceiling, layer.ceiling)
    if layer.role in {"linear", "depthwise"}:
        group_of(layer.outputs[0]).producers.append(layer)
        group_of(layer.inputs[0]).readers.append(layer)
    elif layer.role == "wall":
        for name in (*layer.inputs, *layer.outputs):
            group_of(name).walls.append(f"{layer.name} ({layer.op}): {layer.reason}")
    elif layer.bias:
        group_of(layer.outputs[0]).shifted.append(layer)


def _why_not(group: _Group, network: Network, channel_max: Mapping[str, NDArray[np.float64]]) -> str | None:
    """Return why a group keeps its channels as they are, empty where that needs no report; None if it need not."""
    if not group.producers:
        return ""
    if group.walls or not group.readers:
        return next((why for why in group.walls if why), "")
    widths = {network.constants[one.weight].shape[one.out_axis] for one in group.producers}
    widths |= {network.constants[one.weight].shape[one.in_axis] for one in group.readers}
    widths |= {network.constants[one.bias].size for one in group.shifted}
    widths |= {len(channel_max[name]) for name in group.tensors if name in channel_max and name not in network.moved}
    name = group.producers[0].name
    return f"{name}: what follows it joins channels of {sorted(widths)}" if len(widths) > 1 else None


def _group_range(
    group: _Group, network: Network, channel_max: Mapping[str, NDArray[np.float64]]
) -> NDArray[np.float64] | None:
    """[channels] of the largest magnitude in any quantized tensor of the group; None if they are alike already."""
    hidden = {one.outputs[0] for one in network.layers if one.rectified} | network.moved
    seen = [channel_max[name] for name in group.tensors if name in channel_max and name not in hidden]
    if not seen:
        return None
    found = _heard(np.max(seen, axis=0), group, network)
    return found if found.max() > SPREAD * found.min() else None


def _heard(found: NDArray[np.float64], group: _Group, network: Network) -> NDArray[np.float64]:
    """Give channels that hardly fire the range that their weights suggest."""
    written = np.max([per_channel_max(network.constants[one.weight], one.out_axis) for one in group.producers], axis=0)
    written = np.maximum(written, max(float(written.max()), 1e-30) * 1e-9)
    gain = found / written
    usual = max(float(np.median(gain)), 1e-30)
    heard: NDArray[np.float64] = np.where(gain < SILENT * usual, written * usual, found)
    return heard


def _factors(
    found: NDArray[np.float64],
    group: _Group,
    constants: Mapping[str, NDArray[np.float64]],
    free: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Return s = sqrt(r1 / r2) with a geometric mean of 1; r1 alone where every reader has one scale a channel.

    Channels that are not `free` keep s = 1: then it is their mean to which the others are brought, as far as the
    ceiling allows.
    """
    bounds = [_reader_range(constants[one.weight], one) for one in group.readers if one.role == "linear"]
    wanted = np.sqrt(found / np.maximum(np.max(bounds, axis=0), 1e-12)) if bounds else found.copy()
    beside = wanted if free.all() else wanted[~free]
    factors = np.maximum(wanted / np.exp(np.log(beside).mean()), found / (HEADROOM * group.ceiling))
    chosen: NDArray[np.float64] = np.where(free, factors, 1.0)
    return chosen


def _reader_range(weight: NDArray[np.float64], layer: Layer) -> NDArray[np.float64]:
    """[input channels]: the largest weight that reads each channel, relative to the scale of its output channel."""
    largest = along(per_channel_max(weight, layer.out_axis), layer.out_axis, weight.ndim)
    return per_channel_max(weight / np.maximum(largest, 1e-30), layer.in_axis)


def _fold(group: _Group, factors: NDArray[np.float64], constants: dict[str, NDArray[np.float64]]) -> None:
    """Divide what the group's channels are made by, multiply what reads them."""
    for one in group.producers:
        weight = constants[one.weight]
        constants[one.weight] = weight / along(factors, one.out_axis, weight.ndim)
        if one.bias:
            constants[one.bias] = (constants[one.bias].reshape(-1) / factors).reshape(constants[one.bias].shape)
    for one in group.shifted:
        constants[one.bias] = (constants[one.bias].reshape(-1) / factors).reshape(constants[one.bias].shape)
    for one in group.readers:
        weight = constants[one.weight]
        constants[one.weight] = weight * along(factors, one.in_axis, weight.ndim)
