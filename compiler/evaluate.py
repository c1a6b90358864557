"""Measures every variant of a finished bundle on labelled samples."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from compiler.dataset import arrange
from compiler.measure import Scores, Step, Timing, run_session, time_in_turns
from compiler.read_data import open_data
from edge.bundle import Bundle, open_bundle
from edge.errors import MissingExtraError
from edge.manifest import Variant
from edge.runtimes import Session, open_session

Stage = Callable[[str, int | None], AbstractContextManager[Step]]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """One variant: accuracy, and how often it decides as the yardstick does."""

    variant: Variant
    scores: Scores = field(repr=False)
    agreement: float
    timing: Timing


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """All variants that this machine can run; the yardstick is the float variant, or the first where there is none."""

    bundle: Bundle
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
    found = open_data(data, label_column=label_column)
    samples = arrange(found, manifest.input, labels=manifest.labels, outputs=len(manifest.labels))
    sessions, missing = _open_all(bundle)
    try:
        with stage("evaluating", len(sessions) * len(samples)) as step:
            scores = [run_session(one, manifest.input, samples, range(len(samples)), step) for one in sessions]
        timings = time_in_turns(sessions)
    finally:
        for session in sessions:
            session.close()
    variants = [session.variant for session in sessions]
    best = next((at for at, variant in enumerate(variants) if variant.dtype == "float32"), 0)
    return Evaluation(
        bundle=bundle,
        yardstick=variants[best],
        variants=tuple(
            Evaluated(variant, one, float((one.predicted == scores[best].predicted).mean()), timing)
            for variant, one, timing in zip(variants, scores, timings, strict=True)
        ),
        missing=missing,
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
