"""Networks with a memory, sequences for them, and how they are run."""

from pathlib import Path

import numpy as np

from compiler.builder import Builder
from compiler.load.source import SourceModel
from compiler.load.state import parse_states
from compiler.packing import Order
from compiler.pipeline import Request
from compiler.plan import Plan
from compiler.search import Scope
from edge.runtimes import Session, open_model, run_float

TORCH = """
import torch

class Net(torch.nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.layer = kind(3, 8, batch_first=True)
        self.head = torch.nn.Linear(8, 2)

class Gru(Net):
    def forward(self, x, h):
        y, h = self.layer(x, h)
        return self.head(y[:, -1]), h

class Lstm(Net):
    def forward(self, h, x, c):  # the data is not the first input
        y, (h, c) = self.layer(x, (h, c))
        return h, self.head(y[:, -1]), c  # nor the answer the first output

def gru():
    return Gru(torch.nn.GRU), (torch.zeros(1, 1, 3), torch.zeros(1, 1, 8))

def lstm():
    return Lstm(torch.nn.LSTM), (torch.zeros(1, 1, 8), torch.zeros(1, 1, 3), torch.zeros(1, 1, 8))

class Echo(torch.nn.Module):
    def forward(self, x, h):
        return x + h

def echo():
    return Echo(), (torch.zeros(1, 3), torch.zeros(1, 3))

def forgetful():
    return torch.nn.Linear(3, 2), torch.zeros(1, 3)
"""
DECAY = 0.98
GATHERER = parse_states(["h=h_next"])


def drifting(count: int, steps: int, seed: int = 0, noise: float = 1.0) -> np.ndarray:
    """Noise around a slow drift, [count, steps, 2]."""
    rng = np.random.default_rng(seed)
    drift = rng.uniform(-0.6, 0.6, (count, 1, 2)) * np.ones((1, steps, 1))
    return (drift + rng.normal(0, noise, (count, steps, 2))).astype(np.float32)


def saved(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def unrolled(session: Session, sequence: np.ndarray) -> np.ndarray:
    session.reset()
    return np.stack([run_float(session, x) for x in sequence])


def opened(model: SourceModel, plan: Plan, calibration: np.ndarray) -> Session:
    made = Builder(model, lambda: iter(calibration)).build(plan)
    return open_model(made.data, made.variant)


def request_to(folder: Path, gatherer: Path, data: Path) -> Request:
    order = Order(target="raspberrypi4", name="gatherer", output=folder / "gatherer-1.edge")
    return Request(model=str(gatherer), data=data, order=order, states=GATHERER, scope=Scope(effort="quick"))
