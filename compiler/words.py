"""How errors write lists and shapes."""

from collections.abc import Sequence


def short(names: Sequence[str], most: int = 12) -> str:
    """List names, the first ones if there are many."""
    return ", ".join(names[:most]) + (" ..." if len(names) > most else "")


def times(shape: tuple[int, ...]) -> str:
    """Write a shape: `96 x 96 x 3`."""
    return " x ".join(map(str, shape))
