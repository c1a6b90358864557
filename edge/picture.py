"""Pictures, from the camera's size and colours to the model's; uint8 in, uint8 out. cv2 only where a size changes."""

from collections.abc import Callable
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.errors import MissingExtraError

Pixels = NDArray[np.uint8]
Boxes = NDArray[np.float64]
Fitter = Callable[[Pixels, Pixels], None]
LETTERBOX_GREY = 114
"""Value of the bars that letterbox adds. Source: ultralytics, class LetterBox."""
_BGR_TO_GREY = (1868, 9617, 4899)
"""Y = .114 B + .587 G + .299 R in 14-bit fixed point. Source: OpenCV, cvtColor, 8-bit pictures."""
Resize = Literal["stretch", "crop", "letterbox"]


class Area(NamedTuple):
    """A part of a picture, in pixels."""

    left: int
    top: int
    width: int
    height: int


def fit(image: Pixels, width: int, height: int, how: Resize) -> Pixels:
    """Bring a picture to width x height: stretch it, cut its middle out, or add grey bars."""
    if image.shape[:2] == (height, width):
        return image
    fitted: Pixels = np.empty((height, width, *image.shape[2:]), np.uint8)
    fitter(image.shape, width, height, how)(image, fitted)
    return fitted


@lru_cache(maxsize=64)
def fitter(shape: tuple[int, ...], width: int, height: int, how: Resize) -> Fitter:
    """Prepare `fit` for pictures of `shape`, so that each only costs its pixels.

    What comes back writes into its second argument [height, width, channels as in `shape`], C-contiguous, and nothing
    in between. Raises `MissingExtraError` where a size changes and OpenCV is missing.
    """
    h, w = shape[:2]
    taken, filled = placed(w, h, width, height, how)
    take, fill = _slices(taken), _slices(filled)
    bring = copy if taken[2:] == filled[2:] else _resizer(taken, filled)
    if taken == (0, 0, w, h) and filled == (0, 0, width, height):
        return bring
    bars = _bars(filled, width, height)

    def fit_one(image: Pixels, out: Pixels) -> None:
        for bar in bars:
            out[bar] = LETTERBOX_GREY
        bring(image[take], out[fill])

    return fit_one


def placed(w: int, h: int, width: int, height: int, how: Resize) -> tuple[Area, Area]:
    """Tell which part of a picture w x h `fit` takes, and which part of width x height it fills with it."""
    taken, filled = Area(0, 0, w, h), Area(0, 0, width, height)
    if how == "crop":
        keep_w, keep_h = min(w, max(1, round(h * width / height))), min(h, max(1, round(w * height / width)))
        taken = Area((w - keep_w) // 2, (h - keep_h) // 2, keep_w, keep_h)
    elif how == "letterbox":
        factor = min(width / w, height / h)
        new_w, new_h = min(width, max(1, round(w * factor))), min(height, max(1, round(h * factor)))
        filled = Area((width - new_w) // 2, (height - new_h) // 2, new_w, new_h)
    return taken, filled


def moved(boxes: Boxes, w: int, h: int, width: int, height: int, how: Resize) -> Boxes:
    """Move boxes as `fit` moves pixels.

    `boxes`: [n, 4], left, top, right, bottom in pixels of a picture w x h; the others as in `placed`.
    Returns the same as shares of the picture width x height; what was cut off lies outside 0..1.
    """
    taken, filled = placed(w, h, width, height, how)
    scale = np.array([filled.width / taken.width, filled.height / taken.height] * 2)
    from_, to = np.array([taken.left, taken.top] * 2), np.array([filled.left, filled.top] * 2)
    shares: Boxes = ((boxes - from_) * scale + to) / np.array([width, height] * 2)
    return shares


def to_channels(
    image: Pixels, colour: Literal["RGB", "BGR", "GRAY"], layout: Literal["NHWC", "NCHW"], out: Pixels
) -> Pixels:
    """Reorder BGR or grey to `colour` and `layout`, in `out` (or `image` itself where nothing changes)."""
    planes = [image] if image.ndim == 2 else [image[..., i] for i in range(image.shape[2])]
    if colour == "GRAY":
        wanted = [_grey(planes)] if len(planes) == 3 else planes
    else:
        bgr = planes if len(planes) == 3 else planes * 3
        wanted = bgr[::-1] if colour == "RGB" else bgr
        if layout == "NHWC" and colour == "BGR" and image.ndim == 3 and image.shape == out.shape:
            return image
    for channel, plane in enumerate(wanted):  # three strided copies beat one reversed view by three to one
        if layout == "NHWC":
            out[..., channel] = plane
        else:
            out[channel] = plane
    return out


def _grey(planes: list[Pixels]) -> Pixels:
    total = sum(plane.astype(np.uint32) * weight for plane, weight in zip(planes, _BGR_TO_GREY, strict=True))
    grey: Pixels = ((np.asarray(total, np.uint32) + (1 << 13)) >> 14).astype(np.uint8)
    return grey


def copy(image: NDArray[np.generic], out: NDArray[np.generic]) -> None:
    """Write a picture that fits already, or what is none."""
    np.copyto(out, image)


def _resizer(taken: Area, filled: Area) -> Fitter:
    """Bilinear, as OpenCV does it; raises `MissingExtraError` without OpenCV."""
    try:
        import cv2
    except ImportError as exc:
        raise MissingExtraError(
            f"resizing {taken.width} x {taken.height} to {filled.width} x {filled.height} needs OpenCV",
            remedy="set the camera to the model's size, or: pip install 'edgewright[agent]'",
        ) from exc
    size, bilinear, resize = (filled.width, filled.height), cv2.INTER_LINEAR, cv2.resize

    def resize_one(image: Pixels, out: Pixels) -> None:
        made = resize(image, size, out, 0, 0, bilinear)
        if made is not out:  # it drops an axis of 1
            np.copyto(out, made.reshape(out.shape))

    return resize_one


def _slices(area: Area) -> tuple[slice, slice]:
    return slice(area.top, area.top + area.height), slice(area.left, area.left + area.width)


def _bars(filled: Area, width: int, height: int) -> list[tuple[slice, slice]]:
    """What `filled` leaves of width x height: above, below, left and right of it, without what is empty."""
    rows, columns = _slices(filled)
    around = (
        (slice(0, rows.start), slice(0, width)),
        (slice(rows.stop, height), slice(0, width)),
        (rows, slice(0, columns.start)),
        (rows, slice(columns.stop, width)),
    )
    return [bar for bar in around if all(part.start < part.stop for part in bar)]
