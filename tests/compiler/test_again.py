"""The same compile once more is found again, and nothing that could change its result is overlooked."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from compiler.again import compile_again, fingerprint
from compiler.cache import Cache
from compiler.json_objects import Json, to_json
from compiler.load import load_model
from compiler.opening import Request
from compiler.packing import Order
from compiler.pipeline import compile_model
from compiler.plan import Plan
from compiler.search import Scope
from compiler.summary import summarize
from edge import console
from edge.bundle import open_bundle
from edge.errors import FileMissingError

NETWORK = """
import os
from pathlib import Path

import torch
from torch import nn

import again_layers

HERE = Path(__file__).parent


class Colours(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix = nn.Conv2d(3, 3, 1, bias=False)
        self.gain = float(os.environ.get("AGAIN_GAIN", "1"))

    def forward(self, x):
        return again_layers.brighten(self.mix(x) * self.gain).mean((2, 3))


def load():
    net = Colours().eval()
    net.mix.weight.data = torch.load(HERE / "weights.pt", weights_only=True)
    return net, torch.zeros(1, 3, 8, 8)
"""
LAYERS = """
import torch


def brighten(x):
    return torch.relu(x)
"""


class Rebuilt(Exception):  # noqa: N818 - it is no error
    """Raised instead of compiling."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A compile of Python code that a cache remembers."""

    folder: Path
    request: Request
    cache: Cache
    bundle: bytes

    def again(self, request: Request | None = None) -> tuple[Json, str]:
        """Compile once more; raises Rebuilt if it is not known again."""
        sys.modules.pop("again_layers", None)  # as in a process of its own

        def make(_request: Request) -> tuple[Json, str]:
            raise Rebuilt

        asked = request or self.request
        return compile_again(
            asked, cache=self.cache, calibration=None, warn=lambda _text: None, stage=console.progress, make=make
        )


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    import torch

    folder = tmp_path_factory.mktemp("kept")
    (folder / "again_network.py").write_text(NETWORK)
    (folder / "again_layers.py").write_text(LAYERS)
    torch.save((2 * torch.eye(3) - 0.5).reshape(3, 3, 1, 1), folder / "weights.pt")
    y = np.arange(100) % 3
    x = np.random.default_rng(5).random((100, 3, 8, 8), np.float32)
    x[np.arange(100), y] += 0.4
    np.savez(folder / "data.npz", x=x, y=y)
    cache = Cache(folder / "cache")
    request = Request(
        model=f"{folder / 'again_network.py'}:load",
        data=folder / "data.npz",
        order=Order("raspberrypi4", output=folder / "first.edge"),
        scope=Scope(effort="quick", plans=(Plan("onnxruntime"),), cache=cache),  # the cheapest there is
    )

    def make(asked: Request) -> tuple[Json, str]:
        compiled = compile_model(asked, stage=console.progress, warn=lambda _text: None)
        return to_json(compiled), summarize(compiled)

    compile_again(request, cache=cache, calibration=None, warn=lambda _text: None, stage=console.progress, make=make)
    return Kept(folder, request, cache, (folder / "first.edge").read_bytes())


def test_the_same_code_weights_and_data_give_the_same_files_without_compiling(kept: Kept, tmp_path: Path) -> None:
    order = replace(kept.request.order, output=tmp_path / "second.edge")
    told, text = kept.again(replace(kept.request, order=order))
    assert (tmp_path / "second.edge").read_bytes() == kept.bundle
    assert told["bundle"] == str(tmp_path / "second.edge")
    assert "from the cache" in text
    assert str(tmp_path / "second.report") in text
    written = sorted(path.name for path in (tmp_path / "second.report").iterdir())
    assert written == sorted(path.name for path in (kept.folder / "first.report").iterdir())
    open_bundle(tmp_path / "second.edge")
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def _weights(folder: Path) -> None:
    import torch

    weights = torch.load(folder / "weights.pt", weights_only=True)
    weights[0, 0] += 1e-6
    torch.save(weights, folder / "weights.pt")


def _data(folder: Path) -> None:
    with np.load(folder / "data.npz") as file:
        x, y = file["x"], file["y"]
    x[7, 0, 0, 0] += 1e-6
    np.savez(folder / "data.npz", x=x, y=y)


def _code(folder: Path) -> None:
    (folder / "again_network.py").write_text(NETWORK.replace("self.mix(x) *", "self.mix(x + 1e-6) *"))


def _imported_code(folder: Path) -> None:
    (folder / "again_layers.py").write_text(LAYERS.replace("relu", "sigmoid"))


def _contract(folder: Path) -> None:
    (folder / "again_network.input.toml").write_text('kind = "tensor"\n')


@pytest.mark.parametrize("change", [_weights, _data, _code, _imported_code, _contract])
def test_a_change_of_any_file_that_matters_is_seen(kept: Kept, change: Callable[[Path], None]) -> None:
    files = {path: path.read_bytes() for path in kept.folder.iterdir() if path.is_file()}
    try:
        change(kept.folder)
        with pytest.raises(Rebuilt):
            kept.again()
    finally:
        for path in kept.folder.glob("*.input.toml"):
            path.unlink()
        for path, content in files.items():
            path.write_bytes(content)
    kept.again()  # and the old state is still known


def test_a_setting_that_the_code_reads_is_seen(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGAIN_GAIN", "1.001")
    with pytest.raises(Rebuilt):
        kept.again()


def test_another_package_version_is_seen(kept: Kept, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "onnx_ir-99.0.dist-info").mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, os.fspath(tmp_path)])
    with pytest.raises(Rebuilt):
        kept.again()


