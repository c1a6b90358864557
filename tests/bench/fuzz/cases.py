"""Which cases there are, and what lies in the folder of each: its number alone decides its bytes."""

import random
import shutil
from dataclasses import dataclass
from pathlib import Path

from mutate import mutate, mutate_inside
from mutate_onnx import mutate_graph
from mutate_tflite import mutate_flatbuffer

MODELS = ("convolution.onnx", "small.tflite", "matrix.onnx", "integers.tflite", "features.onnx", "small.tflite")
"""Seed models, in turn; each fits data.npz."""
DATA = (
    ("data.npz", "small.tflite"),
    ("rows.csv", "rows.tflite"),
    ("pictures", "pictures.tflite"),
    ("data.npz", "convolution.onnx"),
    ("rows.csv", "rows.tflite"),
)
"""Seed data and the whole model that fits it, in turn."""


@dataclass(frozen=True, slots=True)
class Case:
    """One mutant and its undamaged partner."""

    name: str
    seed: str
    """File name of what was damaged."""
    model: Path
    data: Path

    def words(self, bundle: Path, cache: Path) -> list[str]:
        """What stands after `edge`."""
        paths = ["--data", str(self.data), "-o", str(bundle), "--cache", str(cache)]
        return ["compile", str(self.model), "--target", "x86-64", "--effort", "quick", "--json", *paths]


def names(models: int, data: int) -> list[str]:
    """List the cases, one with damaged data after every few damaged models: a stop leaves a fair share of both."""
    both = [(i / max(models, 1), f"model-{i}") for i in range(models)]
    both += [(i / max(data, 1), f"data-{i}") for i in range(data)]
    return [name for _, name in sorted(both)]


def prepare(name: str, seeds: Path, place: Path) -> Case:
    """Lay out one case in the folder `place`."""
    kind, _, digits = name.partition("-")
    dice, number = random.Random(f"{kind} {digits}"), int(digits)
    if kind == "model":
        seed = seeds / MODELS[number % len(MODELS)]
        within = mutate_graph if seed.suffix == ".onnx" else mutate_flatbuffer
        damage = within if dice.random() < 0.5 else mutate
        (place / seed.name).write_bytes(damage(seed.read_bytes(), dice))
        return Case(name, seed.name, place / seed.name, seeds / "data.npz")
    data, model = DATA[number % len(DATA)]
    return Case(name, data, seeds / model, _damaged(seeds / data, place, dice))


def _damaged(seed: Path, place: Path, dice: random.Random) -> Path:
    """A damaged file, or the folder of pictures with one of them damaged."""
    damaged = place / seed.name
    if seed.is_dir():
        shutil.copytree(seed, damaged)
        picture = dice.choice(sorted(damaged.rglob("*.*")))
        picture.write_bytes(mutate(picture.read_bytes(), dice))
        return damaged
    inside = seed.suffix == ".npz" and dice.random() < 0.8
    damaged.write_bytes((mutate_inside if inside else mutate)(seed.read_bytes(), dice))
    return damaged
