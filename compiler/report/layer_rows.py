"""What int8 does to each layer, as a table and as bars; the costliest come first."""

from collections.abc import Sequence
from dataclasses import dataclass

from compiler.explain.advice import ADVICE
from compiler.explain.cause import GOOD_DB
from compiler.explain.layers import LayerError, measured_db, short_name
from compiler.report.charts.layers import LayerBar


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One line of the layers table."""

    name: str
    full_name: str
    op: str
    alone: str
    gathered: str
    span: str
    channels: str
    clipped: str
    cause: str
    """Empty: none is needed."""
    advice: str


def layer_rows(layers: Sequence[LayerError]) -> list[LayerRow]:
    """One for each layer."""
    return [_row(layer) for layer in layers]


def layer_bars(layers: Sequence[LayerError]) -> list[LayerBar]:
    """One for each layer that was measured alone."""
    return [_bar(layer) for layer in layers if measured_db(layer.alone_db) is not None]


def _row(layer: LayerError) -> LayerRow:
    blamed = layer.cause != "none"
    return LayerRow(
        name=short_name(layer.name),
        full_name=layer.name,
        op=layer.op,
        alone=_decibels(layer.alone_db),
        gathered=_decibels(layer.sqnr_db),
        span=f"{layer.low:.3g} to {layer.high:.3g}",
        channels=f"{layer.imbalance:.1f} : 1",
        clipped=f"{layer.saturated:.2%}",
        cause=layer.cause if blamed else "",
        advice=ADVICE[layer.cause] if blamed else "",
    )


def _bar(layer: LayerError) -> LayerBar:
    said = "good enough" if layer.cause == "none" else layer.cause
    stands_out = layer.cause != "none" and layer.alone_db < GOOD_DB
    return LayerBar(short_name(layer.name), layer.alone_db, stands_out, f"{layer.name} ({layer.op}): {said}")


def _decibels(value: float) -> str:
    return "-" if measured_db(value) is None else f"{value:.1f}"
