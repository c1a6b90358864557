"""What the page shows, as text: every number is formatted in this package, so that the template only places it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from compiler.budget import Clause
from compiler.report import decisions
from compiler.report.candidates import CandidateRow, TriedRow, candidate_rows, core_of, points_of, tried_rows
from compiler.report.charts.classes import by_class
from compiler.report.charts.confusion import confusion
from compiler.report.charts.intervals import intervals
from compiler.report.charts.layers import layers
from compiler.report.charts.pareto import pareto
from compiler.report.charts.scatter import scatter
from compiler.report.flip import Flip
from compiler.report.layer_rows import LayerRow, layer_bars, layer_rows
from compiler.report.placed import Placement, placement_of
from compiler.report.steps import Fact, steps
from compiler.report.tiles import Tile, tiles
from compiler.report.words import form, sentence
from compiler.result import Compiled
from compiler.summary import UNTOUCHED
from compiler.words import kib
from edge.manifest import Manifest

LAYERS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Part:
    """One of the three parts of the samples; `share` in percent, for the width of its bar."""

    name: str
    samples: int
    share: float
    does: str


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
    quality, judged = main.quality, compiled.judged.candidate
    points, parts = points_of(compiled), _parts(compiled)
    timed = [point for point in points if not point.measured.timing.simulated]
    shown = compiled.layers.rows[:LAYERS_SHOWN]
    return View(
        title=f"{manifest.name} {manifest.version}",
        subtitle=f"{compiled.target.title} · {_what(manifest)} · {quality.metric}",
        runs=form(main.candidate.dtype, main.candidate.runtime),
        verdict=compiled.judgement.verdict,
        clauses=[Clause(one.promise, one.verdict, sentence(one.sentence)) for one in compiled.judgement.clauses],
        parts=parts,
        metric=quality.metric,
        sentence=sentence(compiled.choice.sentence),
        warnings=((sentence(UNTOUCHED),) if compiled.untouched else ()) + compiled.warnings,
        tiles=tiles(compiled),
        candidates=candidate_rows(compiled),
        scatter=scatter(timed, quality.metric, quality.reference),
        pareto=pareto(points, core_of(compiled)),
        mixed_parts=not all(compiled.proved(one) for one in compiled.measured),
        layers=layer_rows(shown),
        layers_chart=layers(layer_bars(shown)),
        layers_note=sentence(compiled.layers.note),
        layers_more=max(0, len(compiled.layers.rows) - LAYERS_SHOWN),
        placement=placement_of(compiled),
        tried=tried_rows(compiled),
        intervals=intervals(points, float(manifest.provenance.recipe["max_drop"])),
        confusion=confusion(*decisions.confusion(compiled)),
        by_class=by_class(decisions.by_class(compiled)),
        confusion_note=f"{decisions.counted(compiled)} of the report part, decided by the compiled model.",
        flips=decisions.flips(compiled),
        flips_total=len(decisions.changed(compiled)),
        decides=manifest.task != "regress",
        judged=form(judged.dtype, judged.runtime),
        steps=steps(manifest.input),
        contract_json=msgspec.json.format(msgspec.json.encode(manifest.input), indent=2).decode(),
        contract_origin=compiled.resolved.origin,
        verified=_verified(compiled),
        skipped=[Fact(form(one.dtype, one.runtime), one.reason) for one in compiled.skipped],
        provenance=_provenance(compiled),
        samples_note=(
            f"{sum(part.samples for part in parts)} samples, split by a hash of their content. "
            "Copies lie in one part; there is no seed."
        ),
        host=main.timing.core,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


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


def _verified(compiled: Compiled) -> list[Fact]:
    return [
        Fact(
            form(one.dtype, one.runtime),
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
            Fact(variant.file, variant.sha256, f"sha256, {kib(variant.size_bytes)}")
            for variant in compiled.manifest.variants
        ],
        *[Fact(name.replace("_", " ").capitalize(), value) for name, value in sorted(provenance.recipe.items())],
        Fact("Tools", ", ".join(f"{tool} {version}" for tool, version in sorted(provenance.tools.items()))),
    ]
