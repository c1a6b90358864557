"""A network small enough for tests: two convolutions, one of them depthwise, pooling, a linear layer."""

import torch
from torch import nn


class Tiny(nn.Module):
    """[n, 3, 16, 16] -> [n, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, groups=8),
            nn.ReLU(),
        )
        self.head = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x).mean((2, 3)))


def load() -> tuple[nn.Module, torch.Tensor]:
    """Return the network, always with the same weights."""
    torch.manual_seed(7)
    network = Tiny().eval()
    network.body[1].running_mean = torch.linspace(-0.5, 0.5, 8)
    network.body[1].running_var = torch.linspace(0.2, 2.0, 8)
    return network, torch.zeros(1, 3, 16, 16)
