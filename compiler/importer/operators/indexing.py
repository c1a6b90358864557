"""Values looked up by their place: Gather and Scatter, OneHot, Trilu."""

import numpy as np
import torch
from torch import Tensor

from compiler.importer.node import Node
from compiler.importer.operators.join_split import take
from compiler.importer.refusal import RefusedError
from compiler.importer.table import operator


@operator("Gather")
def gather(node: Node) -> Tensor:
    """x[..., indices, ...]; places that are known and evenly spaced become a slice, which every NPU has."""
    x = node.tensor(0)
    axis = node.integer("axis", 0) % x.dim()
    if node.is_constant(1):
        places = np.mod(node.array(1), x.shape[axis])
        even = _evenly_spaced(places)
        if even is not None:
            return take(x, axis, even).reshape(*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])
        found = torch.index_select(x, axis, torch.from_numpy(places.reshape(-1).astype(np.int64)))
        return found.reshape(*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])
    indices = _from_the_start(node.tensor(1), x.shape[axis])
    found = torch.index_select(x, axis, indices.reshape(-1))
    return found.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


def _evenly_spaced(places: "np.ndarray[tuple[int, ...], np.dtype[np.int64]]") -> range | None:
    flat = places.reshape(-1)
    if flat.size == 0:
        return None
    step = int(flat[1] - flat[0]) if flat.size > 1 else 1
    first, last = int(flat[0]), int(flat[-1])
    if step <= 0:
        return None
    even = range(first, last + 1, step)
    return even if [*even] == flat.tolist() else None


def _from_the_start(indices: Tensor, size: int) -> Tensor:
    """Negative places count from the end."""
    return torch.where(indices < 0, indices + size, indices)


@operator("GatherElements", since=11)
def gather_elements(node: Node) -> Tensor:
    """Each output value has a place of its own along one axis."""
    x = node.tensor(0)
    axis = node.integer("axis", 0) % x.dim()
    return torch.gather(x, axis, _from_the_start(node.tensor(1), x.shape[axis]))


@operator("GatherND", since=11)
def gather_nd(node: Node) -> Tensor:
    """The last axis of the indices holds coordinates in x; the first `batch_dims` axes are shared."""
    x, indices, batch = node.tensor(0), node.tensor(1), node.integer("batch_dims", 0)
    rest = indices.shape[-1]
    coordinates = [_from_the_start(indices[..., axis], x.shape[batch + axis]) for axis in range(rest)]
    shared = [
        torch.arange(x.shape[axis]).reshape([-1 if other == axis else 1 for other in range(indices.dim() - 1)])
        for axis in range(batch)
    ]
    return x[(*shared, *coordinates)]


@operator("ScatterElements", "Scatter", since=9)
def scatter_elements(node: Node) -> Tensor:
    """Write updates to places of their own along one axis."""
    x, updates = node.tensor(0), node.tensor(2)
    axis = node.integer("axis", 0) % x.dim()
    indices = _from_the_start(node.tensor(1), x.shape[axis])
    _refuse_reduction(node)
    return torch.scatter(x, axis, indices, updates)


@operator("ScatterND", since=11)
def scatter_nd(node: Node) -> Tensor:
    """Write updates to coordinates in x."""
    x, indices, updates = node.tensor(0), node.tensor(1), node.tensor(2)
    _refuse_reduction(node)
    places = tuple(_from_the_start(indices[..., axis], x.shape[axis]) for axis in range(indices.shape[-1]))
    return torch.index_put(x, places, updates)


def _refuse_reduction(node: Node) -> None:
    """LiteRT cannot run what litert-torch makes of scattering that adds up."""
    reduction = node.text("reduction", "none")
    if reduction != "none":
        raise RefusedError(f"it scatters with the reduction {reduction}", remedy="write each place once, without one")


@operator("OneHot", since=9, constant=(1,))
def one_hot(node: Node) -> Tensor:
    """1 of `depth` values is on; none, where the index is out of range."""
    indices, depth, values = node.tensor(0), int(node.scalar(1)), node.tensor(2)
    axis = node.integer("axis", -1) % (indices.dim() + 1)
    places = torch.arange(depth).reshape(-1, *[1] * (indices.dim() - axis))
    indices = indices.to(torch.int64)
    hot = _from_the_start(indices, depth).unsqueeze(axis) == places
    return torch.where(hot, values[1], values[0])


@operator("Trilu", since=14, constant=(1,))
def trilu(node: Node) -> Tensor:
    """The upper or lower triangle; 0 elsewhere."""
    x, diagonal = node.tensor(0), int(node.scalar(1)) if node.has(1) else 0
    ones = np.ones(x.shape[-2:], np.bool_)
    kept = np.triu(ones, diagonal) if node.flag("upper", default=True) else np.tril(ones, diagonal)
    return torch.where(torch.from_numpy(kept), x, torch.zeros_like(x))
