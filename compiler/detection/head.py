"""The head of a detector, as the input contract states it: nothing of it is guessed."""

from collections.abc import Mapping
from typing import Any

import msgspec

from compiler.load.source import SourceModel
from edge.boxes import check_head, count_labels
from edge.errors import BadInputContractError
from edge.manifest import Head

EXAMPLE = """[head]
format = "yolo"  # OPEN: "yolo", "yolo-objectness", "fastestdet" or "boxes": docs/detect.md says what each means
size = [1, 1]  # OPEN: width and height of the model's picture, if boxes are in pixels; [1, 1] if they are shares
floor = 0.5  # OPEN: score from which a box is seen
overlap = 0.45  # OPEN: of two boxes of a label that overlap more, the better one stays
"""


def settle_head(given: Mapping[str, Any] | None, name: str) -> Head:
    """Return the head of the input contract's table `[head]`.

    Raises: BadInputContractError without one (with a table to paste), or for one that is wrong.
    """
    if given is None:
        raise BadInputContractError(
            f"nobody said how the outputs of {name} become boxes",
            remedy=f"put this into {name}.input.toml, beside the lines of the input:\n\n{EXAMPLE}",
        )
    try:
        return msgspec.convert(given, Head)
    except msgspec.ValidationError as exc:
        raise BadInputContractError(
            f"the table [head] is wrong: {exc}", remedy="docs/detect.md lists its keys"
        ) from exc


def shapes_of(model: SourceModel) -> tuple[tuple[int, ...], ...]:
    """Of all outputs."""
    import numpy as np

    return tuple(output.shape for output in model.run_all(np.zeros(model.input_shape, np.float32)))


def known_labels(head: Head, shapes: tuple[tuple[int, ...], ...]) -> int | None:
    """How many labels the outputs have; None where they do not tell.

    Raises: BadInputContractError if they do not fit the head.
    """
    count = count_labels(head, shapes)
    if count is not None:
        check_head(head, shapes, count)
    return count
