"""Bundles and frames of the bench, made once in a folder."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bundles import make_bundle
from networks import mobilenet

CAMERA = (480, 640)
PICTURES = 8


@dataclass(frozen=True)
class Things:
    """Where they lie."""

    folder: Path

    def model(self, name: str) -> Path:
        """A .tflite file."""
        return self.folder / f"{name}.tflite"

    def bundle(self, name: str, version: int = 1) -> Path:
        """The same, packed."""
        return self.folder / f"{name}-{version}.edge"

    def frames(self, height: int, width: int) -> Path:
        """Noise, uint8 [PICTURES, height, width, 3]."""
        return self.folder / f"frames-{height}x{width}.npy"


NETWORKS = {"m96": (96, 0.25), "m224": (224, 0.5)}
"""Name to side and width: MobileNetV1."""
SLOW, SLOW_SIDE, SLOW_WIDTH = "m768", 768, 1.0
"""Slower than the cameras of the bench on one of today's cores."""


def prepare(folder: Path) -> Things:
    """Make what is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    things = Things(folder)
    networks = NETWORKS | {SLOW: (SLOW_SIDE, SLOW_WIDTH)}
    for height, width in (CAMERA, *((side, side) for side, _ in networks.values())):
        if not things.frames(height, width).exists():
            rng = np.random.default_rng(0)
            np.save(things.frames(height, width), rng.integers(0, 256, (PICTURES, height, width, 3), np.uint8))
    for name, (side, alpha) in networks.items():
        _bundle(things, name, side, lambda side=side, alpha=alpha: mobilenet(side, alpha))  # type: ignore[misc]
    return things


def _bundle(things: Things, name: str, side: int, make: Callable[[], bytes]) -> None:
    if not things.model(name).exists():
        things.model(name).write_bytes(make())
    for version in (1, 2):
        if not things.bundle(name, version).exists():
            make_bundle(things.folder, name, things.model(name).read_bytes(), side, version)
