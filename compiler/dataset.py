"""Labelled samples: every one gets its class, series and sound are cut into windows, arrays may become pictures."""

import difflib
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from compiler.detection.annotations import Annotations
from compiler.words import short
from edge.errors import BadDataError
from edge.manifest import AudioInput, ImageInput, InputContract, SeriesInput, TaskName, TensorInput

BLOCK_WINDOWS = 10
"""Windows may share rows, so blocks of this many windows' rows are split, each as a whole."""
SEQUENCE_STEPS = 64
"""Windows of a series that follow each other and become one sequence, for a model with a state."""

ANOMALY_CLASSES = ("normal", "anomaly")

Kind = Literal["pictures", "arrays", "rows", "sound"]
Array = NDArray[Any]  # uint8 pictures or float32 values: the contract says which


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """Samples as on the disk: `read(i)` gives a BGR picture, float values or int16 sound, `tags[i]` its label."""

    path: Path
    kind: Kind
    tags: tuple[str, ...]
    numbered: bool
    """The tags are class numbers, not names."""
    digests: tuple[bytes, ...]
    where: tuple[str, ...]
    """How to name a sample to a person: file, index or line."""
    shape: tuple[int, ...]
    """Of the first sample; pictures: height, width, 3."""
    read: Callable[[int], Array] = field(repr=False)
    columns: tuple[str, ...] = ()
    targets: NDArray[np.float32] | None = None
    """[samples, k] numbers, if the samples are for a regression."""
    annotations: Annotations | None = None
    """True boxes, if the samples are for a detector and somebody drew them."""
    steps: int = 0
    """Of each sample, where it is a sequence for a model with a state: then `read(i)` is [steps, *shape]. 0: none is.

    A sequence has one label (or numbers) for its last step, or one for every step: `tags` or `targets` are so many.
    """
    sample_rate: int = 0
    """Of sound, in Hz."""
    lengths: tuple[int, ...] = ()
    """Of sound: how many samples each clip has."""


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """What the compiler works on: sample i is `raw(i)`, of class `labels[i]`."""

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    digests: tuple[bytes, ...]
    """Equal for samples that must not be split apart."""
    where: tuple[str, ...]
    raw: Callable[[int], Array] = field(repr=False)
    sha256: str
    """Of contents and labels; names, order and place of the files do not matter."""
    pictures: bool
    targets: NDArray[np.float32] | None = None
    """[samples, k]: what a regression shall say; [samples, most, 6]: true boxes (`compiler.detection.packed`)."""
    assumed: bool = False
    """Nobody drew true boxes: those that the float model sees stand for them."""
    steps: int = 0
    """As in `Data`."""
    judged: int = 1
    """Outputs of each sample that are judged: the last one, or those of all steps. So many labels it has, in a row."""

    def __len__(self) -> int:
        return len(self.digests)

    def sequence(self, index: int) -> Array | tuple[Array]:
        """All steps of one sample, oldest first; a sample that is no sequence is its own only step."""
        return self.raw(index) if self.steps else (self.raw(index),)

    def where_of(self, row: int) -> str:
        """How to name the sample of a label to a person; with its step, where each has a label."""
        index, at = divmod(row, self.judged)
        return self.where[index] if self.judged == 1 else f"{self.where[index]}, step {at}"

    def seen_at(self, row: int) -> Array:
        """The picture or the values that a label is about: of a sequence, its last step or the one labelled."""
        index, at = divmod(row, self.judged)
        return self.sequence(index)[at - self.judged]

    def judging_every_step(self) -> "Samples":
        """The same sequences without their truth, every step of which is looked at."""
        return replace(self, judged=max(1, self.steps), labels=np.zeros(0, np.int64), targets=None)

    @property
    def truth(self) -> Array:
        """What a metric holds the model against."""
        return self.labels if self.targets is None else self.targets

    def part(self, indices: Sequence[int]) -> "Samples":
        """Only these samples, in this order; `sha256` stays that of the whole."""
        chosen = tuple(indices)
        rows = [index * self.judged + at for index in chosen for at in range(self.judged)]
        return replace(
            self,
            labels=self.labels[rows],
            digests=tuple(self.digests[index] for index in chosen),
            where=tuple(self.where[index] for index in chosen),
            raw=lambda index: self.raw(chosen[index]),
            targets=None if self.targets is None else self.targets[rows],
        )


