"""Measures every candidate on a part of the samples: what it decides, what compiling cost, how long it takes."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Protocol

from compiler.candidate import Candidate
from compiler.compare import Comparison, compare
from compiler.prediction import Predictor
from compiler.run import Open, Scores, run_session, score
from compiler.stage import Stage, Step
from compiler.subject import Subject
from compiler.timing import Timing, time_in_turns
from compiler.yardstick import Yardstick
from edge.manifest import Latency, Quality
from edge.runtimes import Session, open_model


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One candidate and what was found out about it on one part of the samples."""

    candidate: Candidate
    scores: Scores = field(repr=False)
    compared: Comparison
    timing: Timing
    predicted: Latency | None = None
    """On the target's core; None: nobody can say."""
    before_squash_db: float | None = None
    """SQNR of what goes into the soft-max or sigmoid that makes the outputs; None where there is none."""

    @property
    def quality(self) -> Quality:
        """What compiling cost."""
        return self.compared.quality


def sqnr_of(one: Measured) -> float:
    """Signal to noise against the float model, decibels: of the outputs, or of what a soft-max makes them of.

    Infinite where they are equal.
    """
    if one.before_squash_db is not None:
        return one.before_squash_db
    found = next((figure.value for figure in one.compared.figures if figure.unit == "dB"), None)
    return inf if found is None else found


class Measure(Protocol):
    """Measures candidates on samples that it was made for."""

    def __call__(self, candidates: Sequence[Candidate], open_one: Open = open_model) -> tuple[Measured, ...]:
        """Measure them; `open_one` opens their files."""


def measure_candidates(
    candidates: Sequence[Candidate],
    *,
    subject: Subject,
    reference: Scores,
    yardstick: Yardstick,
    predict: Predictor,
    step: Step,
    open_one: Open = open_model,
) -> tuple[Measured, ...]:
    """Measure every candidate on all samples; latency in turns, so that a busy machine slows all alike."""
    sessions = [open_one(candidate.data, candidate.variant) for candidate in candidates]
    try:
        scores = [_scored(session, subject, yardstick, step) for session in sessions]
        timings = time_in_turns(sessions)
    finally:
        for session in sessions:
            session.close()
    return tuple(
        Measured(
            candidate,
            scored,
            compare(reference, scored, subject.samples.truth, yardstick, judged=subject.samples.judged),
            timing,
            predict(candidate.data, candidate.variant),
        )
        for candidate, scored, timing in zip(candidates, scores, timings, strict=True)
    )


def measuring(
    subject: Subject, *, reference: Scores, yardstick: Yardstick, predict: Predictor, stage: Stage
) -> Measure:
    """Return a function that measures candidates on `subject`, with a progress bar."""

    def measure(candidates: Sequence[Candidate], open_one: Open = open_model) -> tuple[Measured, ...]:
        with stage("measuring candidates", len(candidates) * len(subject.samples)) as step:
            return measure_candidates(
                candidates,
                subject=subject,
                reference=reference,
                yardstick=yardstick,
                predict=predict,
                step=step,
                open_one=open_one,
            )

    return measure


def measure_again(
    one: Measured,
    *,
    subject: Subject,
    reference: Scores,
    yardstick: Yardstick,
    step: Step,
    open_one: Open = open_model,
) -> Measured:
    """Measure what a candidate decides on other samples; its time stays."""
    session = open_one(one.candidate.data, one.candidate.variant)
    try:
        scored = _scored(session, subject, yardstick, step)
    finally:
        session.close()
    samples = subject.samples
    return replace(
        one, scores=scored, compared=compare(reference, scored, samples.truth, yardstick, judged=samples.judged)
    )


def _scored(session: Session, subject: Subject, yardstick: Yardstick, step: Step) -> Scores:
    run = run_session(session, subject.contract, subject.samples, subject.task, step, reader=subject.reader)
    return score(run, subject.samples, yardstick)
