"""Golden samples and the drift baseline: what a device checks itself against.

Golden inputs are synthetic unless asked otherwise: coarse random patterns with the mean and spread of the real inputs,
so that a bundle carries nobody's pictures. Samples with a clear winner are taken, as many classes as there are.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from math import prod

import numpy as np
from numpy.typing import NDArray

from compiler.inputs import InputStatistics
from compiler.run import Scores
from compiler.subject import Subject
from edge.bundle import LIMITS, Baseline, Golden
from edge.errors import BadModelError
from edge.manifest import AudioInput, ImageInput, InputContract, SeriesInput, Tolerance, Variant
from edge.runtimes import Session, run_float
from edge.score import mean_number
from edge.statistics import SCORE_EDGES, count, quantile_edges, softmax_top1

LARGE_BYTES = 16 * 1024
"""Inputs above this are described by channel only: their mean and spread by element would say too much of the data."""
POOL, POOL_BYTES = 256, 64 * 1024 * 1024
"""Samples to choose from: so many, or as many as fit (inputs above 256 KiB)."""
LEAST = 2
"""Golden samples of a bundle: one alone would pass a runtime that always says the same."""
HEAD_BYTES = 1024
"""Of an .npz with two arrays, at most."""
USUAL_BYTES = 4 * 1024 * 1024
"""More than LEAST samples may take so much: 6 pictures of 224 x 224 x 3, 3 of 320 x 320 x 3, as float32."""
SEED = 20_150_731  # any fixed number: the same statistics must give the same samples
INT8_STEPS = 2
"""Kernels round an int8 sum differently by one step; the soft-max after it may add another."""
STATE_STEPS = 4
"""The same over a sequence, where what was rounded comes back with the state."""
FLOAT_RTOL = 1e-5
"""Float sums in another order (NEON, AVX, FMA) differ by about 1e-6 of the largest term; ten times that is allowed.
A runtime that computes *wrongly* is off by far more: tflite-runtime on dynamic-range models falls from .997 to .100."""


def synthetic_inputs(statistics: InputStatistics, channel_axis: int, images: bool) -> NDArray[np.float32]:
    """Make a pool [n, ...] from input statistics alone: mean + std * coarse noise, clipped to what was seen."""
    rng = np.random.default_rng(SEED)
    shape = statistics.mean.shape
    if images or statistics.mean.nbytes > LARGE_BYTES:
        mean, std = (_spread(values, shape, channel_axis) for values in statistics.per_channel(channel_axis))
    else:
        mean, std = statistics.mean, statistics.std
    pool = np.empty((_pool_size(statistics.mean.size), *shape), np.float32)
    for place in pool:
        noise = mean + std * rng.uniform(0.5, 2.0) * _coarse_noise(rng, shape, channel_axis)
        place[...] = np.clip(noise, statistics.low, statistics.high)
    return pool


def synthetic_sequences(statistics: InputStatistics, channel_axis: int, images: bool) -> NDArray[np.float32]:
    """Make a pool [n, steps, ...] for a model with a state, in the same way; the noise is coarse in time, too."""
    rng = np.random.default_rng(SEED)
    shape = (LIMITS.golden_samples, *statistics.mean.shape)
    mean, std = statistics.mean, statistics.std
    if images or mean.nbytes > LARGE_BYTES:
        mean, std = (_spread(one, mean.shape, channel_axis) for one in statistics.per_channel(channel_axis))
    axis = channel_axis + 1 if channel_axis >= 0 else channel_axis
    pool = np.empty((_pool_size(prod(shape)), *shape), np.float32)
    for place in pool:
        noise = mean + std * rng.uniform(0.5, 2.0) * _coarse_noise(rng, shape, axis)
        place[...] = np.clip(noise, statistics.low, statistics.high)
    return pool


def real_sequences(inputs: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Take the beginnings of the first real sequences as the pool, when the data may go to devices."""
    several = iter(inputs)
    first = next(several)[: LIMITS.golden_samples]
    others = (x[: len(first)] for x in islice(several, _pool_size(first.size) - 1))
    pool: NDArray[np.float32] = np.stack([first, *others]).astype(np.float32)
    return pool


