"""Where pictures, rows and sound come from. One file and one line in `KINDS` for each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:  # the supervisor reads KINDS and shall not load numpy
    import numpy as np
    from numpy.typing import NDArray

KINDS = {
    "camera": "edge_agent.sources.camera:Camera",
    "picamera": "edge_agent.sources.picamera:PiCamera",
    "stream": "edge_agent.sources.stream:Stream",
    "video": "edge_agent.sources.video:Video",
    "images": "edge_agent.sources.images:Images",
    "frames": "edge_agent.sources.frames:Frames",
    "csv": "edge_agent.sources.csv:Csv",
    "series": "edge_agent.sources.series:Series",
    "microphone": "edge_agent.sources.microphone:Microphone",
    "wav": "edge_agent.sources.wav:Wav",
    "synthetic": "edge_agent.sources.synthetic:Synthetic",
}
GROUP = "edgewright.sources"
"""Of the entry points by which packages add kinds."""


class Picture(NamedTuple):
    """One frame as the source delivers it."""

    pixels: NDArray[np.generic]
    """uint8 [height, width, 3] in BGR order; or float32 rows for models that do not take pictures.

    Valid until the next `read()`.
    """
    captured_ns: int
    """CLOCK_MONOTONIC as near to the exposure as can be known."""


class Rows(NamedTuple):
    """Rows of a series or samples of sound, as a source delivers them; capture cuts them into the model's windows."""

    values: NDArray[np.float32]
    """[n, columns], oldest first; often one, and none where there is nothing just now. Sound: [n, 1], from -1 to 1."""
    captured_ns: int
    """CLOCK_MONOTONIC, of the last row."""
    gap: str = ""
    """Empty, or why rows are missing before these: the window starts anew."""


class Source(Protocol):
    """A stream of pictures or rows. Made as `Class(options)`, `options` being `Class.Options`.

    Used by the capture process.
    """

    live: bool
    """It sets its own pace (a camera) and is read as fast as it delivers; else `fps` paces it."""

    def open(self, width: int, height: int, fps: float) -> None:
        """Start, asking for pictures of exactly this size and rate where the source can choose.

        For a model that hears, `fps` is its sample rate, in Hz.

        Raises: `SourceError` where trying again later may help (a camera that is unplugged); another `EdgeError`
        where it will not (a folder without pictures).
        """

    def read(self, frame: int) -> Picture | Rows | None:
        """The next picture or rows; None when there are no more. Raises `SourceError` when the stream broke off.

        `frame`: its frame id, which starts at 1 and goes on after a restart; a recording plays picture `frame - 1`.
        """

    def close(self) -> None:
        """Stop; `open()` may follow."""
