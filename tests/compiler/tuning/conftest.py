"""A network with two layers that integers harm, as a .tflite file, so that no exporter has to load; and its samples."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SIDE, CLASSES, SAMPLES = 8, 3, 120


@pytest.fixture(scope="session")
def tuned_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """x [SAMPLES, 3, SIDE, SIDE], brightest in the channel that y names; a few values are far out."""
    rng = np.random.default_rng(5)
    y = np.arange(SAMPLES) % CLASSES
    x = rng.random((SAMPLES, CLASSES, SIDE, SIDE), np.float32)
    x[np.arange(SAMPLES), y] += 0.4
    x[:, :, 0, 0] *= 6
    path = tmp_path_factory.mktemp("tuned") / "data.npz"
    np.savez(path, x=x, y=y)
    return path


@pytest.fixture(scope="session")
def tuned_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two convolutions, a pool and a dense layer; a second process converts it, so torch stays out of this one."""
    folder = tmp_path_factory.mktemp("network")
    subprocess.run([sys.executable, __file__, str(folder)], check=True, capture_output=True, timeout=300)
    return folder / "small.tflite"


@pytest.fixture(scope="session")
def other_model(tuned_model: Path) -> Path:
    """The same network with other weights, under the same name."""
    return tuned_model.parent / "other" / "small.tflite"


def _write(path: Path, seed: int) -> None:
    import litert_torch
    import torch

    torch.manual_seed(seed)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(CLASSES, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(8, CLASSES, 1), torch.nn.ReLU(),
        torch.nn.AvgPool2d(SIDE), torch.nn.Flatten(),
    ).eval()  # fmt: skip
    with torch.no_grad():
        net[0].weight *= 0.2
        for channel in range(CLASSES):
            net[0].weight[channel, channel, 1, 1] += 1
        net[2].weight *= 0.2
        net[2].weight[:, :CLASSES, 0, 0] += 2 * torch.eye(CLASSES) - 0.5
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(litert_torch.convert(net, (torch.zeros(1, CLASSES, SIDE, SIDE),)).model_content())


if __name__ == "__main__":
    _write(Path(sys.argv[1]) / "small.tflite", 1)
    _write(Path(sys.argv[1]) / "other" / "small.tflite", 2)
