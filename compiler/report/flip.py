"""A sample that the float and the compiled model decide differently, as the page shows it."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Flip:
    """What both said of one sample; `picture` is a data: URL or empty."""

    where: str
    truth: str
    reference: str
    compiled: str
    outcome: str
    picture: str
    large: bool = False
    """The picture has boxes in it, which want room."""


def as_url(picture: NDArray[Any], kind: Literal["png", "jpeg"], quality: Sequence[int] = ()) -> str:
    """Write a BGR picture into a data: URL; `quality` as OpenCV's writer takes it."""
    import cv2

    coded: NDArray[np.uint8] = cv2.imencode(f".{kind}", picture, [*quality])[1]
    return f"data:image/{kind};base64," + base64.b64encode(coded.tobytes()).decode()


def fitted(width: int, height: int, pixels: int) -> tuple[tuple[int, int], float]:
    """Size of a picture whose longer side is `pixels`, and the factor that leads to it."""
    scale = pixels / max(width, height)
    return (max(1, round(width * scale)), max(1, round(height * scale))), scale
