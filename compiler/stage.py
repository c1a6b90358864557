"""How long work tells of itself."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from compiler.measure import Step

Stage = Callable[[str, int | None], AbstractContextManager[Step]]
"""Opens a progress bar with a label and a number of steps (None: unknown)."""
