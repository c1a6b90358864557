"""Train the three versions: v1 good, v2 in one light only, v3 better. Under two minutes in all, on two cores."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from demos.stop_go.light import ANY_LIGHT, DAYLIGHT, DUSK, LAMP, Lights, Phase, draw_lights, relight
from demos.stop_go.networks import LightNet, example_input
from demos.stop_go.scenes import FRAME, LABELS, Picture, Props, cut_frames, make_scene

Labels = NDArray[np.int64]
BATCH = 64
_SHARES = (0.34, 0.12, 0.34, 0.2)  # of LABELS


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one version is trained. `lights`: each training picture draws one of them. `after`: where it goes on from."""

    version: int
    title: str
    lights: tuple[Phase, ...]
    scenes: int
    epochs: int
    learning_rate: float = 8e-3
    after: int | None = None


RECIPES = (
    Recipe(1, "good: every light of the room", (DAYLIGHT, DUSK, LAMP), 6000, 4),
    Recipe(2, "trained in one light only", (DAYLIGHT,), 6000, 4),
    Recipe(3, "better: v1, trained on in any light", (DAYLIGHT, DUSK, LAMP, ANY_LIGHT), 9000, 5, 4e-3, after=1),
)


@dataclass(frozen=True, slots=True)
class Scenes:
    """Scenes in plain light: canvases [n, CANVAS, CANVAS, 3], and what they show as indices into LABELS."""

    canvases: Picture
    labels: Labels


def make_scenes(props: Props, count: int, rng: np.random.Generator, shares: tuple[float, ...] = _SHARES) -> Scenes:
    """Make `count` scenes, with LABELS in the given shares."""
    labels = rng.choice(len(LABELS), count, p=shares)
    canvases = np.stack([make_scene(LABELS[label], props, rng) for label in labels])
    return Scenes(canvases, labels.astype(np.int64))


def train(
    recipe: Recipe, scenes: Scenes, *, seed: int, start: LightNet | None = None, on_epoch: Callable[[float], None]
) -> LightNet:
    """Train one version; `on_epoch` hears the share done, 0..1. The same seed gives the same network."""
    torch.manual_seed(seed * 10 + recipe.version)
    rng = np.random.default_rng([seed, recipe.version, 3])
    net = LightNet()
    if start is not None:
        net.load_state_dict(start.state_dict())
    batches = len(scenes.labels) // BATCH
    optimizer = torch.optim.AdamW(net.parameters(), lr=recipe.learning_rate, weight_decay=1e-2, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=recipe.epochs * batches, pct_start=0.2
    )
    net.train()
    for epoch in range(recipe.epochs):
        pictures, labels = _look_again(scenes, recipe.lights, rng)
        for batch in range(batches):
            part = slice(batch * BATCH, (batch + 1) * BATCH)
            loss = nn.functional.cross_entropy(net(as_input(pictures[part])), torch.from_numpy(labels[part]))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()
            schedule.step()
        on_epoch((epoch + 1) / recipe.epochs)
    return net.eval()


def _look_again(scenes: Scenes, lights: tuple[Phase, ...], rng: np.random.Generator) -> tuple[Picture, Labels]:
    """See all scenes once more, in new order, from a new place, in new light."""
    count = len(scenes.labels)
    order = rng.permutation(count)
    shifts = np.stack(
        [
            rng.uniform(-4, 4, count),
            rng.uniform(-4, 4, count),
            rng.normal(0, 0.06, count),
            rng.uniform(0.92, 1.12, count),
        ],
        axis=1,
    )
    pictures = np.concatenate(
        [cut_frames(scenes.canvases[i], shift[None]) for i, shift in zip(order, shifts, strict=True)]
    )
    mirrored = rng.uniform(size=count) < 0.5
    pictures[mirrored] = pictures[mirrored, :, ::-1]
    return relight(pictures, mix_lights(lights, count, rng), rng), scenes.labels[order]


def mix_lights(phases: tuple[Phase, ...], count: int, rng: np.random.Generator) -> Lights:
    """Draw `count` lights, each from a phase drawn evenly."""
    which = rng.integers(0, len(phases), count)
    drawn = [draw_lights(phase, count, rng) for phase in phases]
    rows = np.arange(count)

    def pick(field: str) -> NDArray[np.float32]:
        picked: NDArray[np.float32] = np.stack([getattr(lights, field) for lights in drawn])[which, rows]
        return picked

    return Lights(**{field: pick(field) for field in Lights.__dataclass_fields__})


def as_input(pictures: Picture) -> torch.Tensor:
    """uint8 pictures to what the network takes."""
    return torch.from_numpy(pictures.astype(np.float32) / 255)


def probabilities(net: LightNet, pictures: Picture) -> NDArray[np.float32]:
    """Soft-max scores [n, len(LABELS)]."""
    with torch.no_grad():
        parts = [torch.softmax(net(as_input(pictures[i : i + 256])), 1) for i in range(0, len(pictures), 256)]
    scores: NDArray[np.float32] = torch.cat(parts).numpy()
    return scores


def load_weights(path: Path) -> LightNet:
    """Read the network whose weights were saved at `path`."""
    net = LightNet()
    net.load_state_dict(torch.load(path, weights_only=True))
    return net


def save(net: LightNet, path: Path) -> Path:
    """Write the network as NAME.pt2, and the input contract NAME.input.toml beside it; returns the .pt2."""
    program = torch.export.export(net, (example_input(),))
    torch.export.save(program, path)
    labels = ", ".join(f'"{label}"' for label in LABELS)
    contract = f"""kind = "image"
labels = [{labels}]
width = {FRAME}
height = {FRAME}
colour = "BGR"
layout = "NHWC"
resize = "stretch"
scale = {1 / 255!r}
"""
    path.with_suffix("").with_suffix(".input.toml").write_text(contract, "utf-8")
    return path
