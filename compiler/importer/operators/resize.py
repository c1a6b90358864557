"""Resize and Upsample: every axis by itself, with weights that are known ahead.

What TFLite's own resize kernels compute exactly goes to them; the rest is a look-up (nearest) or a product with a
small matrix (linear, cubic), which holds for every coordinate mode.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from compiler.importer.node import Node
from compiler.importer.operators.join_split import take
from compiler.importer.refusal import RefusedError
from compiler.importer.table import operator

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scaling:
    """How one axis changes its size."""

    axis: int
    before: int
    after: int
    scale: float


@dataclass(frozen=True, slots=True)
class Method:
    """The attributes of Resize."""

    mode: str
    coordinates: str
    nearest: str
    cubic_a: float
    exclude_outside: bool


@operator("Resize", since=11, constant=(1, 2, 3))
def resize(node: Node) -> Tensor:
    """Nearest, linear or cubic; all coordinate modes but tf_crop_and_resize.

    Raises: RefusedError for regions of interest and for antialiasing.
    """
    if node.flag("antialias"):
        raise RefusedError("it resizes with antialiasing", remedy="export the network with antialias off")
    method = Method(
        mode=node.text("mode", "nearest"),
        coordinates=node.text("coordinate_transformation_mode", "half_pixel"),
        nearest=node.text("nearest_mode", "round_prefer_floor"),
        cubic_a=node.number("cubic_coeff_a", -0.75),
        exclude_outside=node.flag("exclude_outside"),
    )
    if method.coordinates == "tf_crop_and_resize":
        raise RefusedError("it cuts out a region of interest", remedy="crop with Slice before an ordinary Resize")
    x = node.tensor(0)
    return resize_axes(x, method, _read_scalings(node, list(x.shape)))


@operator("Resize", since=10, constant=(1,))
@operator("Upsample", since=9, constant=(1,))
@operator("Upsample", since=1)
def upsample(node: Node) -> Tensor:
    """Scales are an attribute up to opset 8, then an input; nearest rounds down."""
    x = node.tensor(0)
    scales = [float(s) for s in node.attributes["scales"]] if "scales" in node.attributes else node.array(1).tolist()
    mode = {"bilinear": "linear"}.get(node.text("mode", "nearest"), node.text("mode", "nearest"))
    method = Method(mode, "asymmetric", "floor", -0.75, exclude_outside=False)
    return resize_axes(x, method, [_scaled(axis, x.shape[axis], scale) for axis, scale in enumerate(scales)])


def resize_axes(x: Tensor, method: Method, scalings: Sequence[Scaling]) -> Tensor:
    """Resize one axis after the other, or both at once where a kernel of TFLite does just that."""
    changed = [one for one in scalings if one.before != one.after or one.scale != 1]
    if _fits_kernel(x, method, changed):
        sizes = [next((one.after for one in changed if one.axis == axis), x.shape[axis]) for axis in (2, 3)]
        if method.mode == "nearest":
            return functional.interpolate(x, size=sizes, mode="nearest")
        return functional.interpolate(x, sizes, mode="bilinear", align_corners=method.coordinates == "align_corners")
    for one in changed:
        x = _resize_nearest(x, method, one) if method.mode == "nearest" else _resize_weighted(x, method, one)
    return x


def _fits_kernel(x: Tensor, method: Method, changed: Sequence[Scaling]) -> bool:
    """Tell whether torch's own image resizing, whose form litert-torch knows, means the same."""
    image = x.dim() == 4 and {one.axis for one in changed} == {2, 3}
    whole = all(one.before * int(one.scale) == one.after and one.scale == int(one.scale) for one in changed)
    if method.mode == "nearest":
        return image and whole and (method.coordinates, method.nearest) == ("asymmetric", "floor")
    by_sizes = all(abs(one.scale - one.after / one.before) < 1e-6 for one in changed)
    longer = all(one.after > 1 for one in changed)
    return (
        image
        and method.mode == "linear"
        and by_sizes
        and (method.coordinates == "half_pixel" or (method.coordinates == "align_corners" and longer))
    )


