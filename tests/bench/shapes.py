"""A small picture classifier of our own making: draws discs, squares and crosses, trains on them, saves all three.

`python shapes.py FOLDER` writes shapes.pt2, its input contract beside it, and shapes.npz with pictures that it was not
trained on. It is a program of its own, so that what measures never holds torch.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

LABELS = ("disc", "square", "cross")
SIDE, TRAINED_ON, SAVED = 96, 1280, 600
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Those that most pretrained classifiers take (ImageNet's): three different channels, as in practice."""
CONTRACT = f"""colour = "RGB"
scale = {1 / 255!r}
mean = {list(MEAN)}
std = {list(STD)}
labels = {list(LABELS)}
"""


def draw(count: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pictures [count, SIDE, SIDE, 3] in RGB, one shape each in another colour than the ground, and their labels."""
    labels = rng.integers(0, len(LABELS), count)
    grid = np.arange(SIDE, dtype=np.float32)
    centre, radius = rng.uniform(30, SIDE - 30, (2, count, 1, 1)), rng.uniform(12, 26, (count, 1, 1))
    down, across = np.abs(grid[:, None] - centre[0]), np.abs(grid - centre[1])
    furthest, nearest = np.maximum(down, across), np.minimum(down, across)
    kinds = (np.hypot(down, across) < radius, furthest < radius * 0.9, (furthest < radius) & (nearest < radius / 3))
    inside = np.choose(labels[:, None, None], kinds)[..., None]
    ground = rng.integers(0, 256, (count, 1, 1, 3))
    paint = (ground + rng.integers(70, 186, (count, 1, 1, 3))) % 256
    noise = rng.normal(0, 12, (count, SIDE, SIDE, 3))
    return np.clip(np.where(inside, paint, ground) + noise, 0, 255).astype(np.uint8), labels


def network() -> nn.Module:
    """[1, 3, SIDE, SIDE] -> [1, 3]: a stem, four depthwise-separable blocks, mean over the picture, a linear layer."""
    layers: list[nn.Module] = [*_convolution(3, 16, 3, stride=2)]
    for width, wider, stride in ((16, 32, 2), (32, 64, 2), (64, 64, 1), (64, 96, 2)):
        layers += [*_convolution(width, width, 3, stride=stride, groups=width), *_convolution(width, wider, 1)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, len(LABELS)))


def as_input(pictures: NDArray[np.uint8]) -> torch.Tensor:
    """What CONTRACT says, for training: [n, 3, SIDE, SIDE] in float32."""
    real = (torch.from_numpy(pictures).float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    return real.permute(0, 3, 1, 2).contiguous()


def train(rng: np.random.Generator, *, epochs: int = 5, batch: int = 64) -> nn.Module:
    """Train the network on fresh drawings; seconds on two cores."""
    torch.manual_seed(1)
    net, (pictures, labels) = network(), draw(TRAINED_ON, rng)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=epochs * (TRAINED_ON // batch))
    for _ in range(epochs):
        for part in rng.permutation(TRAINED_ON).reshape(-1, batch):
            loss = nn.functional.cross_entropy(net(as_input(pictures[part])), torch.from_numpy(labels[part]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return net.eval()


def _convolution(taken: int, made: int, side: int, *, stride: int = 1, groups: int = 1) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(taken, made, side, stride=stride, padding=side // 2, groups=groups, bias=False)
    return convolution, nn.BatchNorm2d(made), nn.ReLU()


def main(folder: Path) -> None:
    """Train and save."""
    rng = np.random.default_rng(1)
    exported = torch.export.export(train(rng), (torch.zeros(1, 3, SIDE, SIDE),))
    torch.export.save(exported, folder / "shapes.pt2")
    (folder / "shapes.input.toml").write_text(CONTRACT)
    pictures, labels = draw(SAVED, rng)
    np.savez(folder / "shapes.npz", x=pictures, y=labels)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
