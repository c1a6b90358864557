"""Which of three colours is brightest in an 8 x 8 picture; and the same behind a sine, which no NPU has."""

import torch


class Colours(torch.nn.Module):
    """[1, 3, 8, 8] -> [1, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = torch.nn.Conv2d(3, 3, 1, bias=False)
        self.mix.weight.data = torch.tensor([[-1.0, -1, 3], [-1, 3, -1], [3, -1, -1]]).reshape(3, 3, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.mix(x)).mean((2, 3))


class Waves(Colours):
    """The same, and a sine."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(super().forward(x) * 0.1)


def load() -> tuple[torch.nn.Module, torch.Tensor]:
    """Return the network and an example of its input."""
    return Colours().eval(), torch.zeros(1, 3, 8, 8)


def waves() -> tuple[torch.nn.Module, torch.Tensor]:
    """Return the one with the sine."""
    return Waves().eval(), torch.zeros(1, 3, 8, 8)
