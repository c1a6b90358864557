"""`picamera`: the camera of a Raspberry Pi through picamera2, asked for exactly the model's size.

Not tested on hardware. picamera2 comes with the system (`apt install python3-picamera2`), not from PyPI.
Source: Raspberry Pi Ltd, "The Picamera2 Library": RGB888 lies in memory as B, G, R; SensorTimestamp is in nanoseconds
of CLOCK_BOOTTIME, when the first line was exposed.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

import msgspec

from edge.errors import MissingExtraError, SourceError
from edge_agent.sources import Picture

Side = Annotated[int, msgspec.Meta(ge=1, le=16384)]


class PiCamera:
    """Reads the newest picture, stamped by the sensor itself."""

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Which camera, and what to ask of it."""

        number: Annotated[int, msgspec.Meta(ge=0, le=7)] = 0
        """As `rpicam-hello --list-cameras` counts."""
        width: Side | None = None
        height: Side | None = None
        """By default the model's size."""

    live = True

    def __init__(self, options: Options) -> None:
        self._options = options
        self._camera: Any = None  # picamera2.Picamera2; it is untyped

    def open(self, width: int, height: int, fps: float) -> None:
        """Start the camera; raises `SourceError` if it is not there or is busy."""
        try:
            from picamera2 import Picamera2
        except ImportError as exc:
            raise MissingExtraError(
                "the camera of a Raspberry Pi needs picamera2",
                remedy="apt install python3-picamera2, and make the environment with --system-site-packages",
            ) from exc
        size = (self._options.width or width, self._options.height or height)
        try:
            camera = Picamera2(self._options.number)
            self._camera = camera
            shape = {"size": size, "format": "RGB888"}
            camera.configure(
                camera.create_video_configuration(main=shape, controls={"FrameRate": fps}, buffer_count=3, queue=False)
            )
            camera.start()
        except (RuntimeError, IndexError, OSError) as exc:
            self.close()
            raise SourceError(f"no camera {self._options.number}: {exc}", remedy="see rpicam-hello") from exc

    def read(self, frame: int) -> Picture:  # noqa: ARG002 - a camera shows what is there
        """The next picture; raises `SourceError` when the camera broke off."""
        try:
            request = self._camera.capture_request()
        except (RuntimeError, OSError, TimeoutError) as exc:
            raise SourceError(f"the camera delivers no pictures any more: {exc}", remedy="look at its cable") from exc
        try:
            exposed_ns = int(request.get_metadata().get("SensorTimestamp", 0))
            return Picture(request.make_array("main"), to_monotonic(exposed_ns))
        finally:
            request.release()

    def close(self) -> None:
        """Let the camera go."""
        if self._camera is not None:
            self._camera.close()
            self._camera = None


def to_monotonic(boot_ns: int) -> int:
    """A time of CLOCK_BOOTTIME, which goes on in suspend, as CLOCK_MONOTONIC; now, where it is 0 or in the future."""
    age_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - boot_ns
    return time.monotonic_ns() - (age_ns if boot_ns > 0 and age_ns > 0 else 0)
