"""`edge explain`: a bundle, its model and its data -> which layers cost accuracy, what each repair brings and costs.

Everything is measured on the calibrate and select parts, as when the bundle was made. What it built then comes from the
cache; only the plain int8 form, which all others are held against, is new.
"""

from dataclasses import dataclass, field
from pathlib import Path

from compiler.builder import Builder
from compiler.candidate import Skipped
from compiler.checks import check_task, compilable_target
from compiler.contract import Resolved
from compiler.effort import plans
from compiler.explain.layer_by_layer import explain_layers, plain
from compiler.explain.layers import LayerError
from compiler.inputs import real_inputs
from compiler.load import load_model
from compiler.load.source import SourceModel
from compiler.load.state import read_states
from compiler.measure import Measured, measuring, sqnr_of
from compiler.opening import subject_of
from compiler.placement.place import stand_in
from compiler.plan import Plan
from compiler.prediction import Predictor, no_prediction
from compiler.read_data import open_data
from compiler.run import run_reference, score
from compiler.search import Found, Scope, search
from compiler.split import split
from compiler.stage import Stage
from compiler.subject import Subject
from compiler.yardstick import fit
from edge.bundle import open_bundle
from edge.errors import BadArgumentError
from edge.manifest import Head, Manifest, RuntimeName


@dataclass(frozen=True, slots=True)
class Question:
    """What `edge explain` was asked; paths as given."""

    bundle: Path
    model: str
    data: Path
    label_column: str = "label"
    scope: Scope = field(default_factory=Scope)
    """Which repairs to hold against each other."""


@dataclass(frozen=True, slots=True)
class Repair:
    """One form of the model, and what it is against plain int8 on the same runtime."""

    measured: Measured = field(repr=False)
    recovered: float
    """Share of the metric that it loses less than plain int8 does; 0.02 is two points."""
    gained_db: float
    """SQNR of the outputs above that of plain int8; infinite where the outputs are the float model's."""
    paid_ms: float | None
    """Predicted time on the target above that of plain int8; None where nobody can say."""
    chosen: bool
    """It lies in the bundle."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer."""

    manifest: Manifest
    runtime: RuntimeName
    samples: int
    """Of the select part: what the repairs are measured on."""
    same_data: bool
    """These are the samples that the bundle was made with."""
    layers: tuple[LayerError, ...]
    repairs: tuple[Repair, ...]
    """Plain int8 first."""
    skipped: tuple[Skipped, ...]


def explain_bundle(question: Question, *, stage: Stage, predict: Predictor = no_prediction) -> Explanation:
    """Explain what int8 costs the model of a bundle, on the runtime of its main variant.

    Raises: BadArgumentError for another model or one that its maker quantized; else as `compile_model`.
    """
    bundle = open_bundle(question.bundle)
    manifest, runtime = bundle.manifest, _runtime(bundle.manifest)
    with stage("loading the model", None):
        states = read_states(manifest.provenance.recipe.get("state", ""))
        model = check_source(load_model(question.model, states), manifest)
    subject = _subject(question, manifest, model, stage)
    parts = split(subject.samples.digests)
    calibrate, select = subject.part(parts.calibrate).usual(), subject.part(parts.select)
    found = _search(question, manifest, calibrate, select, stage, predict)
    bare = next(one for one in found.measured if one.candidate.runtime == runtime and one.candidate.dtype == "int8")
    with stage("explaining layers", None):
        bench = Builder(model, lambda: real_inputs(calibrate)).bench(runtime)
        layers = explain_layers(bench, plain(_tried(found), runtime))
    kept = {variant.sha256 for variant in manifest.variants}
    return Explanation(
        manifest=manifest,
        runtime=runtime,
        samples=len(select.samples),
        same_data=subject.samples.sha256 == manifest.provenance.data_sha256,
        layers=layers,
        repairs=tuple(
            repair(one, bare, chosen=one.candidate.variant.sha256 in kept)
            for one in found.measured
            if one.candidate.runtime == runtime
        ),
        skipped=found.skipped,
    )


def check_source(model: SourceModel, manifest: Manifest) -> SourceModel:
    """Return the model if the bundle was made of it; raises BadArgumentError for another, or an integer one."""
    source = manifest.provenance.source_sha256
    if model.sha256 != source:
        raise BadArgumentError(
            f"the bundle was not made of this model: its source has sha256 {source[:12]}..., "
            f"the one given {model.sha256[:12]}...",
            remedy="give --model the very file that was compiled",
        )
    if model.quantized:
        raise BadArgumentError(
            "this model was quantized by its maker, so there is no float model to hold its layers against",
            remedy="compile the float model that it came from, and explain that bundle",
        )
    return model


def repair(one: Measured, bare: Measured, *, chosen: bool) -> Repair:
    """Hold one candidate against the plain one."""
    paid = None if one.predicted is None or bare.predicted is None else one.predicted.ms - bare.predicted.ms
    gained = 0.0 if one is bare else sqnr_of(one) - sqnr_of(bare)
    return Repair(one, bare.quality.drop - one.quality.drop, gained, paid, chosen)


def _subject(question: Question, manifest: Manifest, model: SourceModel, stage: Stage) -> Subject:
    check_task(model, manifest.task)
    data = open_data(question.data, label_column=question.label_column, task=manifest.task, stateful=manifest.stateful)
    head = manifest.head if isinstance(manifest.head, Head) else None
    resolved = Resolved(manifest.input, manifest.labels, "the bundle", head)
    return subject_of(model, data, resolved, manifest.labels, manifest.task, stage)


def _search(
    question: Question, manifest: Manifest, calibrate: Subject, select: Subject, stage: Stage, predict: Predictor
) -> Found:
    """Build and measure plain int8, then what the effort says, on the main variant's runtime only."""
    target, runtime = stand_in(compilable_target(manifest.target)), _runtime(manifest)
    stateful = bool(select.model.state)
    known = plans(select.model.kind, target, question.scope.effort, stateful=stateful)
    tried = [one for one in known if one.runtime == runtime]
    wanted = tuple(dict.fromkeys((plain(tried, runtime), *tried)))
    with stage("float reference", len(select.samples)) as step:
        run = run_reference(select, step)
    yardstick = fit(manifest.task, manifest.quality.metric, run.values, select.samples.truth, reader=select.reader)
    reference = score(run, select.samples, yardstick)
    return search(
        select,
        calibration=lambda: real_inputs(calibrate),
        calibrated=calibrate.samples.digests,
        target=target,
        scope=Scope(question.scope.effort, wanted, question.scope.cache),
        measure=measuring(select, reference=reference, yardstick=yardstick, predict=predict, stage=stage),
        fine=lambda _: True,
        stage=stage,
    )


def _runtime(manifest: Manifest) -> RuntimeName:
    """Of the main variant; of an NPU's, the one on which its int8 model was chosen and proven."""
    runtime = manifest.variants[0].runtime
    if runtime == "ethos-u":
        return "litert"
    return "onnxruntime" if runtime == "rknn" else runtime


def _tried(found: Found) -> list[Plan]:
    return [one.candidate.plan for one in found.measured if one.candidate.plan is not None]
