"""Make one version of the model: train it, hold out what it is judged by, and compile it with the real `edge compile`.

`python -m demos.stop_go.versions FOLDER SEED VERSION` makes one; the story starts one such process for each version.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np

from demos.stop_go.camera import make_snapshots, save_samples
from demos.stop_go.light import PHASES
from demos.stop_go.scenes import load_props
from demos.stop_go.train import RECIPES, Recipe, load_weights, make_scenes, save, train

MODEL = "stop-go"
TARGET = "x86-64"
HELD_OUT = 900
"""Scenes from photographs and backgrounds that no training has seen."""


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """One compiled version, and how it did on the bench: on held-out scenes in the lights it was trained in."""

    version: int
    title: str
    bundle: str
    runtime: str
    dtype: str
    accuracy_float: float
    accuracy: float
    agreement: float


def make_version(folder: Path, seed: int, version: int) -> Made:
    """Train and compile one version; the same seed gives the same network."""
    recipe = RECIPES[version - 1]
    folder.mkdir(parents=True, exist_ok=True)
    model = _train(folder, seed, recipe)
    data = held_out(folder, seed, recipe)
    return compile_version(folder, recipe, model, data)


def held_out(folder: Path, seed: int, recipe: Recipe) -> Path:
    """Write labelled pictures that no training has seen, in the lights of the room that the recipe trained for."""
    rng = np.random.default_rng([seed, recipe.version, 11])
    room = tuple(number for number, phase in enumerate(PHASES) if phase in recipe.lights)
    pictures = make_snapshots(load_props("test", seed=seed), rng, HELD_OUT, phases=room)
    return save_samples(pictures, folder / f"v{recipe.version}.npz")


def compile_version(folder: Path, recipe: Recipe, model: Path, data: Path) -> Made:
    """Run `edge compile`."""
    bundle = folder / f"{MODEL}-{recipe.version}.edge"
    words = ["compile", str(model), "--target", TARGET, "--data", str(data), "--name", MODEL, "-o", str(bundle)]
    command = [
        sys.executable,
        "-m",
        "edge.cli",
        *words,
        "--model-version",
        str(recipe.version),
        "--effort",
        "quick",
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"edge compile failed:\n{done.stdout}{done.stderr}")
    said = json.loads(done.stdout)
    return Made(
        version=recipe.version,
        title=recipe.title,
        bundle=str(bundle),
        runtime=said["chosen"]["runtime"],
        dtype=said["chosen"]["dtype"],
        accuracy_float=said["quality"]["float"],
        accuracy=said["quality"]["compiled"],
        agreement=said["quality"]["agreement"],
    )


def _train(folder: Path, seed: int, recipe: Recipe) -> Path:
    import cv2
    import torch

    cv2.setNumThreads(1)  # pictures this small are slower on two
    torch.set_num_threads(1)  # two versions are trained at once
    rng = np.random.default_rng([seed, 5, recipe.after or 0])  # what goes on from a version sees new scenes
    scenes = make_scenes(load_props("train", seed=seed), recipe.scenes, rng)
    start = load_weights(_weights(folder, recipe.after)) if recipe.after else None
    net = train(recipe, scenes, seed=seed, start=start, on_epoch=lambda _share: None)
    torch.save(net.state_dict(), _weights(folder, recipe.version))
    return save(net, folder / f"v{recipe.version}.pt2")


def _weights(folder: Path, version: int) -> Path:
    return folder / f"v{version}.weights"


if __name__ == "__main__":
    os.nice(19 if sys.argv[3] == "2" else 10)  # cars drive meanwhile; v1 and v3 are waited for, v2 is not
    made = make_version(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    print(msgspec.json.encode(made).decode())
