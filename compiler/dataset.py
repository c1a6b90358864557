"""Labelled samples: as they lie on the disk (`Data`), and as the compiler works on them (`Samples`)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from compiler.detection.annotations import Annotations

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
