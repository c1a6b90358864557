"""Bundles and frames of the bench, made once in a folder."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bundles import make_bundle
from networks import mobilenet, slow

CAMERA = (480, 640)
PICTURES = 8
SLOW_MS = 45.0
"""A period of 30 frames a second and a third: slower than every camera of the bench."""


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
SLOW = "slow"
SLOW_SIDE = 96


def prepare(folder: Path) -> Things:
    """Make what is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    things = Things(folder)
    for height, width in (CAMERA, *((side, side) for side, _ in NETWORKS.values())):
        if not things.frames(height, width).exists():
            rng = np.random.default_rng(0)
            np.save(things.frames(height, width), rng.integers(0, 256, (PICTURES, height, width, 3), np.uint8))
    for name, (side, alpha) in NETWORKS.items():
        _bundle(things, name, side, lambda side=side, alpha=alpha: mobilenet(side, alpha))  # type: ignore[misc]
    _bundle(things, SLOW, SLOW_SIDE, slow_enough)
    return things


def slow_enough() -> bytes:
    """As many layers as take SLOW_MS here."""
    short, long = (_fastest_ms(slow(SLOW_SIDE, layers)) for layers in (2, 6))
    layer_ms = max(0.05, (long - short) / 4)
    return slow(SLOW_SIDE, max(1, round((SLOW_MS - short) / layer_ms) + 2))


def _fastest_ms(model: bytes) -> float:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    taken_ns = []
    for _ in range(20):
        start_ns = time.thread_time_ns()
        interpreter.invoke()
        taken_ns.append(time.thread_time_ns() - start_ns)
    return min(taken_ns) / 1e6


def _bundle(things: Things, name: str, side: int, make: Callable[[], bytes]) -> None:
    if not things.model(name).exists():
        things.model(name).write_bytes(make())
    for version in (1, 2):
        if not things.bundle(name, version).exists():
            make_bundle(things.folder, name, things.model(name).read_bytes(), side, version)
