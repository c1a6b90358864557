"""Pictures with one colour that stands out, and a bundle that names it, compiled for the board by the real command."""

import subprocess
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
SIDE, GREEN = 32, 1
MODEL = "colours"
CONTRACT = f"""kind = "image"
labels = ["red", "green", "blue"]
width = {SIDE}
height = {SIDE}
colour = "RGB"
layout = "NCHW"
resize = "stretch"
scale = {1 / 255!r}
"""


def pictures(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [count, SIDE, SIDE, 3], noise with one colour that stands out, and which one."""
    labels = rng.integers(0, 3, count)
    found = rng.integers(0, 130, (count, SIDE, SIDE, 3))
    found[np.arange(count), ..., labels] += rng.integers(60, 120, (count, 1, 1))
    return found.astype(np.uint8), labels


def compile_colours(folder: Path, *, version: int = 1, network: str = "load") -> Path:
    """Compile a function of colours.py for the Raspberry Pi 4."""
    x, y = pictures(500, np.random.default_rng(4))
    np.savez(folder / "data.npz", x=x, y=y)
    (folder / "colours.input.toml").write_text(CONTRACT)
    out = folder / f"{MODEL}-{version}.edge"
    options = {
        "--target": "raspberrypi4",
        "--data": folder / "data.npz",
        "--input": folder / "colours.input.toml",
        "--name": MODEL,
        "--model-version": version,
        "-o": out,
    }
    words = [str(word) for pair in options.items() for word in pair]
    command = [sys.executable, "-m", "edge.cli", "compile", f"{HERE / 'colours.py'}:{network}", *words, "-q"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out
