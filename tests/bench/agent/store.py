"""What was measured is kept, one JSON file a cell, so that a run which was stopped goes on where it was."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import ArrayLike

T = TypeVar("T", bound=msgspec.Struct)


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Of one kind of time, in the unit that its name says."""

    p50: float
    p99: float
    max: float
    count: int


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A cell with the load under which it was measured."""

    load: float
    """Mean of the minute before; an idle machine has 0."""
    figures: msgspec.Raw


def spread(values: ArrayLike, unit: float = 1.0) -> Spread:
    """Sum values up; `unit`: what to divide by."""
    found = np.asarray(values, np.float64) / unit
    p50, p99, most = np.percentile(found, [50, 99, 100])
    return Spread(p50=round(float(p50), 3), p99=round(float(p99), 3), max=round(float(most), 3), count=found.size)


def cell(path: Path, kind: type[T], measure: Callable[[], T]) -> T:
    """Measure, or remember."""
    found = remembered(path, kind)
    if found is not None:
        return found[1]
    sys.stderr.write(f"{path.stem}\n")
    load = round(os.getloadavg()[0], 2)
    measured = measure()
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = Kept(load=load, figures=msgspec.Raw(msgspec.json.encode(measured)))
    path.write_bytes(msgspec.json.encode(kept))
    return measured


def remembered(path: Path, kind: type[T]) -> tuple[float, T] | None:
    """Load and figures of a cell; None: not measured yet."""
    if not path.exists():
        return None
    kept = msgspec.json.decode(path.read_bytes(), type=Kept)
    return kept.load, msgspec.json.decode(kept.figures, type=kind)
