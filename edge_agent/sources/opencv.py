"""OpenCV, which may be missing, as `camera`, `video` and `images` use it."""

from functools import cache
from types import ModuleType

from edge.errors import MissingExtraError


@cache
def load_cv2() -> ModuleType:
    """Import OpenCV with one thread, or raise `MissingExtraError`.

    One thread: resizing a model's picture takes less time than waking a second one, and the loop needs the processor.
    """
    try:
        import cv2
    except ImportError as exc:
        raise MissingExtraError(
            "reading or resizing these pictures needs OpenCV", remedy="pip install 'edgewright[agent]'"
        ) from exc
    cv2.setNumThreads(1)
    module: ModuleType = cv2
    return module