def make_golden_sequence(sessions: Sequence[Session], pool: NDArray[np.float32]) -> tuple[Golden, Tolerance]:
    """Keep the one sequence on which the variants differ least; its outputs are those of the first session.

    What a step rounds otherwise stays in the state, so int8 may differ by STATE_STEPS, not INT8_STEPS. Labels need
    not agree: in its first steps such a model has seen too little to be sure.
    """
    outputs = [np.stack([_unrolled(session, sequence) for sequence in pool]) for session in sessions]
    spread = np.max([np.abs(one - outputs[0]).max(axis=(1, 2)) for one in outputs], axis=0)
    chosen = int(spread.argmin())
    steps = min(len(pool[chosen]), _room(pool[chosen][0], outputs[0][chosen][0]))
    kept = [one[chosen][:steps] for one in outputs]
    atol = max(
        _allowed(session.variant, one, STATE_STEPS) + float(np.abs(one - kept[0]).max())
        for session, one in zip(sessions, kept, strict=True)
    )
    return Golden(input=pool[chosen][:steps], outputs=kept[0]), Tolerance(atol=_round_up(atol), rtol=FLOAT_RTOL)


def _unrolled(session: Session, sequence: NDArray[np.float32]) -> NDArray[np.float32]:
    """Outputs [steps, k] of one sequence from its beginning."""
    session.reset()
    return np.stack([run_float(session, x) for x in sequence])


