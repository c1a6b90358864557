"""What the page shows, as text: every number is formatted here, so that the template only places it."""

import base64
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import isinf

import msgspec
import numpy as np

from compiler.budget import Clause, milliseconds, points, upper95
from compiler.choose import least_agreement
from compiler.explain.advice import ADVICE
from compiler.explain.cause import GOOD_DB
from compiler.explain.layers import LayerError, measured_db, short_name
from compiler.measure import Measured, sqnr_of
from compiler.report import charts
from compiler.report.boxes import boxes_by_label, changed_boxes, changed_pictures
from compiler.report.placed import Placement, placement_of
from compiler.report.steps import Fact, steps
from compiler.result import Compiled
from compiler.summary import UNTOUCHED, value
from edge.manifest import Manifest

FLIPS_SHOWN = 24
LAYERS_SHOWN = 20
THUMB_PIXELS = 112
METRIC_TITLES = {
    "accuracy": "Accuracy",
    "top5": "Top-5 accuracy",
    "auc": "AUC",
    "f1": "F1",
    "mae": "Mean abs. error",
    "correlation": "Correlation",
    "map": "mAP .50:.95",
    "map50": "mAP at .50",
}
RUNTIME_TITLES = {
    "litert": "LiteRT",
    "onnxruntime": "ONNX Runtime",
    "tflite-runtime": "tflite-runtime",
    "rknn": "RKNN (simulator)",
}


@dataclass(frozen=True, slots=True)
class Tile:
    """One of the big figures at the top; `tone` is good, doubt or plain."""

    title: str
    value: str
    detail: str
    tone: str = "plain"


@dataclass(frozen=True, slots=True)
class CandidateRow:
    """One line of the candidates table."""

    runtime: str
    dtype: str
    state: str
    size: str
    value: str
    measured_on: str
    drop: str
    interval: str
    bound: str
    agreement: str
    figures: str
    """Beside the metric: SQNR, correlation and so on."""
    predicted: str
    """On the target's core; empty where nobody can say."""
    latency: str
    spread: str
    reason: str
    note: str


@dataclass(frozen=True, slots=True)
class Flip:
    """A sample that float and compiled decide differently; `picture` is a data: URL or empty."""

    where: str
    truth: str
    reference: str
    compiled: str
    outcome: str
    picture: str
    large: bool = False
    """The picture has boxes in it, which want room."""


@dataclass(frozen=True, slots=True)
class Part:
    """One of the three parts of the samples; `share` in percent, for the width of its bar."""

    name: str
    samples: int
    share: float
    does: str


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


@dataclass(frozen=True, slots=True)
class TriedRow:
    """One plan and what became of it."""

    plan: str
    state: str
    sqnr: str
    drop: str
    predicted: str
    note: str


@dataclass(frozen=True, slots=True)
class View:
    """Everything the template needs."""

    title: str
    subtitle: str
    runs: str
    verdict: str
    clauses: Sequence[Clause]
    parts: Sequence[Part]
    metric: str
    sentence: str
    warnings: Sequence[str]
    tiles: Sequence[Tile]
    candidates: Sequence[CandidateRow]
    scatter: str
    pareto: str
    mixed_parts: bool
    """Some candidates were measured on the select part only."""
    layers: Sequence[LayerRow]
    layers_chart: str
    layers_note: str
    layers_more: int
    placement: Placement
    tried: Sequence[TriedRow]
    intervals: str
    confusion: str
    by_class: str
    confusion_note: str
    flips: Sequence[Flip]
    flips_total: int
    decides: bool
    """A regression decides nothing that could change."""
    judged: str
    steps: Sequence[Fact]
    contract_json: str
    contract_origin: str
    verified: Sequence[Fact]
    skipped: Sequence[Fact]
    provenance: Sequence[Fact]
    samples_note: str
    host: str
    made: str


