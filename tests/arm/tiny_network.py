"""The network that the emulated boards run: small, untrained, but seeded: the same bytes everywhere."""

import torch
from torch import nn


def make() -> tuple[nn.Module, tuple[torch.Tensor]]:
    """A three-class CNN for 32x32 RGB pictures, and an example input."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 3),
    )
    return network.eval(), (torch.zeros(1, 3, 32, 32),)
