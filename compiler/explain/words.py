"""An explanation as tables for people, and as one JSON object for scripts."""

from math import isinf
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from compiler.explain.advice import ADVICE
from compiler.explain.bundle import Explanation, Repair
from compiler.explain.layers import LayerError, measured_db, short_name
from compiler.json_objects import layer_to_json
from compiler.measure import sqnr_of
from compiler.table import render

SHOWN = 20


def summarize_explanation(told: Explanation) -> str:
    """Layers first, then what was tried."""
    worst = told.layers[0] if told.layers else None
    lines = [
        f"{told.manifest.name} version {told.manifest.version} on {told.runtime}, plain int8, layer by layer",
        *([] if told.same_data else ["these are not the samples that the bundle was made with"]),
        _verdict(worst),
    ]
    heading = (
        f"what was tried, on the {told.samples} samples that choose, against plain int8 "
        f"(times: predicted for {told.manifest.target})"
    )
    left = [Text(f"{one.dtype} on {one.runtime} was not built: {one.reason}") for one in told.skipped]
    more = len(told.layers) - SHOWN
    rest = [Text(f"and {more} layers more that cost less")] if more > 0 else []
    return render(
        Group(*map(Text, lines), Text(""), _layers(told), *rest, Text(""), Text(heading), _repairs(told), *left)
    )


def explanation_to_json(told: Explanation) -> dict[str, Any]:
    """Build the object that `edge explain --json` prints."""
    return {
        "name": told.manifest.name,
        "version": told.manifest.version,
        "runtime": told.runtime,
        "samples": told.samples,
        "same_data": told.same_data,
        "layers": [layer_to_json(one) for one in told.layers],
        "tried": [_repair_to_json(one) for one in told.repairs],
        "skipped": [{"runtime": one.runtime, "dtype": one.dtype, "reason": one.reason} for one in told.skipped],
    }


def _verdict(worst: LayerError | None) -> str:
    if worst is None:
        return "no layer of this network can be int8"
    if worst.cause == "none":
        return f"no layer stands out: {short_name(worst.name)} costs most, and alone it leaves {worst.alone_db:.1f} dB"
    return f"{short_name(worst.name)} ({worst.op}) costs most: {worst.cause}; what may help: {ADVICE[worst.cause]}"


def _layers(told: Explanation) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("layer", "operator"):
        table.add_column(title)
    for title in ("alone, dB", "gathered, dB", "range", "channels", "clipped"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("likely cause")
    for one in told.layers[:SHOWN]:
        table.add_row(
            Text(short_name(one.name)),
            Text(one.op),
            _decibels(one.alone_db),
            _decibels(one.sqnr_db),
            f"{one.low:.3g}..{one.high:.3g}",
            f"{one.imbalance:.1f} : 1",
            f"{one.saturated:.2%}",
            "-" if one.cause == "none" else one.cause,
            style="" if one.cause == "none" else "bold",
        )
    return table


def _repairs(told: Explanation) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("plan")
    for title in ("SQNR", "lost", "recovered", "ms", "paid"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("what became of it")
    for one in told.repairs:
        measured, predicted = one.measured, one.measured.predicted
        sqnr = sqnr_of(measured)
        table.add_row(
            Text(plan_words(one)),
            "exact" if isinf(sqnr) else f"{sqnr:.1f} dB",
            f"{100 * measured.quality.drop:+.2f}",
            f"{100 * one.recovered:+.2f}",
            "-" if predicted is None else f"{predicted.ms:.3g}",
            "-" if one.paid_ms is None else f"{one.paid_ms:+.3g}",
            Text(measured.candidate.note),
            style="bold" if one.chosen else "",
        )
    return table


def plan_words(one: Repair) -> str:
    """Name a form by its plan, without the runtime that all share."""
    plan = one.measured.candidate.plan
    words = one.measured.candidate.dtype if plan is None else str(plan).partition(" ")[2]
    return f"{words} (in the bundle)" if one.chosen else words


def _decibels(value: float) -> str:
    return "-" if measured_db(value) is None else f"{value:.1f}"


def _repair_to_json(one: Repair) -> dict[str, Any]:
    measured, sqnr = one.measured, sqnr_of(one.measured)
    return {
        "plan": str(measured.candidate.plan),
        "note": measured.candidate.note,
        "sqnr_db": None if isinf(sqnr) else sqnr,
        "drop": measured.quality.drop,
        "recovered": one.recovered,
        "gained_db": None if isinf(one.gained_db) else one.gained_db,
        "predicted": measured.predicted,
        "paid_ms": one.paid_ms,
        "chosen": one.chosen,
    }
