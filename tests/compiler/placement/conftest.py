"""Int8 networks to place: a MobileNetV2 of our own, and MLPerf Tiny's where the shared data are there."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np
import pytest
from modules import load_module

from compiler.packing import Order
from compiler.pipeline import Request
from compiler.placement.vela import find_vela
from compiler.plan import Plan
from compiler.quantize.workbench import Workbench
from compiler.search import Scope
from edge.errors import MissingExtraError
from edge.manifest import RuntimeName

TESTS = Path(__file__).parents[1]
SHARED = TESTS.parents[1] / ".." / "shared" / "data"


class InInt8(Protocol):
    """Quantize a float file for a runtime, by samples of this shape drawn at random."""

    def __call__(self, content: bytes, runtime: RuntimeName, shape: tuple[int, ...]) -> bytes:
        """Return the integer file."""


@pytest.fixture(scope="session")
def in_int8() -> InInt8:
    """Our own quantizer, without any pass."""

    def quantize(content: bytes, runtime: RuntimeName, shape: tuple[int, ...]) -> bytes:
        rng = np.random.default_rng(0)
        samples = [rng.random(shape, np.float32) for _ in range(4)]
        plan = Plan(runtime, "int8")
        return Workbench(content, plan.file_format, lambda: iter(samples)).make(plan).content

    return quantize


@pytest.fixture(scope="session")
def ask_for(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Request]:
    """Ask for a quick compile of networks/colours.py for a target: which of three colours is brightest, from torch."""
    folder = tmp_path_factory.mktemp("colours")
    rng = np.random.default_rng(3)
    y = np.arange(150) % 3
    x = rng.random((150, 3, 8, 8), np.float32)
    x[np.arange(150), 2 - y] += 0.1 + 0.1 * rng.random((150, 1, 1), np.float32)
    np.savez(folder / "d.npz", x=x, y=y)

    def ask(target: str) -> Request:
        return Request(
            model=f"{TESTS / 'networks' / 'colours.py'}:load",
            data=folder / "d.npz",
            order=Order(target=target, name="colours", output=folder / f"{target}.edge"),
            scope=Scope(effort="quick"),
        )

    return ask


@pytest.fixture(scope="session")
def by_hand() -> ModuleType:
    """The builder of small .tflite files."""
    return load_module(Path(__file__).with_name("small_files.py"))


@pytest.fixture(scope="session")
def vela() -> str:
    """The program, or a skip that says how to get it."""
    try:
        return find_vela()
    except MissingExtraError as exc:
        pytest.skip(str(exc))


@pytest.fixture(scope="session")
def mobilenet(in_int8: InInt8) -> bytes:
    """MobileNetV2, width .35, [1, 3, 96, 96] -> [1, 10], int8: a torch network with a mean over (2, 3)."""
    import litert_torch

    network, example = load_module(TESTS / "networks" / "mobilenetv2.py").load()
    content = bytes(litert_torch.convert(network, (example,)).model_content())
    return in_int8(content, "litert", (1, 3, 96, 96))


@pytest.fixture(scope="session")
def shared_model() -> Callable[[str], bytes]:
    """Read a real file by its path below the shared data, without its ending; skips where it is absent."""

    def read(name: str) -> bytes:
        path = SHARED / f"{name}.tflite"
        if not path.exists():
            pytest.skip("needs the shared data folder")
        return path.read_bytes()

    return read
