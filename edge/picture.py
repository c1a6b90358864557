"""Pictures, from the camera's size and colours to the model's; uint8 in, uint8 out. cv2 only where a size changes."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge.errors import MissingExtraError

Pixels = NDArray[np.uint8]
LETTERBOX_GREY = 114
"""Value of the bars that letterbox adds. Source: ultralytics, class LetterBox."""
_BGR_TO_GREY = (1868, 9617, 4899)
"""Y = .114 B + .587 G + .299 R in 14-bit fixed point. Source: OpenCV, cvtColor, 8-bit pictures."""
Resize = Literal["stretch", "crop", "letterbox"]


def fit_into(image: Pixels, out: Pixels, how: Resize) -> None:
    """As `fit`, into `out` [height, width, as many channels as `image`]; a stretched picture is written only once."""
    height, width = out.shape[:2]
    if how == "stretch" and image.shape[:2] != (height, width) and out.flags.c_contiguous:
        made = _resize(image, width, height, out)
        if not np.may_share_memory(made, out):
            np.copyto(out, made)
    else:
        np.copyto(out, fit(image, width, height, how))


def fit(image: Pixels, width: int, height: int, how: Resize) -> Pixels:
    """Bring a picture to width x height: stretch it, cut its middle out, or add grey bars."""
    h, w = image.shape[:2]
    if (w, h) == (width, height):
        return image
    if how == "crop":
        keep_w, keep_h = min(w, max(1, round(h * width / height))), min(h, max(1, round(w * height / width)))
        left, top = (w - keep_w) // 2, (h - keep_h) // 2
        return _resize(image[top : top + keep_h, left : left + keep_w], width, height)
    if how == "letterbox":
        factor = min(width / w, height / h)
        new_w, new_h = min(width, max(1, round(w * factor))), min(height, max(1, round(h * factor)))
        left, top = (width - new_w) // 2, (height - new_h) // 2
        canvas: Pixels = np.full((height, width, *image.shape[2:]), LETTERBOX_GREY, np.uint8)
        canvas[top : top + new_h, left : left + new_w] = _resize(image, new_w, new_h)
        return canvas
    return _resize(image, width, height)


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
    source = np.ascontiguousarray(image)
    resized: Pixels = cv2.resize(source, (width, height), dst=out, interpolation=cv2.INTER_LINEAR)
    return resized.reshape(height, width, *image.shape[2:])