def test_another_effort_budget_or_target_is_another_compile(kept: Kept) -> None:
    request = kept.request
    others = [
        replace(request, scope=replace(request.scope, effort="normal")),
        replace(request, budget=replace(request.budget, max_drop=0.02)),
        replace(request, order=replace(request.order, target="x86-64")),
        replace(request, golden_from_data=True),
    ]
    for other in others:
        with pytest.raises(Rebuilt):
            kept.again(other)


def test_a_folder_that_is_not_there_is_not_made_for_what_the_cache_holds(kept: Kept, tmp_path: Path) -> None:
    order = replace(kept.request.order, output=tmp_path / "nowhere" / "x.edge")
    with pytest.raises(FileMissingError):
        kept.again(replace(kept.request, order=order))
    assert not (tmp_path / "nowhere").exists()


def test_another_onnx_file_is_seen(colour_model: Path, colour_pictures: Path, tmp_path: Path) -> None:
    model = tmp_path / "colour.onnx"
    model.write_bytes(colour_model.read_bytes())
    request = Request(model=str(model), data=colour_pictures, order=Order("x86-64"))
    before = list(fingerprint(request, None))
    assert list(fingerprint(request, None)) == before
    model.write_bytes(model.read_bytes().replace(b"positive", b"negative"))
    assert list(fingerprint(request, None)) != before


def test_weights_in_a_file_beside_an_onnx_file_are_seen_whatever_it_is_called(
    colour_model: Path, colour_pictures: Path, tmp_path: Path
) -> None:
    import onnx

    model = onnx.load(colour_model)
    onnx.save(model, tmp_path / "colour.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    request = Request(model=str(tmp_path / "colour.onnx"), data=colour_pictures, order=Order("x86-64"))
    before = list(fingerprint(request, None))
    weights = bytearray((tmp_path / "weights.bin").read_bytes())
    weights[0] ^= 1
    (tmp_path / "weights.bin").write_bytes(weights)
    assert list(fingerprint(request, None)) != before


def test_random_weights_of_other_libraries_are_never_known_again(tmp_path: Path) -> None:
    (tmp_path / "dice.py").write_text(
        "import numpy, torch\n\ndef load():\n    net = torch.nn.Linear(2, 2)\n"
        "    net.scale = float(numpy.random.default_rng().random())\n"
        "    return torch.nn.Sequential(net, Times(net.scale)), torch.zeros(1, 2)\n\n"
        "class Times(torch.nn.Module):\n    def __init__(self, by):\n        super().__init__()\n        self.by = by\n"
        "    def forward(self, x):\n        return x * self.by\n"
    )
    first, second = (load_model(f"{tmp_path / 'dice.py'}:load") for _ in range(2))
    assert first.sha256 == second.sha256  # the file and the weights are the same
    assert first.identity != second.identity
