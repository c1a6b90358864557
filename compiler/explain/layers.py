"""A float file + an integer file -> one row a layer: its error, what it costs at the output, the likely cause."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compiler.explain.cause import Cause, classify
from compiler.observe import Observation
from compiler.observe.ranges import Range
from compiler.quantize.error import CEILING_DB
from compiler.quantize.layers import Layer, Network, per_channel_max
from compiler.quantize.reference import Reference

TINY = 1e-12


@dataclass(frozen=True, slots=True)
class LayerError:
    """What int8 does to one layer."""

    name: str
    """As `Plan.keep_float` takes it."""
    op: str
    sqnr_db: float
    """Of its own output in the integer model: the error that has gathered up to here. 150: not measured."""
    alone_db: float
    """Of the model's output with this layer alone in int8; the lowest is what to keep in float first. 150: never int8
    by itself."""
    low: float
    high: float
    """Range of its output."""
    imbalance: float
    """Largest over median channel range, of its output, its input or its weights, whichever is largest; 1: all alike.

    The input counts because a layer in int8 reads int8: who reads bad channels is harmed as much as who writes them."""
    saturated: float
    """Share of output values at the lowest or highest code."""
    cause: Cause


def rank_layers(
    reference: Reference, *, ranges: Mapping[str, Range], integer: bytes, samples: int = 16
) -> tuple[LayerError, ...]:
    """Measure every layer that can be int8, the one that costs most at the output first.

    Args:
        reference: the float file.
        ranges: of its activations, such as `ranges_of(reference.seen, "minmax")`.
        integer: the same model in int8; its own tensors are compared with the float model's.
        samples: calibration samples that are run, once for each layer.

    Raises: BadModelError.
    """
    network, left = reference.network, reference.verbs.float_kinds(integer)
    local = reference.local_errors(integer, samples=samples)
    rows = []
    for layer in network.layers:
        seen = reference.seen.get(layer.outputs[0]) if layer.outputs else None
        if seen is None:
            continue
        alone = reference.alone(layer.name, ranges, samples=samples)
        own = local.get(layer.outputs[0])
        touched = [reference.seen[name] for name in (*layer.inputs, layer.outputs[0]) if name in reference.seen]
        spread = max(_spread(one.channel_max) for one in touched)
        rows.append(
            _row(layer, network, seen, ranges[layer.outputs[0]], (own, alone), spread, is_float=layer.op in left)
        )
    return tuple(sorted(rows, key=lambda row: (row.alone_db, row.name)))


def measured_db(value: float) -> float | None:
    """Decibels of a row, or None: the ceiling stands for what was not measured or is exact."""
    return value if value < CEILING_DB else None


def short_name(name: str) -> str:
    """Name a layer for a table: TFLite joins the paths of all that was fused into it."""
    return "/".join(name.partition(";")[0].split("/")[-2:])


def worst(rows: Sequence[LayerError], count: int) -> tuple[str, ...]:
    """Name the layers to keep in float first."""
    return tuple(row.name for row in rows[:count])


def _row(
    layer: Layer,
    network: Network,
    seen: Observation,
    span: Range,
    errors_db: tuple[float | None, float | None],
    spread: float,
    *,
    is_float: bool,
) -> LayerError:
    """Gather the figures of one layer. Errors None: not measured, because it is fused or never int8 by itself.

    `spread`: largest over median channel range of what it reads and writes.
    """
    own_db, alone_db = (CEILING_DB if one is None else one for one in errors_db)
    imbalance = max(spread, _spread(_weight_ranges(layer, network)))
    saturated = _share_outside(seen, span)
    fill = _root_mean_square(seen) / max(abs(span[0]), abs(span[1]), TINY)
    judged_db = own_db if errors_db[1] is None else alone_db  # what it gathered from layers before it is not its doing
    cause = classify(sqnr_db=judged_db, is_float=is_float, saturated=saturated, imbalance=imbalance, fill=fill)
    return LayerError(layer.name, layer.op, own_db, alone_db, seen.low, seen.high, imbalance, saturated, cause)


def _weight_ranges(layer: Layer, network: Network) -> NDArray[np.float64]:
    return per_channel_max(network.constants[layer.weight], layer.out_axis) if layer.weight else np.ones(1)


def _spread(channels: NDArray[np.float64]) -> float:
    return float(channels.max() / max(float(np.median(channels)), TINY)) if channels.max() > TINY else 1.0


def _share_outside(seen: Observation, span: Range) -> float:
    """Share of the nonzero values that lie beyond the range."""
    histogram = seen.histogram
    outside = (histogram.centres < span[0]) | (histogram.centres > span[1])
    return float(histogram.counts[outside].sum() / max(histogram.total, 1))


def _root_mean_square(seen: Observation) -> float:
    histogram = seen.histogram
    return float(np.sqrt((histogram.counts * histogram.centres**2).sum() / max(histogram.total, 1)))
