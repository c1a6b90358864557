"""The model's real-valued inputs, as the input contract makes them of samples, and their statistics."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compiler.subject import Subject
from edge.manifest import TensorSpec
from edge.preprocess import Preprocessor


def real_inputs(subject: Subject) -> Iterator[NDArray[np.float32]]:
    """Yield samples as the model's real-valued input, [steps, ...]: the batch of 1 without a state, else a sequence."""
    shape = subject.model.input_shape
    preprocessor = Preprocessor(subject.contract, TensorSpec(name="input", shape=shape, dtype="float32"))
    for index in range(len(subject.samples)):
        steps = [preprocessor.real(raw) for raw in subject.samples.sequence(index)]
        yield np.stack(steps).reshape(-1, *shape[1:])


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
