"""Tools whose packages do not go with the compiler's: each gets a Python environment of its own, in the user's cache.

Only the facts lie here, so that `edge doctor` can tell without the compiler what is there; `compiler.own_environment`
makes one.
"""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Environment:
    """One tool, and the releases that were tried together."""

    tool: str
    """Distribution and version: rknn-toolkit2==2.5.0."""
    pins: tuple[str, ...]
    """Everything that pip is told; without pins it looks through dozens of releases."""
    pythons: tuple[tuple[int, int], ...]
    """Those that all pins have wheels for."""
    machines: tuple[str, ...]
    """As `uname -m` says it."""
    size: str
    """What has to be downloaded and what lies on the disk then, for people."""
    made_by: str
    """Which command makes it."""

    @property
    def name(self) -> str:
        """The distribution alone."""
        return self.tool.partition("==")[0]

    @property
    def title(self) -> str:
        """Name and version, as a manifest has them."""
        return self.tool.replace("==", " ")

    @property
    def folder(self) -> Path:
        """Where it lies: below XDG_CACHE_HOME, else ~/.cache."""
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return Path(cache) / "edgewright" / self.tool.replace("==", "-")

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def marker(self) -> Path:
        """Written last of all; holds the pins."""
        return self.folder / "complete.txt"

    @property
    def is_made(self) -> bool:
        """Whether an earlier call finished it."""
        return self.marker.exists()


RKNN = Environment(
    tool="rknn-toolkit2==2.5.0",
    pins=(
        "rknn-toolkit2==2.5.0",
        "torch==2.4.0",
        "onnx==1.18.0",
        "onnxruntime==1.26.0",
        "numpy==1.26.4",
        "protobuf==4.25.4",
        "opencv-python==4.11.0.86",
        "setuptools<81",
    ),
    pythons=((3, 10), (3, 11), (3, 12)),
    machines=("x86_64",),
    size="3 GB to download, 5.4 GB on the disk",
    made_by="edge compile --target rk3588",
)
"""The toolkit wants torch <= 2.4, onnx <= 1.18 and setuptools < 81; torch 2.4 brings CUDA, which is most of it."""
TF2ONNX = Environment(
    tool="tf2onnx==1.17.0",
    pins=("tf2onnx==1.17.0", "tensorflow-cpu==2.21.0", "onnx==1.23.2", "numpy==2.4.6", "setuptools<81"),
    pythons=((3, 11), (3, 12)),
    machines=("x86_64",),
    size="0.5 GB to download, 1.5 GB on the disk",
    made_by="edge compile MODEL.tflite --onnx-too",
)
"""It imports TensorFlow, which the compiler does without."""
ENVIRONMENTS = (RKNN, TF2ONNX)
