"""One number a frame, by the task of the model: what a bundle's baseline counts, and what its drift is told by.

The compiler makes the baseline with the very code that devices count with. The score is the model's own, whatever
decider stands behind it: a likeness to a subject, or a share of a threshold learned on the spot, is another quantity.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from edge.boxes import surest_score
from edge.manifest import Head, Manifest, Variant
from edge.statistics import softmax_top1

Real = NDArray[np.float32]
LARGEST = 3e38
"""Of a score, which travels as a float32: what is not finite counts as this far out."""


@dataclass(frozen=True, slots=True)
class Scorer:
    """Scores what one model says of one frame."""

    needs_sample: bool
    """The score compares the output with the input, which costs a copy of it."""
    _score: Callable[[Sequence[Real], Real | None], float]

    def __call__(self, outputs: Sequence[Real], sample: Real | None) -> float:
        """Score `outputs`, a detector's all, else the first one. `sample`: the input as the model saw it, dequantized.

        Returns: a number between -LARGEST and LARGEST, never NaN.
        """
        return self._score(outputs, sample)


def make_scorer(manifest: Manifest, variant: Variant) -> Scorer | None:
    """Make the scorer of a bundle's model; None for an anomaly model that gives neither a score nor its input again."""
    match manifest.task:
        case "classify":
            return Scorer(False, lambda outputs, _: softmax_top1(outputs[0])[1])
        case "detect" if isinstance(manifest.head, Head):
            head, labels = manifest.head, len(manifest.labels)
            return Scorer(False, lambda outputs, _: surest_score(head, outputs, labels))
        case "anomaly" if rebuilds(variant):
            if prod(variant.outputs[0].shape) != prod(variant.input.shape):
                return None
            return Scorer(True, _rebuilt_score)
    return Scorer(False, lambda outputs, _: mean_number(outputs[0]))


def rebuilds(variant: Variant) -> bool:
    """Whether an anomaly model rebuilds its input; else its one output is the score."""
    return prod(variant.outputs[0].shape) > 1


def mean_square_error(told: Real, seen: Real) -> float:
    """Of two arrays with as many numbers, whatever their shapes; infinite where one of them is not finite."""
    error = float(np.mean(np.square(told.ravel() - seen.ravel(), dtype=np.float64)))
    return error if math.isfinite(error) else math.inf


def mean_number(output: Real) -> float:
    """Mean of an output's numbers: itself, where it is one. -LARGEST where one is not finite."""
    mean = float(np.mean(output, dtype=np.float64))
    return min(max(mean, -LARGEST), LARGEST) if math.isfinite(mean) else -LARGEST


def _rebuilt_score(outputs: Sequence[Real], sample: Real | None) -> float:
    if sample is None:
        raise ValueError("needs_sample was not heeded")
    return min(mean_square_error(outputs[0], sample), LARGEST)
