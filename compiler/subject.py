"""What is compiled and with which samples."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from compiler.dataset import Samples
from compiler.detection.packed import BoxReader
from compiler.load.source import SourceModel
from edge.manifest import InputContract, TaskName


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A model, how its input is made, and samples: a whole data set, or one part of it."""

    model: SourceModel
    contract: InputContract
    samples: Samples
    task: TaskName = "classify"
    reader: BoxReader | None = None
    """Of a detector."""

    def part(self, indices: Sequence[int]) -> "Subject":
        """Only these samples: whoever gets a part cannot see the others."""
        return replace(self, samples=self.samples.part(indices))

    def usual(self) -> "Subject":
        """What ranges are set on: without the anomalies, which would widen them for the sake of what is rare."""
        if self.task != "anomaly":
            return self
        normal = (self.samples.labels.reshape(len(self.samples), -1) == 0).all(axis=1)
        return self.part([int(index) for index in np.flatnonzero(normal)])
