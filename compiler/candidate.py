"""Every form of the model that could go into the bundle: the main path from a loaded source to compiled files."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from compiler.load.source import SourceModel
from edge.manifest import RuntimeName, Variant

__all__ = ["Calibration", "Candidate", "Progress", "Skipped", "SourceModel"]

Precision = Literal["float32", "int8"]
Calibration = Callable[[], Iterator[NDArray[np.float32]]]
"""Each call starts anew and yields samples of the model's input shape, batch 1 included, in a fixed order."""
Progress = Callable[[str], None]
"""Called with a few words at the start of each step."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One compiled file and what the manifest will say of it."""

    runtime: RuntimeName
    dtype: Precision
    data: bytes = field(repr=False)
    variant: Variant
    note: str
    """For people: what is special about this candidate; empty if nothing is."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A candidate that was wanted but could not be built."""

    runtime: RuntimeName
    dtype: Precision
    reason: str
