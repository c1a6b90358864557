"""Pictures, from the camera's size and colours to the model's; uint8 in, uint8 out. cv2 only where a size changes."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.errors import MissingExtraError

Pixels = NDArray[np.uint8]
Boxes = NDArray[np.float64]
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


def fit_into(image: Pixels, out: Pixels, how: Resize) -> None:
    """As `fit`, into `out` [height, width, as many channels as `image`]; a stretched picture is written only once."""
    height, width = out.shape[:2]
    if how == "stretch" and image.shape[:2] != (height, width) and out.flags.c_contiguous:
        made = _resize(image, width, height, out)
        if made is not out:
            np.copyto(out, made)
    else:
        np.copyto(out, fit(image, width, height, how))


def fit(image: Pixels, width: int, height: int, how: Resize) -> Pixels:
    """Bring a picture to width x height: stretch it, cut its middle out, or add grey bars."""
    h, w = image.shape[:2]
    if (w, h) == (width, height):
        return image
    taken, filled = placed(w, h, width, height, how)
    part = image[taken.top : taken.top + taken.height, taken.left : taken.left + taken.width]
    if filled == (0, 0, width, height):
        return _resize(part, width, height)
    canvas: Pixels = np.full((height, width, *image.shape[2:]), LETTERBOX_GREY, np.uint8)
    canvas[filled.top : filled.top + filled.height, filled.left : filled.left + filled.width] = _resize(
        part, filled.width, filled.height
    )
    return canvas


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


def _resize(image: Pixels, width: int, height: int, out: Pixels | None = None) -> Pixels:
    """Bilinear, as OpenCV does it, in `out` if it is given; raises `MissingExtraError` without OpenCV."""
    if image.shape[:2] == (height, width):
        return image
    try:
        import cv2
    except ImportError as exc:
        raise MissingExtraError(
            f"resizing {image.shape[1]} x {image.shape[0]} to {width} x {height} needs OpenCV",
            remedy="set the camera to the model's size, or: pip install 'edgewright[agent]'",
        ) from exc
    source = image if image.flags.c_contiguous else np.ascontiguousarray(image)
    resized: Pixels = cv2.resize(source, (width, height), dst=out, interpolation=cv2.INTER_LINEAR)
    return resized if resized.ndim == image.ndim else resized[..., None]  # it drops an axis of 1
