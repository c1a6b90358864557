"""`stream`: a network camera by its URL (RTSP, or MJPEG over HTTP), through OpenCV's FFmpeg; newest picture first.

A thread takes every picture as it arrives, because FFmpeg keeps those that nobody takes, and they would grow old. A
stream that is silent, or broke off, is closed and opened again by capture, with growing pauses.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from edge.errors import SourceError
from edge_agent.sources import Picture
from edge_agent.sources.opencv import load_cv2

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Stream:
    """Reads the newest picture of a stream."""

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Which stream."""

        url: Annotated[str, msgspec.Meta(pattern=r"^(rtsps?|https?)://")]
        """rtsp://USER:PASSWORD@HOST/PATH, or the http:// address of an MJPEG stream."""
        open_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 5.0
        """A camera that has not answered by then is tried again."""
        silent_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 2.0
        """A stream without a picture for so long has broken off."""

    live = True

    def __init__(self, options: Options) -> None:
        self._options = options
        self._tap: Tap | None = None

    def open(self, width: int, height: int, fps: float) -> None:  # noqa: ARG002 - a stream has the size it has
        """Connect; raises `SourceError` if the camera does not answer."""
        cv2 = load_cv2()
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, round(self._options.open_s * 1000)]
        limits += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(self._options.silent_s * 1000)]
        film = cv2.VideoCapture(self._options.url, cv2.CAP_FFMPEG, limits)
        if not film.isOpened():
            film.release()
            raise SourceError(
                f"no stream at {without_password(self._options.url)}", remedy="look at the camera, `url` and password"
            )
        self._tap = Tap(film)

    def read(self, frame: int) -> Picture:  # noqa: ARG002 - a camera shows what is there
        """The newest picture that was not read yet, stamped when it arrived; raises `SourceError` when it broke off."""
        picture = self._tap.newest(self._options.silent_s) if self._tap else None
        if picture is None:
            raise SourceError(
                f"{without_password(self._options.url)} broke off", remedy="look at the camera and the network"
            )
        return picture

    def close(self) -> None:
        """End the connection and its thread."""
        if self._tap is not None:
            self._tap.end()
            self._tap = None


class Tap:
    """Takes every picture of a stream in a thread of its own, and keeps the last."""

    def __init__(self, film: Any) -> None:  # noqa: ANN401 - cv2.VideoCapture; cv2 is untyped
        self._film = film
        self._changed = threading.Condition()
        self._last: Picture | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="stream", daemon=True)
        self._thread.start()

    def newest(self, timeout_s: float) -> Picture | None:
        """Wait for a picture that was not returned yet; None when the stream has ended, or the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._last is not None or self._ended, timeout_s)
            picture, self._last = self._last, None
            return picture

    def end(self) -> None:
        """Close the stream. Its thread is in FFmpeg's hands for `silent_s` at most."""
        self._ended = True
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._ended:
                whole, pixels = self._next()
                if not whole:
                    break
                with self._changed:
                    self._last = Picture(pixels, time.monotonic_ns())
                    self._changed.notify()
        finally:
            self._film.release()
            with self._changed:
                self._ended = True
                self._changed.notify()

    def _next(self) -> tuple[bool, NDArray[np.uint8]]:
        """A new array each time: the one before may still be in use."""
        whole, pixels = self._film.read()
        return bool(whole), pixels


def without_password(url: str) -> str:
    """The address as it may be shown and logged."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
