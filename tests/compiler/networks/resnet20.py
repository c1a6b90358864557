"""ResNet-20 for CIFAR-10, written from the paper: three stages of three blocks, shortcuts without weights (option A).

Source: K. He et al., "Deep Residual Learning for Image Recognition", 2016, section 4.2.
"""

from pathlib import Path

import torch
from torch import nn

WEIGHTS = Path(__file__).parents[4] / "shared" / "data" / "models" / "resnet20_cifar10.th"


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut that drops every other pixel and adds channels of zeros."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride, self.extra = stride, channels - channels_in

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        if self.extra:
            x = nn.functional.pad(
                x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.extra // 2, self.extra // 2)
            )
        return torch.relu(x + y)


class ResNet20(nn.Module):
    """[n, 3, 32, 32] normalised pictures -> [n, 10] scores before the soft-max."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(Block(16, 16, 1), Block(16, 16, 1), Block(16, 16, 1))
        self.layer2 = nn.Sequential(Block(16, 32, 2), Block(32, 32, 1), Block(32, 32, 1))
        self.layer3 = nn.Sequential(Block(32, 64, 2), Block(64, 64, 1), Block(64, 64, 1))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


def load() -> tuple[nn.Module, torch.Tensor]:
    """Return the trained network and an example of its input."""
    weights = torch.load(WEIGHTS, map_location="cpu", weights_only=True)["state_dict"]
    network = ResNet20()
    network.load_state_dict({name.removeprefix("module."): value for name, value in weights.items()})
    return network.eval(), torch.zeros(1, 3, 32, 32)
