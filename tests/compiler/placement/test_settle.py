"""The whole compile with a placement: an NPU's file in the bundle, and a refusal of what no plan asked for."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from compiler.again import fingerprint
from compiler.candidate import Candidate
from compiler.evaluate import evaluate_bundle
from compiler.export import FORMATS
from compiler.packing import Order
from compiler.pipeline import Request, compile_model
from compiler.placement.ledger import unexplained
from compiler.placement.settle import kept_float, ledger_of, refuse_fallback
from compiler.plan import Plan
from compiler.quantize.workbench import Workbench
from compiler.result import Compiled
from edge import console
from edge.bundle import open_bundle
from edge.errors import BadModelError, MissingExtraError
from edge.manifest import Variant
from edge.runtimes import open_model, open_session, run_float
from edge.target import load_target


@pytest.fixture(scope="module")
def request_for_npu(ask_for: Callable[[str], Request]) -> Request:
    """From torch, for an Ethos-U55."""
    return replace(ask_for("ethos-u55-128"), no_fallback=True)


@pytest.fixture(scope="module")
def compiled(vela: str, request_for_npu: Request) -> Compiled:
    return compile_model(request_for_npu, stage=console.progress, warn=lambda _: None)


def test_a_bundle_for_an_npu_holds_its_file_alone_and_says_who_made_it(compiled: Compiled) -> None:
    (variant,) = open_bundle(compiled.bundle).manifest.variants
    assert (variant.runtime, variant.dtype) == ("ethos-u", "int8")
    assert compiled.manifest.provenance.tools["ethos-u-vela"]
    assert compiled.manifest.latency == ()  # what Vela estimates is no latency
    assert b"ethos-u" in open_bundle(compiled.bundle).read(variant.file)


def test_every_operator_is_placed_and_the_rewrite_is_told(compiled: Compiled) -> None:
    placement = compiled.placement
    assert {row.device for row in placement.ledger.rows} == {"npu"}
    assert placement.changes == ("1 MEAN over NCHW became MEAN over NHWC",)
    assert placement.estimate is not None
    assert placement.estimate.cycles > 0
    assert placement.findings == ()  # the mean was turned
    assert "for which LiteRT stands in here" in compiled.choice.sentence


def test_golden_outputs_of_an_npu_are_those_of_its_int8_model_on_litert(compiled: Compiled) -> None:
    golden, stand_in = open_bundle(compiled.bundle).golden, compiled.main.candidate
    session = open_model(stand_in.data, stand_in.variant)
    found = np.stack([run_float(session, x) for x in golden.input])
    session.close()
    assert stand_in.runtime == "litert"
    assert np.abs(found - golden.outputs).max() <= compiled.manifest.golden.atol


def test_an_npus_bundle_cannot_run_here_and_says_where(compiled: Compiled, request_for_npu: Request) -> None:
    with pytest.raises(MissingExtraError, match="ethos-u does not work here") as caught:
        evaluate_bundle(compiled.bundle, request_for_npu.data, label_column="label", stage=console.progress)
    assert "run it on the board that its target names" in caught.value.remedy
    with pytest.raises(MissingExtraError):
        open_session(open_bundle(compiled.bundle))


def test_two_compiles_for_an_npu_give_the_same_bytes(
    tmp_path: Path, compiled: Compiled, request_for_npu: Request
) -> None:
    order = replace(request_for_npu.order, output=tmp_path / "again.edge")
    again = compile_model(replace(request_for_npu, order=order), stage=console.progress, warn=lambda _: None)
    assert again.bundle.read_bytes() == compiled.bundle.read_bytes()


def test_an_operator_that_stays_on_the_cpu_is_named_and_no_bundle_is_written(
    tmp_path: Path, vela: str, request_for_npu: Request
) -> None:
    model, order = (
        request_for_npu.model.replace(":load", ":waves"),
        replace(request_for_npu.order, output=tmp_path / "w"),
    )
    with pytest.raises(BadModelError, match=r"1 of \d operators fall back.*: SIN .* \(cpu, float32: ai-edge-quantizer"):
        compile_model(replace(request_for_npu, model=model, order=order), stage=console.progress, warn=lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_without_vela_the_pip_line_comes_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compiler.placement.vela.shutil.which", lambda *_, **__: None)
    request = Request(model="no.py:load", data=Path("no"), order=Order(target="ethos-u65-256"))
    with pytest.raises(MissingExtraError) as caught:
        compile_model(request, stage=console.progress, warn=lambda _: None)
    assert caught.value.remedy == "pip install 'edgewright[ethos-u]'"


def boxes_and_scores() -> bytes:
    """An .onnx network whose one output joins numbers in the hundreds with numbers below one."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("Mul", ["c", "k"], ["boxes"], name="enlarge"),
        helper.make_node("Sigmoid", ["c"], ["scores"], name="squash"),
        helper.make_node("Concat", ["boxes", "scores"], ["y"], name="join", axis=1),
    ]
    weights = np.random.default_rng(0).normal(size=(4, 3, 1, 1)).astype(np.float32)
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8, 8, 8])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.float32([300]), "k")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(onnx.ModelProto.SerializeToString(model))


