"""Arrays that are pictures -> pictures as cv2 reads them."""

from dataclasses import replace

import numpy as np

from compiler.dataset import Array, Data


def as_pictures(data: Data) -> Data:
    """Take uint8 arrays [n, h, w, 3] in RGB order, or [n, h, w], for pictures."""
    grey = len(data.shape) == 2 or data.shape[-1] == 1

    def turn(picture: Array) -> Array:
        if grey:
            return np.repeat(picture.reshape(*picture.shape[:2], 1), 3, axis=2)
        return np.ascontiguousarray(picture[..., ::-1])

    def read(index: int) -> Array:
        return np.stack([turn(one) for one in data.read(index)]) if data.steps else turn(data.read(index))

    return replace(data, read=read)
