"""Data + contract -> samples: every one gets its class or numbers, and the form that the contract wants.

Series and sound are cut into windows, and arrays may become pictures: one file each. Of a detector's pictures
`compiler.detection.arrange` makes samples.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from compiler.arrange.classes import classes_of, indices_of
from compiler.arrange.pictures import as_pictures
from compiler.arrange.sound import cut_sound, take_features
from compiler.arrange.windows import cut_windows
from compiler.dataset import Array, Data, Samples
from edge.errors import BadDataError
from edge.manifest import AudioInput, ImageInput, InputContract, SeriesInput, TaskName, TensorInput


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
    shaped = _shaped(data, contract, stateful=stateful)
    pictures = isinstance(contract, ImageInput)
    if task == "regress":
        return _with_numbers(shaped, outputs, pictures=pictures)
    classes = classes_of(shaped, tuple(labels), outputs, task)
    indices = indices_of(shaped, classes)
    if task == "classify" and len(set(indices)) < 2:
        one = classes[indices[0]]
        raise BadDataError(
            f"all {len(indices)} samples of {data.path} are of one class, {one!r}",
            remedy="a model that always says this would look perfect; add samples of the other classes",
        )
    return _with_classes(shaped, classes, indices, pictures=pictures)


def _shaped(data: Data, contract: InputContract, *, stateful: bool) -> Data:
    """Bring samples into the form that the contract wants."""
    match contract:
        case SeriesInput() if data.kind == "rows":
            return cut_windows(data, contract, stateful=stateful)
        case ImageInput() if data.kind == "arrays":
            return as_pictures(data)
        case AudioInput():
            return cut_sound(data, contract) if data.kind == "sound" else take_features(data, contract)
        case TensorInput():
            return replace(data, read=partial(_as_float, data.read))
    return data


def _as_float(read: Callable[[int], Array], index: int) -> Array:
    return read(index).astype(np.float32)


def _with_classes(data: Data, classes: tuple[str, ...], indices: Sequence[int], *, pictures: bool) -> Samples:
    """Samples of a classifier, or of an anomaly model: `indices` into the classes, one for each label."""
    judged = len(indices) // len(data.digests)
    names = [
        b"\0".join(classes[i].encode() for i in indices[at : at + judged]) for at in range(0, len(indices), judged)
    ]
    return Samples(
        classes=classes,
        labels=np.array(indices, np.int64),
        digests=data.digests,
        where=data.where,
        raw=data.read,
        sha256=_digest([digest + b"\0" + name for digest, name in zip(data.digests, names, strict=True)]),
        pictures=pictures,
        steps=data.steps,
        judged=judged,
    )


def _with_numbers(data: Data, outputs: int, *, pictures: bool) -> Samples:
    """Samples of a regression: numbers instead of classes; as many for each sample as the model gives."""
    targets = data.targets
    if targets is None or targets.shape[1] != outputs:
        found = "class names" if targets is None else f"{targets.shape[1]} numbers"
        raise BadDataError(
            f"{data.path}: y has {found} for each sample, but the model gives {outputs} numbers",
            remedy="give y as numbers, [samples, ...] of the shape of the model's output",
        )
    rows = targets.reshape(len(data.digests), -1)
    return Samples(
        classes=(),
        labels=np.zeros(len(targets), np.int64),
        digests=data.digests,
        where=data.where,
        raw=data.read,
        sha256=_digest([digest + y.tobytes() for digest, y in zip(data.digests, rows, strict=True)]),
        pictures=pictures,
        targets=targets,
        steps=data.steps,
        judged=len(targets) // len(data.digests),
    )


def _digest(samples: Sequence[bytes]) -> str:
    """Hash contents and labels; the order of the samples does not matter."""
    return hashlib.sha256(b"\n".join(sorted(samples))).hexdigest()
