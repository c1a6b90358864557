"""`synthetic`: the shipped fake, a bright square that wanders over a ground whose colour changes; needs nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import msgspec

from edge_agent.sources import Picture

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Colour = tuple[
    Annotated[int, msgspec.Meta(ge=0, le=255)],
    Annotated[int, msgspec.Meta(ge=0, le=255)],
    Annotated[int, msgspec.Meta(ge=0, le=255)],
]


class Synthetic:
    """Draws each frame from its id alone, so two runs show the same."""

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """What to draw."""

        colours: tuple[Colour, ...] = ((200, 40, 40), (40, 200, 40), (40, 40, 200))
        """Grounds that follow one another, as red, green, blue."""
        frames_each: Annotated[int, msgspec.Meta(ge=1)] = 60
        """Frames of each ground."""

    live = False

    def __init__(self, options: Options) -> None:
        self._options = options
        self._canvas: NDArray[np.uint8] | None = None

    def open(self, width: int, height: int, fps: float) -> None:  # noqa: ARG002 - paced by capture
        """Take the model's size."""
        import numpy as np

        self._canvas = np.zeros((height, width, 3), np.uint8)

    def read(self, frame: int) -> Picture:
        """Draw frame `frame`."""
        assert self._canvas is not None, "open() comes first"  # noqa: S101 - a mistake in our own code
        height, width, _ = self._canvas.shape
        red, green, blue = self._options.colours[(frame - 1) // self._options.frames_each % len(self._options.colours)]
        self._canvas[...] = (blue, green, red)
        side = max(1, min(height, width) // 8)
        top, left = frame % max(1, height - side), 2 * frame % max(1, width - side)
        self._canvas[top : top + side, left : left + side] = 255
        return Picture(self._canvas, time.monotonic_ns())

    def close(self) -> None:
        """Nothing to let go of."""
