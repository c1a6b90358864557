"""Runs models over samples, the float one and compiled files, with the very code that a device runs."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from compiler.candidate import Candidate
from compiler.dataset import Samples
from compiler.detection.packed import BoxReader
from compiler.inputs import real_inputs
from compiler.stage import Step
from compiler.subject import Subject
from compiler.yardstick import Run, Yardstick, value_of
from edge.errors import BadDataError
from edge.manifest import InputContract, TaskName, Variant
from edge.preprocess import Preprocessor
from edge.quantization import dequantize
from edge.runtimes import Session, open_model, outputs_of
from edge.score import rebuilds

Open = Callable[[bytes, Variant], Session]
"""Opens a compiled file: `edge.runtimes.open_model`, or for an NPU's file what simulates it."""

NOTHING = np.zeros(0, np.float32)
"""In place of an input that nothing is compared with."""
MOST_NUMBERS, LEAST_OUTPUTS = 100_000_000, 16
"""Outputs of one run that are kept: 400 MB. A detector of 41,140 numbers fills them with 2,430 pictures."""


@dataclass(frozen=True, slots=True, eq=False)
class Scores(Run):
    """What one model said and decided of samples, and how many of its decisions are right."""

    predicted: NDArray[np.int64] = field(repr=False)
    correct: NDArray[np.bool_] = field(repr=False)

    @property
    def accuracy(self) -> float:
        """Share of right decisions."""
        return float(self.correct.mean())


def score(run: Run, samples: Samples, yardstick: Yardstick) -> Scores:
    """Decide as a device does, and look which decisions are right."""
    predicted = yardstick.decide(run.values)
    return Scores(run.outputs, run.values, predicted, predicted == samples.labels)


def run_reference(subject: Subject, step: Step) -> Run:
    """Run the model as it was given, in float."""
    outputs, values = [], []
    reader = subject.reader
    for sequence in real_inputs(subject):
        before = len(sequence) - subject.samples.judged
        for at, answers in enumerate(subject.model.unroll_all(sequence)):
            if at >= before:
                said = answers if reader else answers[:1]
                outputs.append(np.concatenate([output.astype(np.float32).ravel() for output in said]))
                values.append(reader.values(said) if reader else value_of(subject.task, sequence[at], outputs[-1]))
        if reader:
            _drop_last(outputs, len(values))
        step()
    return Run(np.stack(outputs), np.stack(values))


def run_session(
    session: Session,
    contract: InputContract,
    samples: Samples,
    task: TaskName,
    step: Step,
    *,
    reader: BoxReader | None = None,
) -> Run:
    """Run one open model over samples: preprocessing, quantization, the state and all.

    What rebuilds its input is compared with the input as the model saw it, after quantization, as on a device: an
    anomaly that lies beyond the range of an integer input is clipped there, and must not count as found for it.
    """
    preprocessor = Preprocessor(contract, session.variant.input)
    outputs, values = [], []
    compares = task == "anomaly" and rebuilds(session.variant)
    for index in range(len(samples)):
        sequence = samples.sequence(index)
        session.reset()
        for at, raw in enumerate(sequence, start=samples.judged - len(sequence)):
            preprocessor.into(raw, session.input_buffer())
            seen = dequantize(session.input_buffer(), session.variant.input) if compares and at >= 0 else NOTHING
            _invoke(session, samples.where[index])
            if at >= 0:
                said = outputs_of(session) if reader else (session.output(),)
                outputs.append(np.concatenate([output.ravel() for output in said]).astype(np.float32))
                values.append(reader.values(said) if reader else value_of(task, seen, outputs[-1]))
        if reader:
            _drop_last(outputs, len(values))
        step()
    return Run(np.stack(outputs), np.stack(values))


def run_as_counted(candidate: Candidate, subject: Subject, open_one: Open = open_model) -> Scores:
    """Run a candidate over samples as a device counts them; nothing in it is right or wrong.

    All steps of a sequence count. Samples with an anomaly do not, as far as there are others: a device sees them
    rarely, or it would be of no use.
    """
    usual = subject.usual()
    samples = (usual if len(usual.samples) else subject).samples.judging_every_step()
    session = open_one(candidate.data, candidate.variant)
    try:
        run = run_session(session, subject.contract, samples, subject.task, lambda: None, reader=subject.reader)
    finally:
        session.close()
    nothing = np.zeros(len(run.outputs), np.int64)
    return Scores(run.outputs, run.values, nothing, nothing.astype(np.bool_))


def _invoke(session: Session, where: str) -> None:
    """Run once.

    Raises: BadDataError for a sample that the runtime cannot compute.
    """
    try:
        session.invoke()
    except RuntimeError as exc:
        variant = session.variant
        raise BadDataError(
            f"{variant.dtype} on {variant.runtime} fails on {where}: {str(exc).strip().splitlines()[0]}",
            remedy="look at the samples that calibrate: numbers far beyond the others break an integer model",
        ) from exc


def _drop_last(outputs: list[NDArray[np.float32]], samples: int) -> None:
    """Keep a detector's outputs of the first samples only, where those of all would fill the memory."""
    if samples > max(LEAST_OUTPUTS, MOST_NUMBERS // outputs[0].size):
        outputs.pop()
