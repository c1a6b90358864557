"""A float .tflite becomes ONNX where tf2onnx has its environment; elsewhere the reason is said, or its own words."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from compiler.builder import Builder
from compiler.effort import plans, runtimes_for
from compiler.export import FORMATS
from compiler.export import tflite_to_onnx as converter
from compiler.export.tflite_to_onnx import tflite_to_onnx, with_onnx
from compiler.load import load_model
from compiler.load.tflite_file import load_tflite
from compiler.packing import Order
from compiler.pipeline import Request, compile_model
from compiler.plan import Plan
from compiler.search import Scope
from compiler.summary import summarize
from edge import console
from edge.environments import TF2ONNX
from edge.errors import BadModelError
from edge.target import load_target

X86 = load_target("x86-64")
needs_tf2onnx = pytest.mark.skipif(not TF2ONNX.is_made, reason=f"no {TF2ONNX.tool} in the user's cache: {TF2ONNX.size}")


@pytest.fixture(scope="module")
def tflite(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A convolution and a dense layer, converted from torch."""
    import torch

    from compiler.export.to_tflite import convert

    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * 36, 3)]
    return convert(torch.nn.Sequential(*layers).eval(), (torch.zeros(1, 3, 8, 8),))


def test_without_being_asked_a_tflite_stays_one_and_the_reason_names_the_option(tflite: bytes) -> None:
    source = load_tflite(tflite, name="t", sha256="0" * 64)
    assert runtimes_for(source.kind, X86) == ("litert",)
    with pytest.raises(BadModelError, match="does not become ONNX by itself") as caught:
        FORMATS["onnx"].export(source)
    assert "--onnx-too" in caught.value.remedy
    assert "--onnx-too" in converter.NOT_ASKED


def test_the_summary_says_why_there_is_no_onnx(tflite: bytes, tmp_path: Path) -> None:
    (tmp_path / "net.tflite").write_bytes(tflite)
    rng = np.random.default_rng(1)
    np.savez(tmp_path / "d.npz", x=rng.standard_normal((60, 3, 8, 8)).astype(np.float32), y=np.arange(60) % 3)
    order = Order(target="x86-64", output=tmp_path / "n.edge")
    request = Request(
        model=str(tmp_path / "net.tflite"), data=tmp_path / "d.npz", order=order, scope=Scope(effort="quick")
    )
    told = summarize(compile_model(request, stage=console.progress, warn=lambda _: None))
    assert "float32 on onnxruntime was not built: ONNX of a .tflite needs tf2onnx==1.17.0" in " ".join(told.split())


def test_a_source_with_both_forms_reaches_both_runtimes(tflite: bytes) -> None:
    both = replace(load_tflite(tflite, name="t", sha256="0" * 64), kind="tflite-and-onnx", onnx=b"the onnx")
    assert runtimes_for(both.kind, X86) == ("litert", "onnxruntime")
    assert {plan.runtime for plan in plans(both.kind, X86, "quick")} == {"litert", "onnxruntime"}
    assert (FORMATS["onnx"].export(both), FORMATS["tflite"].export(both)) == (b"the onnx", tflite)


def test_other_sources_are_left_as_they_are(colour_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(converter, "tflite_to_onnx", lambda *_: pytest.fail("converted"))
    source = load_model(str(colour_model))
    assert with_onnx(source, print) is source
    integers = replace(source, kind="tflite", quantized=True)
    assert with_onnx(integers, print) is integers


def test_what_tf2onnx_says_is_quoted(tflite: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(converter, "make_environment", lambda *_: Path(sys.executable))
    with pytest.raises(
        BadModelError, match=r"tf2onnx==1\.17\.0 cannot convert this model: .*No module named"
    ) as caught:
        tflite_to_onnx(tflite, print)
    assert caught.value.remedy == "compile it without --onnx-too"


@needs_tf2onnx
def test_the_real_tf2onnx_makes_a_file_that_computes_the_same(tflite: bytes) -> None:
    rng = np.random.default_rng(0)
    samples = [rng.standard_normal((1, 3, 8, 8)).astype(np.float32) for _ in range(4)]
    source = with_onnx(load_tflite(tflite, name="t", sha256="0" * 64), print)
    made = Builder(source, lambda: iter(samples)).build(Plan("onnxruntime"))  # holds it against the source
    assert made.variant.input.shape == (1, 3, 8, 8)