def arrange(
    data: Data,
    contract: InputContract,
    *,
    labels: Sequence[str],
    outputs: int,
    task: TaskName = "classify",
    stateful: bool = False,
) -> Samples:
    """Give every sample its class, or its numbers; a series is cut into windows first.

    Args:
        data: as opened.
        contract: decides whether rows become windows, arrays pictures, and sound or arrays features.
        labels: class names in the order of the model's outputs; empty: sorted names, or numbers.
        outputs: scores that the model gives.
        task: anomaly knows two classes, normal and anomaly; regress has numbers instead.
        stateful: samples are sequences; the windows of a series that follow each other make some.

    Raises: BadDataError if a label is not among the classes, or all samples of a classifier are of one class.

    """
    if isinstance(contract, SeriesInput) and data.kind == "rows":
        data = _cut_windows(data, contract, SEQUENCE_STEPS if stateful else 0)
    elif isinstance(contract, ImageInput) and data.kind == "arrays":
        data = _as_pictures(data)
    elif isinstance(contract, AudioInput):
        from compiler.sound import cut_sound, take_features

        data = cut_sound(data, contract) if data.kind == "sound" else take_features(data, contract)
    elif isinstance(contract, TensorInput):
        data = replace(data, read=partial(_as_float, data.read))
    if task == "regress":
        return _regression(data, contract, outputs)
    classes = _classes(data, tuple(labels), outputs) if task == "classify" else ANOMALY_CLASSES
    indices = _indices(data, classes)
    if task == "classify" and len(set(indices)) < 2:
        one = classes[indices[0]]
        raise BadDataError(
            f"all {len(indices)} samples of {data.path} are of one class, {one!r}",
            remedy="a model that always says this would look perfect; add samples of the other classes",
        )
    judged = len(indices) // len(data.digests)
    names = [
        b"\0".join(classes[i].encode() for i in indices[at : at + judged]) for at in range(0, len(indices), judged)
    ]
    lines = sorted(digest + b"\0" + name for digest, name in zip(data.digests, names, strict=True))
    return Samples(
        classes=classes,
        labels=np.array(indices, np.int64),
        digests=data.digests,
        where=data.where,
        raw=data.read,
        sha256=hashlib.sha256(b"\n".join(lines)).hexdigest(),
        pictures=isinstance(contract, ImageInput),
        steps=data.steps,
        judged=judged,
    )


def _regression(data: Data, contract: InputContract, outputs: int) -> Samples:
    """Numbers instead of classes; as many for each sample as the model gives."""
    targets = data.targets
    if targets is None or targets.shape[1] != outputs:
        found = "class names" if targets is None else f"{targets.shape[1]} numbers"
        raise BadDataError(
            f"{data.path}: y has {found} for each sample, but the model gives {outputs} numbers",
            remedy="give y as numbers, [samples, ...] of the shape of the model's output",
        )
    judged = len(targets) // len(data.digests)
    rows = targets.reshape(len(data.digests), -1)
    lines = sorted(digest + y.tobytes() for digest, y in zip(data.digests, rows, strict=True))
    return Samples(
        classes=(),
        labels=np.zeros(len(targets), np.int64),
        digests=data.digests,
        where=data.where,
        raw=data.read,
        sha256=hashlib.sha256(b"\n".join(lines)).hexdigest(),
        pictures=isinstance(contract, ImageInput),
        targets=targets,
        steps=data.steps,
        judged=judged,
    )


# ---- classes


def _classes(data: Data, labels: tuple[str, ...], outputs: int) -> tuple[str, ...]:
    if labels:
        if len(labels) != outputs or len(set(labels)) != len(labels):
            raise BadDataError(
                f"{len(set(labels))} different class names were given, but the model gives {outputs} scores",
                remedy="name every output once, in the order of the model's outputs",
            )
        return labels
    if data.numbered:
        return tuple(str(number) for number in range(outputs))
    found = tuple(sorted(set(data.tags)))
    if len(found) != outputs and len(found) > 1:
        raise BadDataError(
            f"{data.path} has {len(found)} classes ({short(found)}), but the model gives {outputs} scores",
            remedy="pass --labels FILE with one class name a line, in the order of the model's outputs",
        )
    return found


