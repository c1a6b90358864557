"""A .tflite that its maker quantized goes into the bundle byte for byte, with all checks, and the report says so."""

import json
from pathlib import Path

import numpy as np
import pytest

from compiler.builder import Builder
from compiler.explain.bundle import Question, explain_bundle
from compiler.load import load_model
from compiler.packing import Order
from compiler.pipeline import Request, compile_model
from compiler.plan import Plan
from compiler.result import Compiled
from compiler.summary import summarize
from edge import console
from edge.bundle import open_bundle
from edge.errors import BadArgumentError, BadModelError

CODE = """
import torch
from torch import nn

def load():
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    with torch.no_grad():
        net[-1].bias -= net(torch.randn(64, 3, 6, 6)).mean(0)  # else one class always wins
    return net.eval(), (torch.zeros(1, 3, 6, 6),)
"""
UNSHAPED = Path(__file__).parents[2] / ".." / "shared" / "data" / "models" / "ultraface_RFB_320_nopost.tflite"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    folder = tmp_path_factory.mktemp("packed")
    (folder / "net.py").write_text(CODE)
    source = load_model(f"{folder / 'net.py'}:load")
    x = np.random.default_rng(5).normal(0, 1, (160, 3, 6, 6)).astype(np.float32)
    made = Builder(source, lambda: iter(x[:40, None])).build(Plan("litert", "int8"))
    (folder / "int8.tflite").write_bytes(made.data)
    np.savez(folder / "samples.npz", x=x, y=np.array([int(source.run(one[None]).argmax()) for one in x]))
    order = Order(target="raspberrypi4", output=folder / "int8-1.edge")
    request = Request(model=str(folder / "int8.tflite"), data=folder / "samples.npz", order=order)
    return compile_model(request, stage=console.progress, warn=lambda _: None)


def test_it_is_packed_byte_for_byte_and_checked_like_any_other(packed: Compiled) -> None:
    bundle = open_bundle(packed.bundle)
    (variant,) = bundle.manifest.variants
    assert bundle.read(variant.file) == (packed.bundle.parent / "int8.tflite").read_bytes()
    assert (variant.dtype, variant.input.dtype) == ("int8", "int8")
    assert packed.verified
    assert all(one.holds for one in packed.verified)


def test_every_text_says_that_its_maker_quantized_it(packed: Compiled) -> None:
    assert "quantized by its maker" in summarize(packed)
    assert "float model" not in summarize(packed).split("chosen:")[0]
    for file in ("report.html", "card.md"):
        assert "The model was quantized by its maker and is packed as it is" in (packed.report / file).read_text(
            "utf-8"
        )
    assert json.loads((packed.report / "report.json").read_text("utf-8"))["recipe"]["plans"] == []


def test_there_is_nothing_to_explain_in_it(packed: Compiled) -> None:
    folder = packed.bundle.parent
    question = Question(packed.bundle, str(folder / "int8.tflite"), folder / "samples.npz")
    with pytest.raises(BadArgumentError, match="quantized by its maker"):
        explain_bundle(question, stage=console.progress)


def test_an_output_whose_shape_changes_while_it_runs_is_refused_by_name() -> None:
    if not UNSHAPED.is_file():
        pytest.skip(f"needs {UNSHAPED.name}, which users of the project do not have")
    with pytest.raises(BadModelError, match=r"the output Identity of .* is declared as \[1, 1, 4\]"):
        load_model(str(UNSHAPED))