def real_pool(inputs: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Take the first real inputs (with batch) as the pool, when the data may go to devices."""
    several = iter(inputs)
    first = next(several)[0]
    others = (x[0] for x in islice(several, _pool_size(first.size) - 1))
    pool: NDArray[np.float32] = np.stack([first, *others]).astype(np.float32)
    return pool


def make_golden(
    sessions: Sequence[Session], pool: NDArray[np.float32], *, labelled: bool = True, every: bool = False
) -> tuple[Golden, Tolerance]:
    """Keep samples with a clear winner, class by class; outputs are those of the first session.

    Without labels there is no winner: those samples are kept on which the variants differ least. `every`: all outputs
    count, not the first one alone.

    A bundle has one set of golden outputs and one tolerance for all its variants. So samples are taken on which the
    variants name the same label and differ least, and that difference is added to what runtimes may differ by.
    """
    outputs = [np.stack([run_float(session, x, every=every) for x in pool]) for session in sessions]
    labels = np.stack([one.argmax(axis=1) if labelled else np.zeros(len(one), np.int64) for one in outputs])
    alike = np.flatnonzero((labels == labels[0]).all(axis=0))
    clear = _clear(outputs[0], alike) if labelled else alike
    spread = np.max([np.abs(one[clear] - outputs[0][clear]).max(axis=1) for one in outputs], axis=0, initial=0.0)
    order = clear[_varied(labels[0][clear], spread)][: _room(pool[0], outputs[0][0])]
    if len(order) < LEAST:
        raise BadModelError(
            f"int8 and float agree on {len(alike)} of {len(pool)} golden samples",
            remedy="try --golden-from-data; if that fails, they are different functions: compile with --max-drop 0",
        )
    kept = [one[order] for one in outputs]
    atol = max(
        _allowed(session.variant, one) + float(np.abs(one - kept[0]).max())
        for session, one in zip(sessions, kept, strict=True)
    )
    return Golden(input=pool[order], outputs=kept[0]), Tolerance(atol=_round_up(atol), rtol=FLOAT_RTOL)


def _clear(outputs: NDArray[np.float32], alike: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of samples, the half whose winner is clearest."""
    top = np.sort(outputs[alike], axis=1)
    margins = top[:, -1] - top[:, -2]
    return alike[margins >= np.median(margins)] if len(alike) else alike


def make_baseline(
    scores: Scores, subject: Subject, *, statistics: InputStatistics, axis: int
) -> tuple[Baseline, tuple[float, ...]]:
    """Count scores and labels of the report part as a device counts them in the field; returns the edges, too.

    A classifier's scores have fixed edges, and none are returned. Other tasks' scores, which `edge.score` describes,
    have edges of their own: quantiles, so that no bin holds too many or too few.
    """
    mean, std = statistics.per_channel(axis)
    if subject.task != "classify":
        each = _one_score(scores.values, subject)
        edges = quantile_edges(each)
        return Baseline(count(each, edges), np.zeros(0, np.int64), mean, std), edges
    top = [softmax_top1(output) for output in scores.outputs]
    labels = np.bincount([label for label, _ in top], minlength=len(subject.samples.classes)).astype(np.int64)
    return Baseline(count([value for _, value in top], SCORE_EDGES), labels, mean, std), ()


def _one_score(values: NDArray[np.float32], subject: Subject) -> NDArray[np.float32]:
    """One number a sample, [samples]: of a detector the score of its surest box, of others the mean."""
    if subject.reader:
        surest: NDArray[np.float32] = np.maximum(values[:, 0], 0)
        return surest
    return np.array([mean_number(one) for one in values], np.float32)


def _allowed(variant: Variant, outputs: NDArray[np.float32], steps: int = INT8_STEPS) -> float:
    """What two right runtimes may differ by: `steps` of the output's scale, or FLOAT_RTOL of its largest value."""
    if variant.dtype == "float32":
        return FLOAT_RTOL * float(np.abs(outputs).max())
    scales = [spec.scale for spec in variant.outputs]
    scale = scales[0] if outputs.shape[1] == prod(variant.outputs[0].shape) else max(s or 0.0 for s in scales) or None
    # a float output behind int8 arithmetic still moves in about 1/255 of its range
    return steps * (scale if scale is not None else float(np.ptp(outputs)) / 255)


def check_room(one_bytes: int) -> None:
    """Raise BadModelError if LEAST samples of so many bytes, input and outputs as float32, do not fit into a bundle."""
    if HEAD_BYTES + LEAST * one_bytes > LIMITS.golden_bytes:
        raise BadModelError(
            f"one input of this model has {one_bytes / 2**20:.1f} MiB, and a bundle's golden samples at most "
            f"{LIMITS.golden_bytes // 2**20} MiB, at least {LEAST} of them",
            remedy="train the network for smaller inputs: a picture of 3 colours fits up to 1180 x 1180",
        )


def _room(x: NDArray[np.float32], output: NDArray[np.float32]) -> int:
    """How many samples are taken; raises BadModelError if the bundle format has no room for LEAST."""
    one_bytes = x.nbytes + output.nbytes
    check_room(one_bytes)
    return max(LEAST, min(LIMITS.golden_samples, (USUAL_BYTES - HEAD_BYTES) // one_bytes))


def _pool_size(numbers: int) -> int:
    """How many samples of that many float32 numbers a pool holds."""
    return max(LEAST, min(POOL, POOL_BYTES // (4 * numbers)))


def _round_up(value: float) -> float:
    """Three digits are enough, and read better in a manifest."""
    return float(f"{value * 1.005:.3g}")


def channel_axis(contract: InputContract, layout: str | None) -> int:
    """Axis of a sample (without batch) along which means differ: colours, columns or features."""
    if isinstance(contract, ImageInput):
        return 0 if contract.layout == "NCHW" else -1
    if isinstance(contract, SeriesInput):
        return 0 if contract.layout == "NCT" else -1
    if isinstance(contract, AudioInput):
        return {"NCT": 0, "NTC1": 1, "N1CT": 1}.get(contract.layout, -1)
    return 0 if layout == "NCHW" else -1


def _coarse_noise(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> NDArray[np.float32]:
    """Blocks of normal noise, 2 to 7 a side: networks react to it more than to white noise, and it packs well."""
    cells = [side if at == axis % len(shape) else min(side, int(rng.integers(2, 8))) for at, side in enumerate(shape)]
    noise = rng.standard_normal(cells, np.float32)
    for at, side in enumerate(shape):
        noise = np.take(noise, np.arange(side) * cells[at] // side, axis=at)
    return noise


def _spread(values: NDArray[np.float32], shape: tuple[int, ...], axis: int) -> NDArray[np.float32]:
    sides = [1] * len(shape)
    sides[axis % len(shape)] = len(values)
    return np.broadcast_to(values.reshape(sides), shape)


def _varied(labels: NDArray[np.int64], spread: NDArray[np.float32]) -> list[int]:
    """Order indices: of each class the one with the least spread, then the second of each, and so on."""
    turn: dict[int, int] = {}
    ranked = []
    for index in sorted(range(len(labels)), key=lambda index: (float(spread[index]), index)):
        label = int(labels[index])
        turn[label] = turn.get(label, -1) + 1
        ranked.append((turn[label], float(spread[index]), index))
    return [index for _, _, index in sorted(ranked)]
