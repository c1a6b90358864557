"""Conv and ConvTranspose, in one to three dimensions."""

from collections.abc import Callable, Mapping

from torch import Tensor
from torch.nn import functional

from compiler.importer.node import Node
from compiler.importer.operators.spatial import pad_image, read_window
from compiler.importer.refusal import RefusedError
from compiler.importer.table import operator

CONVOLUTIONS: Mapping[int, Callable[..., Tensor]] = {
    1: functional.conv1d,
    2: functional.conv2d,
    3: functional.conv3d,
}
TRANSPOSED: Mapping[int, Callable[..., Tensor]] = {
    1: functional.conv_transpose1d,
    2: functional.conv_transpose2d,
    3: functional.conv_transpose3d,
}


@operator("Conv")
def conv(node: Node) -> Tensor:
    """Map x [N, C, ...], weight [M, C / group, ...], bias [M] -> [N, M, ...]."""
    x, weight = node.tensor(0), node.tensor(1)
    window = read_window(node, x.shape[2:], weight.shape[2:])
    if not window.symmetric:
        x = pad_image(x, window.pads)
    return _choose(CONVOLUTIONS, x)(
        x,
        weight,
        node.optional(2),
        stride=window.strides,
        padding=window.padding if window.symmetric else 0,
        dilation=window.dilations,
        groups=node.integer("group", 1),
    )


@operator("ConvTranspose")
def conv_transpose(node: Node) -> Tensor:
    """Map x [N, C, ...], weight [C, M / group, ...], bias [M] -> [N, M, ...].

    All windows are added up first, then the padding is cut off: that holds for every mix of pads and output sizes.
    """
    x, weight, bias = node.tensor(0), node.tensor(1), node.optional(2)
    window = read_window(node, x.shape[2:], weight.shape[2:])
    function, rank = _choose(TRANSPOSED, x), x.dim() - 2
    settings = {"stride": window.strides, "dilation": window.dilations, "groups": node.integer("group", 1)}
    extra = node.integers("output_padding") or [0] * rank
    full = [
        (size - 1) * stride + reach
        for size, stride, reach in zip(x.shape[2:], window.strides, window.reach, strict=True)
    ]
    pads = _transposed_pads(node, list(x.shape[2:]), full, extra) or window.pads
    crops = [(before, after - more) for (before, after), more in zip(pads, extra, strict=True)]
    if all(before == after >= 0 for before, after in crops):
        return function(x, weight, bias, padding=[before for before, _ in crops], **settings)
    y = pad_image(function(x, weight, None, **settings), [(-before, -after) for before, after in crops])
    return y if bias is None else y + bias.reshape(-1, *[1] * rank)


def _transposed_pads(node: Node, sizes: list[int], full: list[int], extra: list[int]) -> list[tuple[int, int]] | None:
    """Return the pads that `output_shape` or `auto_pad` ask for; None if `pads` says it."""
    mode, wanted = node.text("auto_pad", "NOTSET"), node.integers("output_shape")
    if wanted is None:
        if mode not in {"SAME_UPPER", "SAME_LOWER"}:
            return None
        strides = node.integers("strides") or [1] * len(sizes)
        wanted = [size * stride for size, stride in zip(sizes, strides, strict=True)]
    totals = [size + more - want for size, more, want in zip(full, extra, wanted[-len(full) :], strict=True)]
    if mode == "SAME_UPPER":
        return [(total // 2, total - total // 2) for total in totals]
    return [(total - total // 2, total // 2) for total in totals]


def _choose(functions: Mapping[int, Callable[..., Tensor]], x: Tensor) -> Callable[..., Tensor]:
    rank = x.dim() - 2
    if rank not in functions:
        raise RefusedError(f"its input has {rank} dimensions", remedy="use images of one to three dimensions")
    return functions[rank]
