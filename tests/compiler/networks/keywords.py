"""A keyword-spotting network with separable convolutions, trained in seconds on generated spectrograms.

`imbalanced` rescales its channels by log-normal factors. The function stays; an int8 activation no longer fits it.
"""

import copy
import itertools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

CLASSES, FRAMES, BANDS = 8, 25, 10


def spectrograms(count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """[count, 1, FRAMES, BANDS]: each class is a moving tone with its own speed and height, in noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, count)
    frames, bands = np.arange(FRAMES)[:, None], np.arange(BANDS)[None, :]
    pictures = []
    for label in labels:
        height = 2 + label % 4 * 1.7 + rng.normal(0, 0.3)
        slope = (0.12 if label < 4 else -0.12) * rng.uniform(0.8, 1.2)
        tone = np.exp(-((bands - height - slope * (frames - FRAMES / 2)) ** 2) / 1.5)
        pictures.append(2.5 * tone + rng.normal(0, 0.9, (FRAMES, BANDS)))
    return np.stack(pictures)[:, None].astype(np.float32), labels


class Keywords(nn.Module):
    """[n, 1, 25, 10] -> [n, 8]."""

    def __init__(self, width: int = 24, blocks: int = 2) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(1, width, (5, 3), stride=2, padding=(2, 1)), nn.ReLU()]
        for _ in range(blocks):
            layers += [nn.Conv2d(width, width, 3, padding=1, groups=width), nn.ReLU()]
            layers += [nn.Conv2d(width, width, 1), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x).mean((2, 3)))


def trained(steps: int = 150) -> Keywords:
    """Train with fixed seeds on one thread: the same weights each time on one kind of processor."""
    torch.manual_seed(0)
    network = Keywords()
    x, y = (torch.from_numpy(part) for part in spectrograms(2000, seed=1))
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for step in range(steps):
        at = torch.arange(step * 64, (step + 1) * 64) % len(x)
        loss = nn.functional.cross_entropy(network(x[at]), y[at])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


def imbalanced(network: Keywords, sigma: float = 1.8) -> Keywords:
    """Multiply what each layer writes by log-normal factors, and divide what the next one reads: the same function."""
    rescaled = copy.deepcopy(network)
    rng = np.random.default_rng(3)
    layers = [one for one in rescaled.body if isinstance(one, nn.Conv2d)] + [rescaled.head]
    with torch.no_grad():
        for before, after in itertools.pairwise(layers):
            factors = torch.from_numpy(np.exp(rng.normal(0, sigma, before.weight.shape[0])).astype(np.float32))
            before.weight *= factors.reshape(-1, *[1] * (before.weight.ndim - 1))
            before.bias *= factors
            depthwise = isinstance(after, nn.Conv2d) and after.groups > 1
            sides = (-1, 1, 1, 1) if depthwise else (1, -1, *[1] * (after.weight.ndim - 2))
            after.weight /= factors.reshape(sides)
    return rescaled
