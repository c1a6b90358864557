"""`camera`: a V4L2 camera through OpenCV, asked for exactly the model's size so that nobody need resize."""

from __future__ import annotations

import time
from typing import Annotated, Any

import msgspec

from edge.errors import SourceError
from edge_agent.sources import Picture
from edge_agent.sources.opencv import load_cv2


class Camera:
    """Reads the newest picture; the driver keeps one at most."""

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Which camera, and what to ask of it."""

        device: int | str = 0
        """Number N of /dev/videoN, or a path such as /dev/v4l/by-id/..., which survives plugging."""
        width: Annotated[int, msgspec.Meta(ge=1, le=16384)] | None = None
        height: Annotated[int, msgspec.Meta(ge=1, le=16384)] | None = None
        """By default the model's size; the driver takes the nearest that the camera has."""
        fourcc: Annotated[str, msgspec.Meta(min_length=4, max_length=4)] | None = None
        """Pixel format; for example MJPG, or YUYV, which need not be decoded (about 1 ms a frame)."""

    live = True

    def __init__(self, options: Options) -> None:
        self._options = options
        self._camera: Any = None  # cv2.VideoCapture; cv2 is untyped

    def open(self, width: int, height: int, fps: float) -> None:
        """Open the camera; raises `SourceError` if it is not there or is busy."""
        cv2, options = load_cv2(), self._options
        camera = cv2.VideoCapture(options.device, cv2.CAP_V4L2)
        if not camera.isOpened():
            camera.release()
            raise SourceError(
                f"no camera at {options.device!r}, or another program has it", remedy="see `v4l2-ctl --list-devices`"
            )
        if options.fourcc:
            camera.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter_fourcc(*options.fourcc))
        camera.set(cv2.CAP_PROP_FRAME_WIDTH, options.width or width)
        camera.set(cv2.CAP_PROP_FRAME_HEIGHT, options.height or height)
        camera.set(cv2.CAP_PROP_FPS, fps)
        camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self._camera = camera

    def read(self, frame: int) -> Picture:  # noqa: ARG002 - a camera shows what is there
        """The next picture, stamped when it arrived and before it is decoded; raises `SourceError` when unplugged."""
        if not self._camera.grab():
            raise SourceError("the camera delivers no pictures any more", remedy="look at its plug and its power")
        captured_ns = time.monotonic_ns()
        whole, pixels = self._camera.retrieve()
        if not whole:
            raise SourceError("the camera delivered a broken picture", remedy="look at its plug and its power")
        return Picture(pixels, captured_ns)

    def close(self) -> None:
        """Let the camera go."""
        if self._camera is not None:
            self._camera.release()
            self._camera = None
