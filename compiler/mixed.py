"""Where int8 alone costs too much: keep the layers that cost most in float, a few more each time, until it is enough.

Which ones is measured, layer by layer (`compiler.explain.rank_layers`). At most a third of them: beyond that the
conversions between the two eat what int8 saves. A layer between float layers only is kept in float with them.

In float, not in 16 bits: one of ResNet-20's 19 convolutions in int16 takes LiteRT 2.1 ms, the whole network in float .9
(docs/compile.md has the figures).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import takewhile

from compiler.builder import Builder
from compiler.explain import rank_layers
from compiler.observe.ranges import ranges_of
from compiler.plan import Plan
from compiler.quantize.error import CEILING_DB
from compiler.quantize.layers import Network

MOST_SHARE = 1 / 3
MOST_LAYERS = 150
"""In a larger network every layer would be built alone for minutes; it gets no mixed plan."""


def mixed_plans(builder: Builder, base: Plan, integer: bytes) -> Iterator[Plan]:
    """Yield plans that keep 1, 2, 3, 4, 6, 8, 12 ... of the costliest layers in float.

    Args:
        builder: of the model.
        base: the best int8 plan of this runtime.
        integer: the file that it made.

    Raises: BadModelError if the layers cannot be measured.

    """
    reference = builder.bench(base.runtime).reference
    if len(reference.network.layers) > MOST_LAYERS:
        return
    rows = rank_layers(reference, ranges=ranges_of(reference.seen, base.ranges, base.percent), integer=integer)
    costly = [row.name for row in rows if row.alone_db < CEILING_DB]
    for count in _counts(min(len(costly), max(1, int(MOST_SHARE * len(rows))))):
        yield replace(base, precision="mixed", keep_float=bridged(costly[:count], reference.network))


def bridged(names: Sequence[str], network: Network) -> tuple[str, ...]:
    """Add the layers that lie between the named ones only: in int8 each would cost two conversions and lose anyway."""
    kept = dict.fromkeys(names)
    makers = {output: layer.name for layer in network.layers for output in layer.outputs}
    for layer in network.layers:  # in order, so that a chain of them is bridged from its beginning
        before = {makers[name] for name in layer.inputs if name in makers}
        after = {one.name for one in network.layers if set(one.inputs) & set(layer.outputs)}
        if layer.name not in kept and before and after and before <= kept.keys() and after <= kept.keys():
            kept[layer.name] = None
    return tuple(kept)


def _counts(most: int) -> Iterator[int]:
    """1, 2, 3, 4, 6, 8, 12, 16 ... up to `most`."""
    steps = sorted({2**power for power in range(12)} | {3 * 2**power for power in range(11)})
    return takewhile(lambda count: count <= most, steps)
