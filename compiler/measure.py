"""Measures the float reference and every candidate on the held-out samples, with the very code that a device runs."""

import hashlib
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compiler.candidate import Candidate
from compiler.dataset import Samples
from compiler.load.source import SourceModel
from edge.manifest import InputContract, Quality, RuntimeName, TensorSpec, Variant
from edge.preprocess import Preprocessor
from edge.runtimes import Session, open_model

RESAMPLES = 10_000
WARM_UP, ROUNDS, PER_ROUND = 3, 20, 5
LATENCY_BUDGET_S = 3.0
"""Per candidate; a slow model is timed fewer times, but at least PER_ROUND times."""

Step = Callable[[], None]
"""Called after each sample, for a progress bar."""


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Outputs [samples, classes] of one model, and how many of its decisions are right."""

    outputs: NDArray[np.float32] = field(repr=False)
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


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One candidate and what was found out about it."""

    candidate: Candidate
    scores: Scores = field(repr=False)
    quality: Quality
    timing: Timing


@dataclass(frozen=True, slots=True, eq=False)
class InputStatistics:
    """Of the real-valued model inputs: for each element, over samples; shapes are those of one sample without batch."""

    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    low: float
    high: float

    def per_channel(self, axis: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Pool all elements of a channel; std counts the spread inside a sample, too."""
        others = tuple(a for a in range(self.mean.ndim) if a != axis % self.mean.ndim)
        mean = self.mean.astype(np.float64).mean(axis=others)
        second = (self.std.astype(np.float64) ** 2 + self.mean.astype(np.float64) ** 2).mean(axis=others)
        return mean.astype(np.float32), np.sqrt(np.maximum(second - mean**2, 0)).astype(np.float32)


def real_inputs(
    model: SourceModel, contract: InputContract, samples: Samples, indices: Sequence[int]
) -> Iterator[NDArray[np.float32]]:
    """Yield samples as the model's real-valued input, batch 1 included."""
    spec = TensorSpec(name="input", shape=model.input_shape, dtype="float32")
    preprocessor = Preprocessor(contract, spec)
    for index in indices:
        yield preprocessor.real(samples.raw(index)).reshape(model.input_shape)


def measure_reference(
    model: SourceModel, contract: InputContract, samples: Samples, indices: Sequence[int], step: Step
) -> tuple[Scores, InputStatistics]:
    """Run the model as it was given, in float, and note what its inputs look like."""
    outputs, total, squares = [], 0.0, 0.0
    low, high = np.inf, -np.inf
    for x in real_inputs(model, contract, samples, indices):
        outputs.append(model.run(x).astype(np.float32).ravel())
        wide = x[0].astype(np.float64)
        total, squares = total + wide, squares + wide**2
        low, high = min(low, float(x.min())), max(high, float(x.max()))
        step()
    mean = np.asarray(total) / len(indices)
    std = np.sqrt(np.maximum(np.asarray(squares) / len(indices) - mean**2, 0))
    statistics = InputStatistics(mean.astype(np.float32), std.astype(np.float32), low, high)
    return score(np.stack(outputs), samples.labels[list(indices)]), statistics


def score(outputs: NDArray[np.float32], labels: NDArray[np.int64]) -> Scores:
    """Decide by the highest output, as a device does."""
    predicted = outputs.argmax(axis=1).astype(np.int64)
    return Scores(outputs=outputs, predicted=predicted, correct=predicted == labels)


def run_session(
    session: Session, contract: InputContract, samples: Samples, indices: Sequence[int], step: Step
) -> Scores:
    """Run one open model over samples: preprocessing, quantization and all."""
    preprocessor = Preprocessor(contract, session.variant.input)
    outputs = []
    for index in indices:
        preprocessor.into(samples.raw(index), session.input_buffer())
        session.invoke()
        outputs.append(np.array(session.output(), np.float32).ravel())
        step()
    return score(np.stack(outputs), samples.labels[list(indices)])


def measure_candidates(
    candidates: Sequence[Candidate],
    *,
    reference: Scores,
    contract: InputContract,
    samples: Samples,
    indices: Sequence[int],
    step: Step,
) -> tuple[Measured, ...]:
    """Measure every candidate on all samples; latency in turns, so that a busy machine slows all alike."""
    sessions = [open_model(candidate.data, candidate.variant) for candidate in candidates]
    try:
        scores = [run_session(session, contract, samples, indices, step) for session in sessions]
        timings = time_in_turns(sessions)
    finally:
        for session in sessions:
            session.close()
    return tuple(
        Measured(candidate, scored, compare(reference, scored), timing)
        for candidate, scored, timing in zip(candidates, scores, timings, strict=True)
    )


def compare(reference: Scores, compiled: Scores) -> Quality:
    """Accuracy of both, and the paired difference with its interval."""
    return Quality(
        metric="accuracy",
        reference=reference.accuracy,
        compiled=compiled.accuracy,
        drop=reference.accuracy - compiled.accuracy,
        ci95=paired_bootstrap(reference.correct, compiled.correct),
        agreement=float((reference.predicted == compiled.predicted).mean()),
        samples=len(reference.correct),
    )


def paired_bootstrap(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> tuple[float, float]:
    """95 % interval of accuracy(before) - accuracy(after) on the same samples; the same input gives the same interval.

    A pair differs by -1, 0 or +1, so resampling pairs is drawing from a multinomial of three counts.
    Without a single differing pair the interval is [0, 0]; then up to 3 / samples may still hide (rule of three).
    Source: B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993, percentile method.
    """
    count = len(before)
    lost, gained = int((before & ~after).sum()), int((~before & after).sum())
    seed = int.from_bytes(hashlib.sha256(f"{count} {lost} {gained}".encode()).digest()[:8])
    shares = [lost / count, gained / count, (count - lost - gained) / count]
    draws = np.random.default_rng(seed).multinomial(count, shares, size=RESAMPLES)
    low, high = np.percentile((draws[:, 0] - draws[:, 1]) / count, [2.5, 97.5])
    return float(low), float(high)


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
    return [Timing(core, *(float(q) * 1e3 for q in np.percentile(times, [50, 10, 90]))) for times in taken]


def host_core() -> str:
    """Name this machine's processor type, not the machine. Source: proc(5), "model name"; ARM kernels give none."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next((name for name in names if name), platform.processor() or platform.machine())


def as_runtime(variant: Variant, runtime: RuntimeName) -> Variant:
    """Return the same file, to be opened by another runtime."""
    from msgspec.structs import replace

    return replace(variant, runtime=runtime)
