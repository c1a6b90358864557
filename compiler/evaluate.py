"""Measures every variant of a finished bundle on labelled samples."""

from dataclasses import dataclass, field
from math import prod
from pathlib import Path

from compiler.arrange import arrange
from compiler.dataset import Data, Samples
from compiler.detection.arrange import arrange_boxes, assume
from compiler.detection.packed import BoxReader
from compiler.read_data import open_data
from compiler.run import Scores, run_session, score
from compiler.stage import Stage
from compiler.timing import Timing, time_in_turns
from compiler.yardstick import fit
from edge.bundle import Bundle, open_bundle
from edge.errors import MissingExtraError
from edge.manifest import Head, Manifest, MetricName, Variant
from edge.runtimes import Session, open_session


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """One variant: its value by the bundle's metric, and how often it decides as the yardstick does."""

    variant: Variant
    value: float
    scores: Scores = field(repr=False)
    agreement: float
    timing: Timing


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """All variants that this machine can run; the yardstick is the float variant, or the first where there is none."""

    bundle: Bundle
    metric: MetricName
    samples: int
    yardstick: Variant
    variants: tuple[Evaluated, ...]
    missing: tuple[str, ...]
    """Variants that cannot run here, and why."""


def evaluate_bundle(path: Path, data: Path, *, label_column: str, stage: Stage) -> Evaluation:
    """Run all variants on *all* samples: what is held out is for the caller to know.

    Raises: BadBundleError, BadDataError, FileMissingError; MissingExtraError if no variant can run here.
    """
    bundle = open_bundle(path)
    manifest = bundle.manifest
    task, reader = manifest.task, reader_of(manifest)
    found = open_data(data, label_column=label_column, task=task, stateful=manifest.stateful)
    samples = _arranged(found, manifest)
    sessions, missing = _open_all(bundle)
    try:
        with stage("evaluating", len(sessions) * len(samples)) as step:
            runs = [run_session(one, manifest.input, samples, task, step, reader=reader) for one in sessions]
        timings = time_in_turns(sessions)
    finally:
        for session in sessions:
            session.close()
    variants = [session.variant for session in sessions]
    best = next((at for at, variant in enumerate(variants) if variant.dtype == "float32"), 0)
    before = runs[best].values
    samples = samples if reader is None else assume(samples, before, reader.head.floor)
    yardstick = fit(task, manifest.quality.metric, before, samples.truth, reader=reader)
    return Evaluation(
        bundle=bundle,
        metric=manifest.quality.metric,
        samples=len(samples),
        yardstick=variants[best],
        variants=tuple(
            Evaluated(
                variant,
                yardstick.metric.compare(before, run.values, samples.truth).compiled,
                score(run, samples, yardstick),
                yardstick.agreement(before, run.values),
                timing,
            )
            for variant, run, timing in zip(variants, runs, timings, strict=True)
        ),
        missing=missing,
    )


def reader_of(manifest: Manifest) -> BoxReader | None:
    """How a detector's boxes are read; None for any other task."""
    if not isinstance(manifest.head, Head):
        return None
    shapes = tuple(spec.shape for spec in manifest.variants[0].outputs)
    return BoxReader(manifest.head, len(manifest.labels), shapes)


def _arranged(found: Data, manifest: Manifest) -> Samples:
    if isinstance(manifest.head, Head):
        return arrange_boxes(found, manifest.input, labels=manifest.labels, count=len(manifest.labels))
    outputs = prod(manifest.variants[0].outputs[0].shape)
    return arrange(
        found,
        manifest.input,
        labels=manifest.labels,
        outputs=outputs,
        task=manifest.task,
        stateful=manifest.stateful,
    )


def _open_all(bundle: Bundle) -> tuple[list[Session], tuple[str, ...]]:
    sessions, missing = [], []
    for variant in bundle.manifest.variants:
        try:
            sessions.append(open_session(bundle, variant=variant))
        except MissingExtraError as exc:
            missing.append(exc.problem)
            last = exc
    if not sessions:
        raise last
    return sessions, tuple(missing)
