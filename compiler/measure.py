"""Measures the float reference and every candidate on a part of the samples, with the very code that a device runs."""

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from compiler.candidate import Candidate
from compiler.compare import Comparison, compare
from compiler.dataset import Samples
from compiler.detection.packed import BoxReader
from compiler.stage import Stage, Step
from compiler.subject import Subject
from compiler.yardstick import Run, Yardstick, value_of
from edge.errors import BadDataError
from edge.manifest import InputContract, Latency, Quality, RuntimeName, TaskName, TensorSpec, Variant
from edge.preprocess import Preprocessor
from edge.quantization import dequantize
from edge.runtimes import Session, open_model, outputs_of
from edge.score import rebuilds

WARM_UP, ROUNDS, PER_ROUND = 3, 20, 5
MOST_NUMBERS, LEAST_OUTPUTS = 100_000_000, 16
"""Outputs of one run that are kept: 400 MB. A detector of 41,140 numbers fills them with 2,430 pictures."""
LATENCY_BUDGET_S = 3.0
"""Per candidate; a slow model is timed fewer times, but at least PER_ROUND times."""

Predictor = Callable[[bytes, Variant], Latency | None]
"""Says how long one inference of a compiled file takes on the target's core; None: nobody can say."""

NOTHING = np.zeros(0, np.float32)
"""In place of an input that nothing is compared with."""

Open = Callable[[bytes, Variant], Session]
"""Opens a compiled file: `edge.runtimes.open_model`, or for an NPU's file what simulates it."""


def no_prediction(content: bytes, variant: Variant) -> Latency | None:  # noqa: ARG001
    """Know nothing of any core: then published speed-ups decide between int8 and float, and --max-ms is unproven."""
    return None


@dataclass(frozen=True, slots=True, eq=False)
class Scores(Run):
    """What one model said and decided of samples, and how many of its decisions are right."""

    predicted: NDArray[np.int64] = field(repr=False)
    correct: NDArray[np.bool_] = field(repr=False)

    @property
    def accuracy(self) -> float:
        """Share of right decisions."""
        return float(self.correct.mean())


@dataclass(frozen=True, slots=True)
class Timing:
    """Time of one inference on this host, one thread: median, 10th and 90th percentile."""

    core: str
    ms: float
    low: float
    high: float
    simulated: bool = False
    """Of a chip's simulator, which tells nothing of the chip's own time."""


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


