"""What arrays and tables have in common: numbers that must be finite."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from compiler.dataset import Array
from compiler.words import short
from edge.errors import BadDataError


def refuse_nan(values: Array, where: Sequence[str], path: Path) -> None:
    """Hold that every number is finite.

    Args:
        values: [samples, ...], of any type.
        where: how to name each sample to a person.
        path: of the data.

    Raises: BadDataError that names the first samples that are not.

    """
    if values.dtype.kind != "f":
        return
    finite = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if not finite.all():
        bad = [where[index] for index in np.flatnonzero(~finite)]
        raise BadDataError(f"{path}: {short(bad, 5)} holds NaN or infinity", remedy="remove or repair these samples")
