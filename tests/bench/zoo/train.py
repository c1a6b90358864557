"""Trains the benchmark's own networks once: `python tests/bench/zoo/train.py [NAME ...]` into `.cache/zoo`.

Each leaves NAME.pt (weights) and NAME.npz (held-out x, y, in the network's own shape). Nothing of it is committed.
The functions `mobilenet_v2`, `keyword`, `imbalanced`, `gru`, `gru_steps`, `transformer`, `autoencoder` and
`efficientnet_lite0` are what `edge compile tests/bench/zoo/train.py:NAME` takes.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
import data
import efficientnet_lite
import networks

FOLDER = Path(__file__).parents[3] / ".cache" / "zoo"
BATCH = 64
SIGMA = 1.8
Arrays = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, slots=True)
class Entry:
    """How one network is made, trained and judged."""

    make: Callable[[], nn.Module]
    examples: Callable[[bool], Arrays]
    """Training samples (True), or held-out ones."""
    shape: tuple[int, ...]
    epochs: int
    learning_rate: float
    restore: bool = False
    """An autoencoder: the target is the input."""


def _words(shape: tuple[int, ...], training: bool) -> Arrays:
    x, y = data.make_words(12_000 if training else 1_500, 1 if training else 2)
    return x.reshape(-1, *shape), y


def _lights(training: bool) -> Arrays:
    return data.make_lights("train" if training else "test", 3_000 if training else 1_000, 1 if training else 2)


def _series(training: bool) -> Arrays:
    return data.make_series(6_000 if training else 1_500, 1 if training else 2, anomalies=0.0 if training else 0.4)


IMAGE = (1, data.FRAMES, data.FEATURES)
SERIES = (data.FRAMES, data.FEATURES)
ENTRIES: dict[str, Entry] = {
    "keyword": Entry(networks.KeywordNet, partial(_words, IMAGE), IMAGE, 6, 4e-3),
    "gru": Entry(networks.GruNet, partial(_words, SERIES), SERIES, 10, 6e-3),
    "transformer": Entry(networks.TinyTransformer, partial(_words, SERIES), SERIES, 10, 2e-3),
    "mobilenet_v2": Entry(partial(networks.MobileNetV2, 2), _lights, (3, data.SIDE, data.SIDE), 5, 3e-3),
    "autoencoder": Entry(networks.SeriesAutoencoder, _series, (data.COLUMNS, data.ROWS), 12, 3e-3, restore=True),
}


def fit(entry: Entry, *, seed: int = 0) -> nn.Module:
    """Train with AdamW and one cycle of the learning rate; the same seed gives the same network."""
    torch.manual_seed(seed)
    x, y = (torch.from_numpy(part) for part in entry.examples(True))
    network = entry.make().train()
    steps = len(x) // BATCH
    optimizer = torch.optim.AdamW(network.parameters(), lr=entry.learning_rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, entry.learning_rate, total_steps=entry.epochs * steps)
    for epoch in range(entry.epochs):
        order = torch.randperm(len(x))
        for step in range(steps):
            part = order[step * BATCH : (step + 1) * BATCH]
            output = network(x[part])
            loss = (
                nn.functional.mse_loss(output, x[part])
                if entry.restore
                else nn.functional.cross_entropy(output, y[part])
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"  epoch {epoch + 1} of {entry.epochs}: loss {loss.item():.4f}", file=sys.stderr, flush=True)
    return network.eval()


def judge(entry: Entry, network: nn.Module) -> float:
    """Accuracy on held-out samples; of an autoencoder, the AUC of its error."""
    x, y = entry.examples(False)
    with torch.inference_mode():
        output = torch.cat([network(torch.from_numpy(x[i : i + 256])) for i in range(0, len(x), 256)]).numpy()
    if not entry.restore:
        return float((output.argmax(1) == y).mean())
    error = ((output - x) ** 2).reshape(len(x), -1).mean(1)
    above = error[y == 1][:, None] > error[y == 0][None]
    return float(above.mean())


def prepare(name: str) -> None:
    """Train and save one, unless it is there."""
    weights, held_out = FOLDER / f"{name}.pt", FOLDER / f"{name}.npz"
    if weights.exists() and held_out.exists():
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    entry = ENTRIES[name]
    network = fit(entry)
    print(f"{name}: {judge(entry, network):.4f} on held-out samples", flush=True)
    x, y = entry.examples(False)
    np.savez(held_out, x=x, y=y)
    torch.save(network.state_dict(), weights)


def load(name: str) -> tuple[nn.Module, torch.Tensor]:
    """Return a trained network and an example of its input, as `edge compile` wants them."""
    entry = ENTRIES[name]
    network = entry.make()
    network.load_state_dict(torch.load(FOLDER / f"{name}.pt", weights_only=True))
    return network.eval(), torch.zeros(1, *entry.shape)


def keyword() -> tuple[nn.Module, torch.Tensor]:
    """DS-CNN."""
    return load("keyword")


def imbalanced() -> tuple[nn.Module, torch.Tensor]:
    """DS-CNN whose channels were scaled by log-normal factors; judged on the data of `keyword`."""
    network, example = load("keyword")
    assert isinstance(network, networks.KeywordNet)
    return networks.imbalance(network, SIGMA), example


def gru() -> tuple[nn.Module, torch.Tensor]:
    """GRU over the frames."""
    return load("gru")


def gru_steps() -> tuple[nn.Module, tuple[torch.Tensor, torch.Tensor]]:
    """The same GRU step by step (`--state h=1`); judged on the data of `gru`, by the last step."""
    network, _ = load("gru")
    assert isinstance(network, networks.GruNet)
    steps = networks.GruSteps(network)
    return steps.eval(), (torch.zeros(1, data.FEATURES), torch.zeros(1, network.gru.hidden_size))


def transformer() -> tuple[nn.Module, torch.Tensor]:
    """Two encoder layers."""
    return load("transformer")


def mobilenet_v2() -> tuple[nn.Module, torch.Tensor]:
    """MobileNetV2 on photographs."""
    return load("mobilenet_v2")


def autoencoder() -> tuple[nn.Module, torch.Tensor]:
    """Convolutional autoencoder over a pump's sensors."""
    return load("autoencoder")


def efficientnet_lite0() -> tuple[nn.Module, torch.Tensor]:
    """EfficientNet-Lite0 with its published weights; nothing to train."""
    side = efficientnet_lite.SIDE
    return efficientnet_lite.load_published(FOLDER), torch.zeros(1, 3, side, side)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for wanted in sys.argv[1:] or ENTRIES:
        prepare(wanted)