@dataclass(frozen=True, slots=True, eq=False)
class InputStatistics:
    """Of the real-valued model inputs: for each element, over samples; shapes are those of one sample without batch."""

    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    low: float
    high: float
    samples: int

    def per_channel(self, axis: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Pool all elements of a channel; std counts the spread inside a sample, too."""
        others = tuple(a for a in range(self.mean.ndim) if a != axis % self.mean.ndim)
        mean = self.mean.astype(np.float64).mean(axis=others)
        second = (self.std.astype(np.float64) ** 2 + self.mean.astype(np.float64) ** 2).mean(axis=others)
        return mean.astype(np.float32), np.sqrt(np.maximum(second - mean**2, 0)).astype(np.float32)


def real_inputs(subject: Subject) -> Iterator[NDArray[np.float32]]:
    """Yield samples as the model's real-valued input, [steps, ...]: the batch of 1 without a state, else a sequence."""
    shape = subject.model.input_shape
    preprocessor = Preprocessor(subject.contract, TensorSpec(name="input", shape=shape, dtype="float32"))
    for index in range(len(subject.samples)):
        steps = [preprocessor.real(raw) for raw in subject.samples.sequence(index)]
        yield np.stack(steps).reshape(-1, *shape[1:])


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


def _drop_last(outputs: list[NDArray[np.float32]], samples: int) -> None:
    """Keep a detector's outputs of the first samples only, where those of all would fill the memory."""
    if samples > max(LEAST_OUTPUTS, MOST_NUMBERS // outputs[0].size):
        outputs.pop()


def statistics_of(subject: Subject) -> InputStatistics:
    """Mean and spread of each input element over all steps of all samples, of which there is at least one."""
    count, total, squares = 0, np.zeros(1), np.zeros(1)
    low, high = np.inf, -np.inf
    for sequence in real_inputs(subject):
        wide = sequence.astype(np.float64)
        count, total, squares = count + len(wide), total + wide.sum(axis=0), squares + (wide**2).sum(axis=0)
        low, high = min(low, float(wide.min())), max(high, float(wide.max()))
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return InputStatistics(mean.astype(np.float32), std.astype(np.float32), low, high, len(subject.samples))


def score(run: Run, samples: Samples, yardstick: Yardstick) -> Scores:
    """Decide as a device does, and look which decisions are right."""
    predicted = yardstick.decide(run.values)
    return Scores(run.outputs, run.values, predicted, predicted == samples.labels)


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


def run_session(
    session: Session,
    contract: InputContract,
    samples: Samples,
    task: TaskName,
    step: Step,
    *,
    reader: BoxReader | None = None,
    as_seen: bool = False,
) -> Run:
    """Run one open model over samples: preprocessing, quantization, the state and all.

    `as_seen`: what rebuilds its input is compared with the input after quantization, else with the one before.
    """
    preprocessor = Preprocessor(contract, session.variant.input)
    outputs, values = [], []
    compares = task == "anomaly" and rebuilds(session.variant)
    for index in range(len(samples)):
        sequence = samples.sequence(index)
        session.reset()
        for at, raw in enumerate(sequence, start=samples.judged - len(sequence)):
            preprocessor.into(raw, session.input_buffer())
            x = _compared(session, preprocessor, raw, as_seen=as_seen) if compares else NOTHING
            _invoke(session, samples.where[index])
            if at >= 0:
                said = outputs_of(session) if reader else (session.output(),)
                outputs.append(np.concatenate([output.ravel() for output in said]).astype(np.float32))
                values.append(reader.values(said) if reader else value_of(task, x, outputs[-1]))
        if reader:
            _drop_last(outputs, len(values))
        step()
    return Run(np.stack(outputs), np.stack(values))


def run_as_counted(candidate: Candidate, subject: Subject, open_one: Open = open_model) -> Scores:
    """Run a candidate over samples as a device counts them; nothing in it is right or wrong.

    All steps of a sequence count. Samples with an anomaly do not, as far as there are others: a device sees them
    rarely, or it would be of no use. What was rebuilt is compared with what the model saw, not with the input before
    quantization, which no device has.
    """
    usual = subject.usual()
    samples = (usual if len(usual.samples) else subject).samples.judging_every_step()
    session = open_one(candidate.data, candidate.variant)
    try:
        run = run_session(
            session, subject.contract, samples, subject.task, lambda: None, reader=subject.reader, as_seen=True
        )
    finally:
        session.close()
    nothing = np.zeros(len(run.outputs), np.int64)
    return Scores(run.outputs, run.values, nothing, nothing.astype(np.bool_))


def _compared(session: Session, preprocessor: Preprocessor, raw: NDArray[Any], *, as_seen: bool) -> NDArray[np.float32]:
    """What an autoencoder's output is compared with; before the model runs, which may use the buffer."""
    return dequantize(session.input_buffer(), session.variant.input) if as_seen else preprocessor.real(raw)


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


def time_in_turns(sessions: Sequence[Session]) -> list[Timing]:
    """Time `invoke` alone, on inputs that are already set."""
    taken: list[list[float]] = [[] for _ in sessions]
    for session in sessions:
        for _ in range(WARM_UP):
            session.invoke()
    for _ in range(ROUNDS):
        for session, times in zip(sessions, taken, strict=True):
            if sum(times) > LATENCY_BUDGET_S:
                continue
            for _ in range(PER_ROUND):
                start = time.perf_counter()
                session.invoke()
                times.append(time.perf_counter() - start)
    core = host_core()
    spans = [[float(q) * 1e3 for q in np.percentile(times, [50, 10, 90])] for times in taken]
    return [Timing(core, ms, low, high) for ms, low, high in spans]


def host_core() -> str:
    """Name this machine's processor type, not the machine. Source: proc(5), "model name"; ARM kernels give none."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next((name for name in names if name), platform.processor() or platform.machine())


def is_this_kind(arch: str) -> bool:
    """Tell whether this machine is of an architecture, as `uname -m` names it."""
    return platform.machine() == arch


def as_runtime(variant: Variant, runtime: RuntimeName) -> Variant:
    """Return the same file, to be opened by another runtime."""
    from msgspec.structs import replace

    return replace(variant, runtime=runtime)
