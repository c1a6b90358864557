"""Int8 networks to place: a MobileNetV2 of our own, and MLPerf Tiny's where the shared data are there."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np
import pytest

from compiler.placement.vela import find_vela
from compiler.plan import Plan
from compiler.quantize.workbench import Workbench
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


def load_module(path: Path) -> ModuleType:
    """Import a file that is no test."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


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
