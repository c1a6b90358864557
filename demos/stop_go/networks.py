"""The network that all three versions share: a picture goes in, one score for each colour comes out."""

import torch
from torch import nn

from demos.stop_go.scenes import FRAME, LABELS

WIDTH = 16


class LightNet(nn.Module):
    """Four convolutions, then the mean and the maximum of each map: 47 thousand weights, 2.4 million multiplications.

    The maximum, because a lit lamp covers only a few places: under a mean alone the rest of the picture drowns it.

    Takes [n, FRAME, FRAME, 3], B, G, R in 0..1 as the camera delivers them; gives one logit for each of LABELS.
    """

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_block(3, width, stride=2),
            *_block(width, 2 * width, stride=2),
            *_block(2 * width, 3 * width, stride=2),
            *_block(3 * width, 4 * width, stride=1),
        )
        self.head = nn.Linear(2 * 4 * width, len(LABELS))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return logits [n, len(LABELS)]."""
        maps: torch.Tensor = self.features(pictures.permute(0, 3, 1, 2))
        logits: torch.Tensor = self.head(torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], dim=1))
        return logits


def _block(inputs: int, outputs: int, *, stride: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(outputs), nn.ReLU()


def example_input() -> torch.Tensor:
    """One black picture, as the exporter wants it."""
    return torch.zeros(1, FRAME, FRAME, 3)
