"""Concat(boxes, scores) -> int8 -> the same Concat in float, where its inputs differ in range.

One int8 tensor has one scale. Boxes reach hundreds, scores stay below 1: in the boxes' scale every score is 0 or 1
step, and a detector finds nothing (ultralytics#13566). Behind integer layers a concatenation in float costs a copy,
and each input keeps the scale of its own.
"""

from collections.abc import Iterator, Mapping

from compiler.observe.ranges import Range
from compiler.quantize.layers import Layer, Network

RATIO = 4.0
"""Two of eight bits: less than that is not worth a float output."""
_JOINS = frozenset({"Concat", "CONCATENATION"})
_MOVES = frozenset({"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Identity"} | {
    "RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS"})  # fmt: skip


def layers_to_split(network: Network, ranges: Mapping[str, Range]) -> tuple[str, ...]:
    """Name the concatenations before an output whose inputs differ in range, and what only moves them behind it."""
    found = (path for path in joins_at_outputs(network) if _differ(path[0], ranges))
    return tuple(dict.fromkeys(layer.name for path in found for layer in path))


def joins_at_outputs(network: Network) -> Iterator[tuple[Layer, ...]]:
    """Yield each concatenation before an output, first, with what only moves it behind it."""
    makers = {name: layer for layer in network.layers for name in layer.outputs}
    for output in network.outputs:
        path: list[Layer] = []
        maker = makers.get(output)
        while maker is not None and maker.op in _MOVES and maker.inputs:
            path.append(maker)
            maker = makers.get(maker.inputs[0])
        if maker is not None and maker.op in _JOINS:
            yield (maker, *path)


def _differ(layer: Layer, ranges: Mapping[str, Range]) -> bool:
    """The widest input spans more than RATIO times the narrowest."""
    spans = [ranges[name][1] - ranges[name][0] for name in layer.inputs if name in ranges]
    alive = [span for span in spans if span > 0]
    return len(alive) > 1 and max(alive) > RATIO * min(alive)