def candidate(plan: Plan, content: bytes) -> Candidate:
    ends = FORMATS[plan.file_format].describe(content)
    variant = Variant(
        runtime=plan.runtime, dtype="int8", file="m.onnx", sha256="0" * 64, size_bytes=len(content),
        input=ends.input, outputs=ends.outputs,
    )  # fmt: skip
    return Candidate(plan.runtime, "int8", content, variant, "", plan)


@pytest.fixture(scope="module")
def split() -> Candidate:
    """It in 8 bits, with its join left in float."""
    rng = np.random.default_rng(1)
    samples = [rng.random((1, 3, 8, 8), np.float32) for _ in range(16)]
    plan = Plan("onnxruntime", "int8", passes=("split-outputs",))
    return candidate(plan, Workbench(boxes_and_scores(), "onnx", lambda: iter(samples)).make(plan).content)


def test_a_join_that_a_pass_left_in_float_is_no_fallback(split: Candidate) -> None:
    assert kept_float(split) == {"join"}
    ledger = ledger_of(split, load_target("raspberrypi4"))
    (join,) = [row for row in ledger.rows if row.name == "join"]
    assert (join.dtype, join.reason) == ("float32", "kept in float by the recipe")
    assert unexplained(ledger) == ()
    refuse_fallback(ledger)


def test_the_same_file_without_a_plan_is_refused_by_the_operators_name(split: Candidate) -> None:
    ledger = ledger_of(replace(split, plan=None), load_target("raspberrypi4"))
    with pytest.raises(BadModelError, match=r"1 of \d+ operators fall back, and --no-fallback forbids it: Concat join"):
        refuse_fallback(ledger)


def test_sixteen_bits_on_onnxruntime_are_told_as_the_float_that_they_are() -> None:
    rng = np.random.default_rng(1)
    samples = [rng.random((1, 3, 8, 8), np.float32) for _ in range(16)]
    plan = Plan("onnxruntime", "int16x8")
    wide = candidate(plan, Workbench(boxes_and_scores(), "onnx", lambda: iter(samples)).make(plan).content)
    (conv,) = [row for row in ledger_of(wide, load_target("x86-64")).rows if row.operator == "Conv"]
    assert (conv.dtype, conv.cause) == ("float32", "planned")
    assert "no 16-bit kernels" in conv.reason


def test_no_fallback_is_asked_anew_of_a_cached_compile(request_for_npu: Request) -> None:
    request = replace(request_for_npu, order=Order(target="x86-64"))
    free = replace(request, no_fallback=False)
    assert list(fingerprint(request, None)) != list(fingerprint(free, None))
