"""Which classes there are, and which of them each sample is."""

import difflib

from compiler.dataset import Data
from compiler.words import short
from edge.errors import BadDataError
from edge.manifest import TaskName

ANOMALY = ("normal", "anomaly")


def classes_of(data: Data, labels: tuple[str, ...], outputs: int, task: TaskName) -> tuple[str, ...]:
    """Names in the order of the model's outputs: as given, else numbers or sorted names; an anomaly task has two.

    Raises: BadDataError if there are not as many as outputs.
    """
    if task != "classify":
        return ANOMALY
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


def indices_of(data: Data, classes: tuple[str, ...]) -> list[int]:
    """Class of each label.

    Raises: BadDataError for a label that is none of them.
    """
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