def _resize_nearest(x: Tensor, method: Method, one: Scaling) -> Tensor:
    places = _nearest_places(method, one)
    steps = np.diff(places)
    if places.size > 1 and steps.min() == steps.max() > 0:
        return take(x, one.axis, range(int(places[0]), int(places[-1]) + 1, int(steps[0])))
    return torch.index_select(x, one.axis, torch.from_numpy(places))


def _nearest_places(method: Method, one: Scaling) -> NDArray[np.int64]:
    at = _source_coordinates(method.coordinates, one)
    rounded = {
        "round_prefer_floor": np.ceil(at - 0.5),
        "round_prefer_ceil": np.floor(at + 0.5),
        "floor": np.floor(at),
        "ceil": np.ceil(at),
    }[method.nearest]
    places: NDArray[np.int64] = np.clip(rounded, 0, one.before - 1).astype(np.int64)
    return places


def _resize_weighted(x: Tensor, method: Method, one: Scaling) -> Tensor:
    """Multiply the axis with a matrix [after, before]."""
    weights = torch.from_numpy(_weights(method, one).astype(np.float32))
    last = torch.movedim(x, one.axis, -1)
    flat = last.reshape(-1, one.before)
    single = flat.shape[0] == 1  # litert-torch 0.10 breaks on one row that is a matrix product and then reshaped
    rows = torch.sum(flat * weights, dim=-1) if single else functional.linear(flat, weights)
    return torch.movedim(rows.reshape(*last.shape[:-1], one.after), -1, one.axis)


def _weights(method: Method, one: Scaling) -> Array:
    """Return how much of each old value is in each new one, [after, before]; rows add up to 1."""
    at = _source_coordinates(method.coordinates, one)
    base = np.floor(at)
    reach = (0, 1) if method.mode == "linear" else (-1, 0, 1, 2)
    weights = np.zeros((one.after, one.before))
    rows = np.arange(one.after)
    for offset in reach:
        distance = np.abs(at - base - offset)
        part = 1 - distance if method.mode == "linear" else _cubic(distance, method.cubic_a)
        places = base + offset
        inside = (places >= 0) & (places < one.before)
        part = np.where(inside | (not method.exclude_outside), part, 0.0)
        np.add.at(weights, (rows, np.clip(places, 0, one.before - 1).astype(np.int64)), part)
    shares: Array = weights / weights.sum(axis=1, keepdims=True)
    return shares


def _cubic(distance: Array, a: float) -> Array:
    """Keys' kernel. Source: ONNX operator Resize, after Keys 1981."""
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


def _source_coordinates(mode: str, one: Scaling) -> Array:
    """Return where each new place lies in the old axis. Source: ONNX operator Resize."""
    new = np.arange(one.after, dtype=np.float64)
    exact = one.before * one.scale  # the new size before it is rounded down
    if mode == "asymmetric":
        return new / one.scale
    if mode == "align_corners":
        return new * (one.before - 1) / (exact - 1) if one.after > 1 else np.zeros(1)
    if mode == "pytorch_half_pixel" and one.after == 1:
        return np.zeros(1)
    if mode == "half_pixel_symmetric":
        centre = one.before / 2
        return centre * (1 - one.after / exact) + (new + 0.5) / one.scale - 0.5
    return (new + 0.5) / one.scale - 0.5


def _read_scalings(node: Node, shape: list[int]) -> list[Scaling]:
    """Read `sizes` or `scales` of `axes`, by default all."""
    axes = [axis % len(shape) for axis in node.integers("axes") or range(len(shape))]
    sizes = node.integers_at(3)
    if not sizes:
        return [_scaled(axis, shape[axis], scale) for axis, scale in zip(axes, node.array(2).tolist(), strict=True)]
    policy = node.text("keep_aspect_ratio_policy", "stretch")
    ratios = [size / shape[axis] for axis, size in zip(axes, sizes, strict=True)]
    if policy == "stretch":
        return [Scaling(a, shape[a], s, r) for a, s, r in zip(axes, sizes, ratios, strict=True)]
    ratio = min(ratios) if policy == "not_larger" else max(ratios)
    return [Scaling(axis, shape[axis], int(np.floor(shape[axis] * ratio + 0.5)), ratio) for axis in axes]


def _scaled(axis: int, size: int, scale: float) -> Scaling:
    return Scaling(axis, size, int(np.floor(size * scale)), scale)
