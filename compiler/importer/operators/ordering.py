"""The largest, the first, and running sums: ArgMax, TopK, CumSum."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from compiler.importer.node import Node
from compiler.importer.table import operator

SEARCHES: Mapping[str, Callable[..., Tensor]] = {"ArgMax": torch.argmax, "ArgMin": torch.argmin}


@operator(*SEARCHES)
def arg_extreme(node: Node) -> Tensor:
    """Place of the largest or smallest value; of equal ones the first, or the last on demand."""
    x, keep = node.tensor(0), node.flag("keepdims", default=True)
    axis, search = node.integer("axis", 0) % x.dim(), SEARCHES[node.kind]
    if node.flag("select_last_index"):
        return x.shape[axis] - 1 - search(torch.flip(x, [axis]), dim=axis, keepdim=keep)
    return search(x, dim=axis, keepdim=keep)


@operator("TopK", constant=(1,))
def top_k(node: Node) -> tuple[Tensor, ...]:
    """The k largest or smallest values along an axis, sorted, and their places."""
    x = node.tensor(0)
    k = node.integer("k", 1) if "k" in node.attributes else int(node.scalar(1))
    axis = node.integer("axis", -1) % x.dim()
    last = torch.movedim(x, axis, -1)
    largest = node.flag("largest", default=True)
    values, places = torch.topk(last if largest else -last, k, dim=-1)
    values = values if largest else -values
    return torch.movedim(values, -1, axis), torch.movedim(places, -1, axis)


@operator("CumSum", since=11, constant=(1,))
def cum_sum(node: Node) -> Tensor:
    """Running sum along an axis, from the end with `reverse`, without the value itself with `exclusive`."""
    x = node.tensor(0)
    axis = int(node.scalar(1)) % x.dim()
    x = torch.flip(x, [axis]) if node.flag("reverse") else x
    sums = torch.cumsum(x, dim=axis, dtype=x.dtype)
    sums = sums - x if node.flag("exclusive") else sums
    return torch.flip(sums, [axis]) if node.flag("reverse") else sums