def view_of(compiled: Compiled) -> View:
    """Format a finished compile."""
    manifest, main = compiled.manifest, compiled.main
    quality = main.quality
    names = [_name(one) for one in compiled.measured]
    taken = [compiled.choice.main == index for index in range(len(names))]
    shown = [charts.Point(name, one, chosen) for name, one, chosen in zip(names, compiled.measured, taken, strict=True)]
    timed = [point for point in shown if not point.measured.timing.simulated]
    return View(
        title=f"{manifest.name} {manifest.version}",
        subtitle=f"{compiled.target.title} · {_what(manifest)} · {quality.metric}",
        runs=f"{main.candidate.dtype} on {_title(main.candidate.runtime)}",
        verdict=compiled.judgement.verdict,
        clauses=[Clause(one.promise, one.verdict, _sentence(one.sentence)) for one in compiled.judgement.clauses],
        parts=_parts(compiled),
        metric=quality.metric,
        sentence=_sentence(compiled.choice.sentence),
        warnings=((_sentence(UNTOUCHED),) if compiled.untouched else ()) + compiled.warnings,
        tiles=_tiles(compiled),
        candidates=[_row(compiled, index) for index in _table_order(compiled)],
        scatter=charts.scatter(timed, quality.metric, quality.reference),
        pareto=charts.pareto(shown, _core(compiled)),
        mixed_parts=not all(compiled.proved(one) for one in compiled.measured),
        layers=[_layer(row) for row in compiled.layers.rows[:LAYERS_SHOWN]],
        layers_chart=charts.layers([_bar(row) for row in compiled.layers.rows[:LAYERS_SHOWN] if _drawn(row)]),
        layers_note=_sentence(compiled.layers.note),
        layers_more=max(0, len(compiled.layers.rows) - LAYERS_SHOWN),
        placement=placement_of(compiled),
        tried=[_tried(compiled, index) for index in _table_order(compiled)],
        intervals=charts.intervals(shown, float(manifest.provenance.recipe["max_drop"])),
        confusion=charts.confusion(_confusion(compiled), _decided(compiled)),
        by_class=charts.by_class(_by_class(compiled)),
        confusion_note=f"{_counted(compiled)} of the report part, decided by the compiled model.",
        flips=_flips(compiled),
        decides=manifest.task != "regress",
        flips_total=len(_changed(compiled)),
        judged=f"{compiled.judged.candidate.dtype} on {_title(compiled.judged.candidate.runtime)}",
        steps=steps(manifest.input),
        contract_json=msgspec.json.format(msgspec.json.encode(manifest.input), indent=2).decode(),
        contract_origin=compiled.resolved.origin,
        verified=_verified(compiled),
        skipped=[Fact(f"{one.dtype} on {_title(one.runtime)}", one.reason) for one in compiled.skipped],
        provenance=_provenance(compiled),
        samples_note=(
            f"{sum(part.samples for part in _parts(compiled))} samples, split by a hash of their content. "
            "Copies lie in one part; there is no seed."
        ),
        host=main.timing.core,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _tiles(compiled: Compiled) -> list[Tile]:
    main, quality = compiled.main, compiled.main.quality
    floats = [len(one.candidate.data) for one in compiled.measured if one.candidate.dtype == "float32"]
    size = len(main.candidate.data)
    smaller = (
        f"{max(floats) / size:.1f}x smaller than float"
        if floats and max(floats) > 1.05 * size
        else "the float model's size"
    )
    return [
        Tile(
            METRIC_TITLES[quality.metric],
            value(quality.metric, quality.compiled),
            f"float {value(quality.metric, quality.reference)}, n = {quality.samples}",
        ),
        Tile(
            "Drop",
            points(quality.drop).replace(" points", " pt"),
            f"at most {100 * upper95(main):.2f} with 95 % confidence",
            "good" if compiled.judgement.drop.verdict == "kept" else "doubt",
        ),
        Tile(
            "Same decision",
            f"{quality.agreement:.1%}",
            f"as the float model; {least_agreement(quality.metric):.0%} wanted",
            "good" if quality.agreement >= least_agreement(quality.metric) else "doubt",
        ),
        Tile("Size", _bytes(size), smaller),
        _time(main),
    ]


def _time(main: Measured) -> Tile:
    """On the target if anybody can say, else here."""
    if main.predicted is not None:
        low, high = _ms(main.predicted.low), _ms(main.predicted.high)
        return Tile(
            "On the target", _ms(main.predicted.ms), f"{main.predicted.kind}: {low} to {high}, {main.predicted.core}"
        )
    if main.timing.simulated:
        return Tile("On the target", "not known", f"measured in {main.timing.core}")
    low, high = _ms(main.timing.low), _ms(main.timing.high)
    return Tile("Latency here", _ms(main.timing.ms), f"{low} to {high}, one thread of this workstation")


def _table_order(compiled: Compiled) -> list[int]:
    rest = [index for index in range(len(compiled.measured)) if index not in compiled.choice.taken]
    return [*compiled.choice.taken, *rest]


def _row(compiled: Compiled, index: int) -> CandidateRow:
    one, choice = compiled.measured[index], compiled.choice
    quality, timing = one.quality, one.timing
    return CandidateRow(
        runtime=_title(one.candidate.runtime),
        dtype=one.candidate.dtype,
        state="runs" if index == choice.main else "fallback" if index == choice.fallback else "",
        size=_bytes(len(one.candidate.data)),
        value=value(quality.metric, quality.compiled),
        measured_on="" if compiled.proved(one) else "on the select part",
        drop=f"{100 * quality.drop:+.2f}",
        interval=f"{100 * quality.ci95[0]:+.2f} to {100 * quality.ci95[1]:+.2f}",
        bound=f"{100 * upper95(one):+.2f}",
        agreement=f"{quality.agreement:.2%}",
        figures=_figures(one),
        predicted=milliseconds(one.predicted) if one.predicted else "",
        latency="simulated" if timing.simulated else _ms(timing.ms),
        spread="" if timing.simulated else f"{_ms(timing.low)} to {_ms(timing.high)}",
        reason=_sentence(choice.reasons[index]),
        note=_sentence(one.candidate.note),
    )


def _core(compiled: Compiled) -> str:
    cores = [one.predicted.core for one in compiled.measured if one.predicted is not None]
    return cores[0] if cores else compiled.target.title


def _layer(row: LayerError) -> LayerRow:
    blamed = row.cause != "none"
    return LayerRow(
        name=short_name(row.name),
        full_name=row.name,
        op=row.op,
        alone=_decibels(row.alone_db),
        gathered=_decibels(row.sqnr_db),
        span=f"{row.low:.3g} to {row.high:.3g}",
        channels=f"{row.imbalance:.1f} : 1",
        clipped=f"{row.saturated:.2%}",
        cause=row.cause if blamed else "",
        advice=ADVICE[row.cause] if blamed else "",
    )


def _bar(row: LayerError) -> charts.LayerBar:
    said = "good enough" if row.cause == "none" else row.cause
    stands_out = row.cause != "none" and row.alone_db < GOOD_DB
    return charts.LayerBar(short_name(row.name), row.alone_db, stands_out, f"{row.name} ({row.op}): {said}")


def _drawn(row: LayerError) -> bool:
    return measured_db(row.alone_db) is not None


def _decibels(value: float) -> str:
    return "-" if measured_db(value) is None else f"{value:.1f}"


def _tried(compiled: Compiled, index: int) -> TriedRow:
    one, choice = compiled.measured[index], compiled.choice
    sqnr = sqnr_of(one)
    return TriedRow(
        plan="packed as it came" if one.candidate.plan is None else str(one.candidate.plan),
        state="runs" if index == choice.main else "fallback" if index == choice.fallback else "",
        sqnr="exact" if isinf(sqnr) else f"{sqnr:.1f} dB",
        drop=f"{100 * one.quality.drop:+.2f}",
        predicted=milliseconds(one.predicted) if one.predicted else "-",
        note=_sentence(one.candidate.note),
    )


def _figures(one: Measured) -> str:
    shown = []
    for figure in one.compared.figures:
        number = "exact" if figure.value is None and figure.unit == "dB" else "unknown"
        if figure.value is not None:
            number = f"{figure.value:.1f} {figure.unit}" if figure.unit else f"{figure.value:.4f}"
        shown.append(f"{figure.name} {number}")
    return ", ".join(shown)


def _parts(compiled: Compiled) -> list[Part]:
    parts = compiled.split
    named = (
        ("Calibrate", parts.calibrate, "sets the ranges of int8"),
        ("Select", parts.select, "chooses the candidate"),
        ("Report", parts.report, "proves; it never chose anything"),
    )
    total = sum(len(indices) for _, indices, _ in named)
    return [Part(name, len(indices), 100 * len(indices) / total, does) for name, indices, does in named]


def _what(manifest: Manifest) -> str:
    if manifest.task == "detect":
        return f"boxes of {len(manifest.labels)} labels"
    return f"{len(manifest.labels)} classes" if manifest.task == "classify" else manifest.task


def _counted(compiled: Compiled) -> str:
    """What a matrix of decisions counts."""
    samples = compiled.report_part
    if samples.judged == 1:
        return f"{len(samples)} samples"
    return f"{samples.judged} steps of each of the {len(samples)} sequences"


def _decided(compiled: Compiled) -> tuple[str, ...]:
    """Names of the classes between which a sample is decided; none for a detector."""
    return () if compiled.manifest.task == "detect" else compiled.report_part.classes


def _confusion(compiled: Compiled) -> "charts.Counts":
    classes = len(_decided(compiled))
    truth = compiled.report_part.labels
    counts = np.zeros((classes, classes), np.int64)
    if classes:
        np.add.at(counts, (truth, compiled.main.scores.predicted), 1)
    return counts


def _by_class(compiled: Compiled) -> list[charts.ClassRow]:
    if compiled.manifest.task == "detect":
        return boxes_by_label(compiled)
    truth = compiled.report_part.labels
    rows = []
    for index, name in enumerate(compiled.report_part.classes):
        of_class = truth == index
        if of_class.any():
            before = float(compiled.reference.correct[of_class].mean())
            after = float(compiled.judged.scores.correct[of_class].mean())
            rows.append(charts.ClassRow(name, before, after, int(of_class.sum())))
    return rows


def _changed(compiled: Compiled) -> "charts.Counts":
    """Indices of the samples that float and compiled decide differently."""
    if compiled.manifest.task == "detect":
        return changed_pictures(compiled)
    return np.flatnonzero(compiled.reference.predicted != compiled.judged.scores.predicted)


def _flips(compiled: Compiled) -> list[Flip]:
    if compiled.manifest.task == "detect":
        return [Flip(**asdict(one)) for one in changed_boxes(compiled, _changed(compiled)[:FLIPS_SHOWN])]
    labels = compiled.report_part.classes
    before, after = compiled.reference.predicted, compiled.judged.scores.predicted
    flips = []
    for at in _changed(compiled)[:FLIPS_SHOWN]:
        index = int(at)
        truth = int(compiled.report_part.labels[index])
        outcome = "lost" if before[at] == truth else "gained" if after[at] == truth else "wrong either way"
        flips.append(
            Flip(
                where=compiled.report_part.where_of(index),
                truth=labels[truth],
                reference=labels[int(before[at])],
                compiled=labels[int(after[at])],
                outcome=outcome,
                picture=_thumbnail(compiled, index) if compiled.report_part.pictures else "",
            )
        )
    return flips


def _thumbnail(compiled: Compiled, index: int) -> str:
    """Return the picture as a small PNG in a data: URL; enlarged without smoothing, so that pixels can be seen."""
    import cv2

    picture = compiled.report_part.seen_at(index)
    scale = THUMB_PIXELS / max(picture.shape[:2])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
    return "data:image/png;base64," + base64.b64encode(cv2.imencode(".png", small)[1].tobytes()).decode()


def _verified(compiled: Compiled) -> list[Fact]:
    return [
        Fact(
            f"{one.dtype} on {_title(one.runtime)}",
            "reproduces the golden samples" if one.holds else "does not reproduce the golden samples",
            f"largest deviation {one.max_error:.2g}, allowed {compiled.manifest.golden.atol:.2g}"
            + (f"; {one.note}" if one.note else ""),
        )
        for one in compiled.verified
    ]


def _provenance(compiled: Compiled) -> list[Fact]:
    provenance = compiled.manifest.provenance
    return [
        Fact("Model", provenance.source_sha256, "sha256 of its content"),
        Fact("Data", provenance.data_sha256, "sha256 of contents and labels"),
        *[
            Fact(variant.file, variant.sha256, f"sha256, {_bytes(variant.size_bytes)}")
            for variant in compiled.manifest.variants
        ],
        *[Fact(name.replace("_", " ").capitalize(), value) for name, value in sorted(provenance.recipe.items())],
        Fact("Tools", ", ".join(f"{tool} {version}" for tool, version in sorted(provenance.tools.items()))),
    ]


def _name(one: Measured) -> str:
    """Runtime and type; and the ranges, where several files differ in them."""
    plan = one.candidate.plan
    ranges = f" {plan.ranges}" if plan is not None and plan.ranges != "minmax" else ""
    return f"{_title(one.candidate.runtime)} {one.candidate.dtype}{ranges}"


def _title(runtime: str) -> str:
    return RUNTIME_TITLES.get(runtime, runtime)


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:] if not text.startswith(("int8", "float32")) else text
    return text + "." if text and not text.endswith((".", "!")) else text


def _bytes(count: int) -> str:
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 1024:.1f} KiB"


def _ms(ms: float) -> str:
    return f"{ms * 1000:.0f} µs" if ms < 1 else f"{ms:.2f} ms" if ms < 10 else f"{ms:.1f} ms"
