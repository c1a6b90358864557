"""The networks of the compiler's benchmark that we train ourselves, written from their papers."""

import torch
from torch import nn

WORDS, FRAMES, FEATURES = 10, 49, 10


def separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Depthwise, then pointwise convolution, each with batch norm and ReLU (MobileNet, arXiv 1704.04861)."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.ReLU(),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class KeywordNet(nn.Module):
    """DS-CNN, small (Y. Zhang et al., "Hello Edge", 2017, arXiv 1711.07128): [n, 1, FRAMES, FEATURES] -> [n, WORDS]."""

    def __init__(self, width: int = 64, blocks: int = 4) -> None:
        super().__init__()
        first = nn.Conv2d(1, width, (10, 4), (2, 2), (5, 1), bias=False)
        self.first = nn.Sequential(first, nn.BatchNorm2d(width), nn.ReLU())
        self.blocks = nn.Sequential(*(separable(width, width) for _ in range(blocks)))
        self.head = nn.Linear(width, WORDS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.head(self.blocks(self.first(x)).mean((2, 3)))
        return scores


class GruNet(nn.Module):
    """A GRU over the frames, the last state decides: [n, FRAMES, FEATURES] -> [n, WORDS]."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.gru = nn.GRU(FEATURES, width, batch_first=True)
        self.head = nn.Linear(width, WORDS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states, _ = self.gru(x)
        scores: torch.Tensor = self.head(states[:, -1])
        return scores


class GruSteps(nn.Module):
    """A trained GruNet, one frame at a time: ([n, FEATURES], [n, width]) -> ([n, WORDS], [n, width])."""

    def __init__(self, whole: GruNet) -> None:
        super().__init__()
        self.cell = nn.GRUCell(FEATURES, whole.gru.hidden_size)
        self.cell.load_state_dict({name.removesuffix("_l0"): one for name, one in whole.gru.state_dict().items()})
        self.head = whole.head

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        h = self.cell(x, h)
        return self.head(h), h


class Bottleneck(nn.Module):
    """Inverted residual with linear bottleneck (M. Sandler et al., "MobileNetV2", 2018, section 3)."""

    def __init__(self, inputs: int, outputs: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = inputs * expand
        layers: list[nn.Module] = []
        if expand != 1:
            layers += [nn.Conv2d(inputs, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU6()]
        layers += [nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False), nn.BatchNorm2d(hidden)]
        layers += [nn.ReLU6(), nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        self.layers, self.same = nn.Sequential(*layers), stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layers(x)
        return x + y if self.same else y


class MobileNetV2(nn.Module):
    """Table 2 of the paper, with a width multiplier: [n, 3, side, side] in 0..1 -> [n, classes]."""

    STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    """Expansion, channels, repeats, stride of the first."""

    def __init__(self, classes: int, width: float = 0.5, head: int = 640) -> None:
        super().__init__()
        inputs = _by_eight(32 * width)
        blocks: list[nn.Module] = [nn.Conv2d(3, inputs, 3, 2, 1, bias=False), nn.BatchNorm2d(inputs), nn.ReLU6()]
        for expand, channels, repeats, stride in self.STAGES:
            for number in range(repeats):
                outputs = _by_eight(channels * width)
                blocks.append(Bottleneck(inputs, outputs, stride if number == 0 else 1, expand))
                inputs = outputs
        blocks += [nn.Conv2d(inputs, head, 1, bias=False), nn.BatchNorm2d(head), nn.ReLU6()]
        self.features, self.head = nn.Sequential(*blocks), nn.Linear(head, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.head(self.features(x).mean((2, 3)))
        return scores


def _by_eight(channels: float) -> int:
    """Round to a multiple of eight, at least eight, never down by more than a tenth, as the paper's code does."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


class SeriesAutoencoder(nn.Module):
    """Convolutions along time down to a quarter and up again: [n, columns, rows] -> the same shape."""

    def __init__(self, columns: int = 8, width: int = 32) -> None:
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv1d(columns, width, 7, 2, 3), nn.ReLU(), nn.Conv1d(width, width // 2, 7, 2, 3), nn.ReLU()
        )
        self.up = nn.Sequential(
            nn.ConvTranspose1d(width // 2, width, 8, 2, 3), nn.ReLU(), nn.ConvTranspose1d(width, columns, 8, 2, 3)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        restored: torch.Tensor = self.up(self.down(x))
        return restored


class TinyTransformer(nn.Module):
    """Two encoder layers over the frames, mean over time: [n, FRAMES, FEATURES] -> [n, WORDS]."""

    def __init__(self, width: int = 48, heads: int = 4, layers: int = 2) -> None:
        super().__init__()
        self.embed = nn.Linear(FEATURES, width)
        self.place = nn.Parameter(torch.zeros(1, FRAMES, width))
        self.layers = nn.ModuleList(EncoderLayer(width, heads) for _ in range(layers))
        self.head = nn.Linear(width, WORDS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.embed(x) + self.place
        for layer in self.layers:
            hidden = layer(hidden)
        scores: torch.Tensor = self.head(hidden.mean(1))
        return scores


class EncoderLayer(nn.Module):
    """Pre-norm attention and a two-layer network, each with a residual, in operators that every exporter knows."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.network = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, frames, width = x.shape
        parts = self.mix(self.norm1(x)).reshape(n, frames, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = parts[0], parts[1], parts[2]
        weights = torch.softmax(query @ key.transpose(-1, -2) * self.scale, -1)
        x = x + self.out((weights @ value).transpose(1, 2).reshape(n, frames, width))
        return x + self.network(self.norm2(x))


def imbalance(network: KeywordNet, sigma: float, seed: int = 0) -> KeywordNet:
    """Scale each block's channels by a log-normal factor and undo it behind the ReLU: the same float function.

    Per-tensor and per-channel int8 both break on it, because one activation tensor then holds channels of ranges that
    differ by orders of magnitude.
    """
    dice = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for block in network.blocks:
            depthwise, norm, _, pointwise, *_ = block
            factor = torch.exp(sigma * torch.randn(norm.weight.shape, generator=dice))
            norm.weight *= factor
            norm.bias *= factor
            pointwise.weight /= factor.reshape(1, -1, 1, 1)
            assert isinstance(depthwise, nn.Conv2d)
    return network
