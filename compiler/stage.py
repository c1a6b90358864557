"""How long work tells of itself."""

from collections.abc import Callable
from contextlib import AbstractContextManager

Step = Callable[[], None]
"""Called after each sample, for a progress bar."""
Stage = Callable[[str, int | None], AbstractContextManager[Step]]
"""Opens a progress bar with a label and a number of steps (None: unknown)."""
