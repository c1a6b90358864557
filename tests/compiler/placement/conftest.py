"""Int8 networks to place: a MobileNetV2 of our own, and MLPerf Tiny's where the shared data are there."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from compiler.quantize.tflite_int8 import quantize_tflite

from compiler.placement.vela import find_vela
from edge.errors import MissingExtraError

TESTS = Path(__file__).parents[1]
SHARED = TESTS.parents[1] / ".." / "shared" / "data"


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
def mobilenet() -> bytes:
    """MobileNetV2, width .35, [1, 3, 96, 96] -> [1, 10], int8: a torch network with a mean over (2, 3)."""
    import litert_torch

    network, example = load_module(TESTS / "networks" / "mobilenetv2.py").load()
    content = bytes(litert_torch.convert(network, (example,)).model_content())
    rng = np.random.default_rng(0)
    return quantize_tflite(content, (rng.random((1, 3, 96, 96), np.float32) for _ in range(2)))


@pytest.fixture(scope="session")
def shared_model() -> Callable[[str], bytes]:
    """Read a real file by its path below the shared data, without its ending; skips where it is absent."""

    def read(name: str) -> bytes:
        path = SHARED / f"{name}.tflite"
        if not path.exists():
            pytest.skip("needs the shared data folder")
        return path.read_bytes()

    return read
