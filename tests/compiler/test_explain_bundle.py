"""`edge explain`: the layer that was harmed on purpose is named first, with its cause and what the repairs bring."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from compiler.explain.bundle import Explanation, Question, explain_bundle
from compiler.explain.words import explanation_to_json, summarize_explanation
from compiler.packing import Order
from compiler.pipeline import Request, compile_model
from compiler.search import Scope
from edge import console
from edge.errors import BadArgumentError

NETWORK = '''
import torch
from torch import nn

def load():
    """Three convolutions; one channel that the second writes is 3,000 times as large as the others, behind a clip."""
    torch.manual_seed(1)
    a, b, c = (nn.Conv2d(8, 8, 3, padding=1) for _ in range(3))
    with torch.no_grad():
        b.weight[0] *= 3000
        c.weight[:, 0] /= 3000
    net = nn.Sequential(a, nn.ReLU(), b, nn.Hardtanh(-1e6, 1e6), c, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with torch.no_grad():
        c.bias -= net(torch.randn(64, 8, 6, 6)).mean(0)  # else one class always wins
    return net.eval(), (torch.zeros(1, 8, 6, 6),)
'''


@dataclass(frozen=True)
class Harmed:
    """A network with one bad layer: as torch code and as ONNX, and labelled samples for it."""

    code: str
    onnx: str
    data: Path


@pytest.fixture(scope="module")
def harmed(tmp_path_factory: pytest.TempPathFactory) -> Harmed:
    from compiler.export import FORMATS
    from compiler.load import load_model

    folder = tmp_path_factory.mktemp("harmed")
    (folder / "net.py").write_text(NETWORK)
    model = load_model(f"{folder / 'net.py'}:load")
    (folder / "net.onnx").write_bytes(FORMATS["onnx"].export(model))
    x = np.random.default_rng(5).normal(0, 1, (160, 8, 6, 6)).astype(np.float32)
    y = np.array([int(model.run(sample[None]).argmax()) for sample in x])
    np.savez(folder / "samples.npz", x=x, y=y)
    return Harmed(f"{folder / 'net.py'}:load", str(folder / "net.onnx"), folder / "samples.npz")


def compiled(folder: Path, model: str, data: Path, target: str = "raspberrypi4") -> Path:
    order = Order(target=target, name="harmed", output=folder / "harmed-1.edge")
    request = Request(model=model, data=data, order=order, scope=Scope("quick"))
    return compile_model(request, stage=console.progress, warn=lambda _: None).bundle


@pytest.fixture(scope="module")
def onnx_bundle(tmp_path_factory: pytest.TempPathFactory, harmed: Harmed) -> Path:
    return compiled(tmp_path_factory.mktemp("onnx"), harmed.onnx, harmed.data, "jetson-orin")  # prefers ONNX


@pytest.fixture(scope="module")
def told(onnx_bundle: Path, harmed: Harmed) -> Explanation:
    return explain_bundle(
        Question(onnx_bundle, harmed.onnx, harmed.data, scope=Scope("normal")), stage=console.progress
    )


def test_the_harmed_layer_comes_first_with_its_cause_in_onnx(told: Explanation) -> None:
    assert told.runtime == "onnxruntime"
    assert told.same_data
    assert {row.name for row in told.layers[:2]} == {"Conv_1", "Conv_2"}  # one writes the channels, one reads them
    assert told.layers[0].cause == "channel imbalance"


def test_the_harmed_layer_comes_first_with_its_cause_in_tflite(harmed: Harmed, tmp_path: Path) -> None:
    bundle = compiled(tmp_path, harmed.code, harmed.data)
    told = explain_bundle(Question(bundle, harmed.code, harmed.data, scope=Scope("quick")), stage=console.progress)
    assert told.runtime == "litert"
    assert told.layers[0].op == "CONV_2D"
    assert told.layers[0].cause == "channel imbalance"


def test_every_repair_is_held_against_plain_int8_and_says_what_became_of_it(told: Explanation) -> None:
    bare, *others = told.repairs
    assert str(bare.measured.candidate.plan) == "onnxruntime int8"
    assert (bare.recovered, bare.gained_db) == (0.0, 0.0)
    exact = next(one for one in others if one.measured.candidate.dtype == "float32")
    assert exact.gained_db > 20
    assert exact.recovered == pytest.approx(bare.measured.quality.drop)
    assert any("correct-bias:" in one.measured.candidate.note for one in others)


def test_people_get_tables_and_scripts_the_same_in_json(told: Explanation) -> None:
    text = summarize_explanation(told)
    assert "Conv_1" in text
    assert "costs most: channel imbalance" in text
    found = json.loads(json.dumps(explanation_to_json(told)))
    assert found["layers"][0]["cause"] == "channel imbalance"
    assert found["tried"][0]["plan"] == "onnxruntime int8"


def test_another_model_is_refused_with_what_to_give(onnx_bundle: Path, harmed: Harmed, colour_model: Path) -> None:
    with pytest.raises(BadArgumentError, match="not made of this model"):
        explain_bundle(Question(onnx_bundle, str(colour_model), harmed.data), stage=console.progress)


def test_the_command_prints_one_object(onnx_bundle: Path, harmed: Harmed, tmp_path: Path) -> None:
    words = ["explain", str(onnx_bundle), "--model", harmed.onnx, "--data", str(harmed.data), "--effort", "quick"]
    done = subprocess.run(
        [sys.executable, "-m", "edge.cli", *words, "--json", "--cache", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["layers"][0]["cause"] == "channel imbalance"
