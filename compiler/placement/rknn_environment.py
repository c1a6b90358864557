"""The environment of its own that rknn-toolkit2 needs: made once, in the user's cache folder.

The toolkit wants torch <= 2.4, onnx <= 1.18 and setuptools < 81, none of which goes with the compiler's own packages.
torch 2.4 comes with CUDA from PyPI: about 3 GB to download, 5.4 GB on the disk.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from edge.errors import MissingExtraError

TOOLKIT = "rknn-toolkit2==2.5.0"
PINS = (
    TOOLKIT,
    "torch==2.4.0",
    "onnx==1.18.0",
    "onnxruntime==1.26.0",
    "numpy==1.26.4",
    "protobuf==4.25.4",
    "opencv-python==4.11.0.86",
    "setuptools<81",
)
"""What was tried together; without pins pip looks through dozens of releases."""
PYTHONS = ((3, 10), (3, 11), (3, 12))
"""Those that the toolkit has wheels for and these pins too."""
REMEDY = "give it Python 3.10 to 3.12 on 64-bit Linux, 10 GB of disk and a way to PyPI; or choose a CPU target"
INSTALL_S = 3600


def environment_folder() -> Path:
    """Where it lies: below XDG_CACHE_HOME, else ~/.cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "edgewright" / TOOLKIT.replace("==", "-")


def is_made() -> bool:
    """Whether an earlier call finished it."""
    return _marker().exists()


def make_environment(progress: Callable[[str], None]) -> Path:
    """Return its Python; the first call makes it, which takes minutes.

    Raises: MissingExtraError, with what pip said.
    """
    folder = environment_folder()
    python = folder / "bin" / "python"
    if is_made():
        return python
    base = find_python()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{folder}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another compilation may be making it
        if not is_made():
            progress(f"installing {TOOLKIT} into {folder}, once: about 3 GB")
            _run([base, "-m", "venv", "--clear", str(folder)])
            _run([str(python), "-m", "pip", "install", "--quiet", "--no-compile", "--only-binary=:all:", *PINS])
            _marker().write_text("\n".join(PINS))
    return python


def find_python() -> str:
    """Find a Python that the toolkit has wheels for: this one, else another on the PATH.

    Raises: MissingExtraError.
    """
    if sys.version_info[:2] in PYTHONS:
        return sys.executable
    found = (shutil.which(f"python{major}.{minor}") for major, minor in reversed(PYTHONS))
    python = next((path for path in found if path), None)
    if python is None:
        problem = f"{TOOLKIT} has no wheels for Python {sys.version_info.major}.{sys.version_info.minor}"
        raise MissingExtraError(problem, remedy=REMEDY)
    return python


def _marker() -> Path:
    return environment_folder() / "complete.txt"


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_S)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise MissingExtraError(f"{TOOLKIT} cannot be installed: {exc}", remedy=REMEDY) from exc
    if done.returncode != 0:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        errors = [line for line in said if line.startswith("ERROR")] or said or ["it said nothing"]
        raise MissingExtraError(f"{TOOLKIT} cannot be installed: {errors[0]}", remedy=REMEDY)
