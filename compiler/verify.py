"""Runs the golden samples on every runtime of this machine that can open the bundle's variants."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from compiler.candidate import Candidate
from compiler.golden import (
    make_golden,
    make_golden_sequence,
    real_pool,
    real_sequences,
    synthetic_inputs,
    synthetic_sequences,
)
from compiler.inputs import InputStatistics
from compiler.run import Open
from compiler.subject import Subject
from edge.bundle import Golden
from edge.errors import GoldenMismatchError
from edge.manifest import ImageInput, RuntimeName, Tolerance
from edge.runtimes import installed, open_model, run_float

SAME_FORMAT: tuple[frozenset[RuntimeName], ...] = (
    frozenset({"litert", "tflite-runtime"}),
    frozenset({"onnxruntime"}),
    frozenset({"rknn"}),
)


@dataclass(frozen=True, slots=True)
class Verified:
    """One variant on one runtime: the largest deviation from the golden outputs, and whether it is allowed."""

    runtime: RuntimeName
    dtype: str
    max_error: float
    agreement: float
    """Share of golden samples with the golden label; 1 where there are no labels."""
    holds: bool
    note: str


@dataclass(frozen=True, slots=True)
class Proof:
    """Golden samples, and who reproduced them."""

    golden: Golden
    tolerance: Tolerance
    results: tuple[Verified, ...]


def prove(
    candidates: Sequence[Candidate],
    *,
    pool: Iterable[NDArray[np.float32]] | None,
    statistics: InputStatistics,
    subject: Subject,
    axis: int,
    open_one: Open = open_model,
) -> Proof:
    """Make golden samples with the first candidate and compare all of them, on every runtime that can open them.

    Args:
        candidates: those of the bundle, the main one first.
        pool: real inputs with batch to take golden samples from; None: synthetic ones from `statistics`.
        statistics: of the inputs of the select part.
        subject: tells whether inputs are pictures, and outputs the scores of labels.
        axis: of a sample's channels.
        open_one: opens them.

    Raises: GoldenMismatchError if it does not.

    """
    pictures, stateful = isinstance(subject.contract, ImageInput), bool(subject.model.state)
    labelled, every = subject.task == "classify" and not stateful, subject.reader is not None
    sessions = [open_one(candidate.data, candidate.variant) for candidate in candidates]
    try:
        if stateful:
            sequences = synthetic_sequences(statistics, axis, pictures) if pool is None else real_sequences(pool)
            golden, tolerance = make_golden_sequence(sessions, sequences)
        else:
            inputs = synthetic_inputs(statistics, axis, pictures) if pool is None else real_pool(pool)
            golden, tolerance = make_golden(sessions, inputs, labelled=labelled, every=every)
    finally:
        for session in sessions:
            session.close()
    results = [
        result
        for index, candidate in enumerate(candidates)
        for result in verify(
            candidate, golden, tolerance, main=index == 0, labelled=labelled, every=every, open_one=open_one
        )
    ]
    return Proof(golden, tolerance, tuple(results))


def verify(
    candidate: Candidate,
    golden: Golden,
    tolerance: Tolerance,
    *,
    main: bool,
    labelled: bool = True,
    every: bool = False,
    open_one: Open = open_model,
) -> tuple[Verified, ...]:
    """Compare on each installed runtime of the candidate's format.

    The main variant must hold on its own runtime. Another one that fails is told of: a device that has only that one
    would refuse the bundle, others run it.

    Raises: GoldenMismatchError if it does not.
    """
    results = []
    for runtime in sorted(_runtimes(candidate.runtime), key=lambda name: name != candidate.runtime):
        result = _compare(candidate, runtime, golden, tolerance, labelled=labelled, every=every, open_one=open_one)
        if main and not result.holds and runtime == candidate.runtime:
            raise GoldenMismatchError(
                f"{candidate.dtype} on {runtime} differs from its own golden outputs by {result.max_error:.3g}, "
                f"{tolerance.atol:.3g} is allowed",
                remedy=f"{runtime} computes this model wrongly: update it, or compile for another target",
            )
        results.append(result)
    return tuple(results)


def _runtimes(runtime: RuntimeName) -> set[RuntimeName]:
    family = next(group for group in SAME_FORMAT if runtime in group)
    return {runtime} | (family & set(installed()))


def _compare(
    candidate: Candidate,
    runtime: RuntimeName,
    golden: Golden,
    tolerance: Tolerance,
    *,
    labelled: bool,
    every: bool,
    open_one: Open,
) -> Verified:
    session = open_one(candidate.data, replace(candidate.variant, runtime=runtime))
    try:
        session.reset()
        outputs: NDArray[np.float32] = np.stack([run_float(session, x, every=every) for x in golden.input])
    finally:
        session.close()
    error = np.abs(outputs - golden.outputs)
    agreement = float((outputs.argmax(axis=1) == golden.outputs.argmax(axis=1)).mean()) if labelled else 1.0
    holds = bool((error <= tolerance.atol + tolerance.rtol * np.abs(golden.outputs)).all()) and agreement == 1.0
    note = "" if holds else "beyond the tolerance: a device with this runtime would refuse this variant"
    return Verified(runtime, candidate.dtype, float(error.max()), agreement, holds, note)