def _indices(data: Data, classes: tuple[str, ...]) -> list[int]:
    numbers = {name: index for index, name in enumerate(classes)}
    if data.numbered and not set(data.tags) <= numbers.keys():  # named classes, numbered samples
        numbers = {str(index): index for index in range(len(classes))}
    judged = len(data.tags) // len(data.where)
    for at, tag in enumerate(data.tags):
        if tag not in numbers:
            raise BadDataError(
                f"{data.where[at // judged]} has the label {tag!r}, which is {_no_class(tag, classes, data.numbered)}",
                remedy=(
                    "correct it, or pass --labels FILE: one class name a line, in the order of the model's outputs"
                ),
            )
    return [numbers[tag] for tag in data.tags]


def _no_class(tag: str, classes: tuple[str, ...], numbered: bool) -> str:
    if numbered:
        return f"not in 0..{len(classes) - 1}"
    near = difflib.get_close_matches(tag, classes, n=1)
    return f"no class (nearest: {near[0]!r})" if near else f"no class; classes are {short(classes)}"


# ---- shaped as the contract says


def _as_float(read: Callable[[int], Array], index: int) -> Array:
    return read(index).astype(np.float32)


def _as_pictures(data: Data) -> Data:
    """Take uint8 arrays [n, h, w, 3] in RGB order, or [n, h, w], for pictures."""
    grey = len(data.shape) == 2 or data.shape[-1] == 1

    def turn(picture: Array) -> Array:
        if grey:
            return np.repeat(picture.reshape(*picture.shape[:2], 1), 3, axis=2)
        return np.ascontiguousarray(picture[..., ::-1])

    def read(index: int) -> Array:
        return np.stack([turn(one) for one in data.read(index)]) if data.steps else turn(data.read(index))

    return replace(data, read=read)


def _cut_windows(data: Data, contract: SeriesInput, steps: int) -> Data:
    """Cut rows into windows; the label of a window is that of its last row (what is going on *now*).

    A window that would cross from one block of rows into the next is left out: so no row is on both sides. With
    `steps`, the windows of a block are that many, and one sequence with a label for each.
    """
    missing = [name for name in contract.columns if name not in data.columns]
    if missing:
        near = difflib.get_close_matches(missing[0], data.columns, n=1)
        hint = f" (nearest: {near[0]!r})" if near else ""
        raise BadDataError(
            f"{data.path} has no column {missing[0]!r}{hint}", remedy="correct `columns` in the input contract"
        )
    table = np.stack([data.read(index) for index in range(len(data.tags))])
    table = table[:, [data.columns.index(name) for name in contract.columns]]
    block_rows = (steps - 1) * contract.stride + contract.window if steps else BLOCK_WINDOWS * contract.window
    if steps:
        table = table[: len(table) // block_rows * block_rows]
    starts = [
        start
        for block in range(0, len(table), block_rows)
        for start in range(block, min(block + block_rows, len(table)) - contract.window + 1, contract.stride)
    ]
    if not starts:
        what = f"one sequence of {block_rows}" if steps else f"one window of {contract.window}"
        raise BadDataError(
            f"{data.path} has {len(data.tags)} rows, fewer than {what}",
            remedy="record more, or shorten `window`",
        )

    def digest(start: int) -> bytes:
        block = start // block_rows * block_rows
        return hashlib.sha256(table[block : block + block_rows].tobytes()).digest()

    cut = replace(
        data,
        kind="arrays",
        tags=tuple(data.tags[start + contract.window - 1] for start in starts),
        digests=tuple(digest(start) for start in starts),
        where=tuple(f"{data.where[start]} to {data.where[start + contract.window - 1]}" for start in starts),
        targets=None if data.targets is None else data.targets[[start + contract.window - 1 for start in starts]],
        shape=(contract.window, len(contract.columns)),
        read=lambda index: table[starts[index] : starts[index] + contract.window],
    )
    return _joined(cut, steps) if steps else cut


def _joined(windows: Data, steps: int) -> Data:
    """Make one sequence of every `steps` windows; each keeps its label."""
    firsts = range(0, len(windows.digests), steps)
    return replace(
        windows,
        digests=tuple(windows.digests[at] for at in firsts),
        where=tuple(
            f"{windows.where[at].partition(' to ')[0]} to {windows.where[at + steps - 1].rpartition(' to ')[2]}"
            for at in firsts
        ),
        read=lambda index: np.stack([windows.read(index * steps + at) for at in range(steps)]),
        steps=steps,
    )
