"""Ethos-U: real Vela runs; the file that comes out is the evidence for what runs where."""

import getpass
import socket
from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from compiler.load.tflite_file import open_interpreter
from compiler.placement.layout import channels_last
from compiler.placement.ledger import Ledger, Row, unexplained
from compiler.placement.place import Placed, check_runs, npu_variant, place, stand_in
from compiler.placement.tflite_graph import read_graph
from compiler.placement.vela import compile_for_npu, find_vela
from compiler.placement.vela_report import Estimate, Refusal, read_refusals, read_summary, reason_for
from edge.errors import BadModelError, MissingExtraError, TargetUnsupportedError
from edge.runtimes import open_model, run_float
from edge.target import load_target

TARGETS = ("ethos-u55-128", "ethos-u65-256", "ethos-u85-256")
TINY = ("kws_dscnn_int8", "vww_mobilenet_int8", "ic01_resnet8_int8", "ad01_int8")
Read = Callable[[str], bytes]


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("model", TINY)
def test_every_operator_of_the_mlperf_tiny_models_runs_on_the_npu(
    vela: str, shared_model: Read, model: str, name: str
) -> None:
    target = load_target(name)
    placed = place(shared_model(f"mlperf_tiny/{model}"), target, move_input=True)
    assert {row.device for row in placed.ledger.rows} == {"npu"}
    assert unexplained(placed.ledger) == ()
    assert placed.changes == ()
    assert placed.estimate.cycles >= placed.estimate.npu_cycles > 0
    assert placed.estimate.ms == pytest.approx(placed.estimate.cycles / placed.estimate.clock_hz * 1e3, rel=1e-3)
    assert "not measured" in placed.estimate.source


@pytest.mark.parametrize("name", TARGETS)
def test_a_network_that_we_quantized_runs_whole_on_the_npu_with_its_mean(
    vela: str, shared_model: Read, in_int8: Callable[..., bytes], name: str
) -> None:
    content = in_int8(shared_model("mlperf_tiny/ic01_resnet8_fp32"), "litert", (1, 32, 32, 3))
    ledger = place(content, load_target(name), move_input=True).ledger
    assert "MEAN" in {row.operator for row in ledger.rows}
    assert (ledger.npu_share, ledger.npu_mac_share) == (1, 1)


def test_a_full_size_mobilenet_fits_beside_a_u65_and_a_u85(vela: str, shared_model: Read) -> None:
    content = shared_model("models/tf2_mobilenet_v2_1.0_224_ptq")
    for name in TARGETS[1:]:
        assert place(content, load_target(name), move_input=False).ledger.npu_share == 1


@pytest.mark.parametrize("name", TARGETS)
def test_a_torch_mobilenet_runs_whole_on_the_npu_once_its_mean_is_turned(
    vela: str, mobilenet: bytes, name: str
) -> None:
    target = load_target(name)
    before = compile_for_npu(mobilenet, target)
    (left,) = unexplained(before.ledger)
    assert (left.operator, left.device, left.dtype) == ("MEAN", "cpu", "int8")
    assert "Reduction over depth is only supported if any of h,w,c == 1" in left.reason
    placed = place(mobilenet, target, move_input=True)
    assert placed.ledger.npu_share == 1
    if name == "ethos-u85-256":
        assert placed.estimate.cycles < before.estimate.cycles / 10


def test_the_rewritten_network_computes_the_same_integers(mobilenet: bytes) -> None:
    after = channels_last(mobilenet, move_input=True)
    assert after.changes == ("1 MEAN over NCHW became MEAN over NHWC", "the input comes as NHWC, without a TRANSPOSE")
    assert "TRANSPOSE" not in {op.kind for op in read_graph(after.content).operators}
    rng = np.random.default_rng(1)
    for _ in range(3):
        x = rng.integers(-128, 128, (1, 3, 96, 96)).astype(np.int8)
        turned = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
        assert np.array_equal(run(mobilenet, x), run(after.content, turned))


def test_the_input_stays_as_it_is_unless_it_may_move(mobilenet: bytes) -> None:
    kept = channels_last(mobilenet, move_input=False)
    assert not kept.input_moved
    assert read_graph(kept.content).inputs == read_graph(mobilenet).inputs
    again = channels_last(kept.content, move_input=False)
    assert (again.content, again.changes) == (kept.content, ())


def test_input_and_output_of_the_npus_file_are_those_of_the_reference(vela: str, mobilenet: bytes) -> None:
    placed = place(mobilenet, load_target("ethos-u55-128"), move_input=False)
    before, after = read_graph(placed.reference), read_graph(placed.content)
    for mine, theirs in ((before.inputs, after.inputs), (before.outputs, after.outputs)):
        assert [(one.name, one.shape, one.dtype, one.scales) for one in mine] == [
            (one.name, one.shape, one.dtype, one.scales) for one in theirs
        ]
    assert {op.kind for op in after.operators} == {"ethos-u"}


def test_a_manifest_can_say_of_the_npus_file_what_the_reference_is(vela: str, mobilenet: bytes) -> None:
    target = load_target("ethos-u65-256")
    placed = place(mobilenet, target, move_input=True)
    variant = npu_variant(placed)
    assert (variant.runtime, variant.dtype, variant.size_bytes) == ("ethos-u", "int8", len(placed.content))
    shape = (1, 96, 96, 3) if placed.input_moved else (1, 3, 96, 96)
    assert variant.input.shape == shape
    assert stand_in(target).runtimes == ("litert",)
    session = open_model(placed.reference, msgspec.structs.replace(variant, runtime="litert"))
    assert np.isfinite(run_float(session, np.zeros(shape, np.float32))).all()
    with pytest.raises(MissingExtraError, match="ethos-u does not work here"):
        open_model(placed.content, variant)


def test_vela_gives_the_same_bytes_twice_and_no_trace_of_this_machine(vela: str, mobilenet: bytes) -> None:
    target = load_target("ethos-u55-128")
    first, second = compile_for_npu(mobilenet, target), compile_for_npu(mobilenet, target)
    assert first == second
    traces = ["/tmp/", "/home/", "model.tflite", f"/{getpass.getuser()}/", f"/{socket.gethostname()}/"]
    assert [word for word in traces if word.encode() in first.content] == []


def test_a_float_model_has_no_place_on_the_npu(vela: str, shared_model: Read) -> None:
    with pytest.raises(BadModelError, match="no operator of this model runs on ethos-u55-128: the variant") as caught:
        place(shared_model("mlperf_tiny/ic01_resnet8_fp32"), load_target("ethos-u55-128"), move_input=True)
    assert "int8" in caught.value.remedy


def test_a_model_that_does_not_fit_is_refused() -> None:
    estimate = Estimate(1, 1, 1e9, 1e-6, 1, sram_kib=300.0, dram_kib=1749.0, flash_kib=9e6, source="")
    ledger = Ledger("ethos-u55-128", (Row(0, "CONV_2D", "c", "npu", "int8", "wanted", "taken", 1),))
    placed = Placed(b"", b"", ledger, estimate, (), input_moved=False, tool="")
    with pytest.raises(BadModelError, match="needs 2049 KiB beside the flash, ethos-u55-128 leaves 2 MiB"):
        check_runs(placed, load_target("ethos-u55-128"))
    check_runs(placed, load_target("ethos-u65-256"))


def test_vela_is_asked_only_for_its_own_targets(mobilenet: bytes) -> None:
    with pytest.raises(TargetUnsupportedError, match="raspberrypi4 has no Ethos-U"):
        compile_for_npu(mobilenet, load_target("raspberrypi4"))


def test_without_vela_the_pip_line_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_args, **_more: None)
    with pytest.raises(MissingExtraError) as caught:
        find_vela()
    assert caught.value.remedy == "pip install 'edgewright[ethos-u]'"


def test_a_program_that_is_not_velas_is_found_out(monkeypatch: pytest.MonkeyPatch, mobilenet: bytes) -> None:
    monkeypatch.setattr("compiler.placement.vela.find_vela", lambda: "/bin/true")
    with pytest.raises(BadModelError, match="Vela made no model: it printed nothing"):
        compile_for_npu(mobilenet, load_target("ethos-u55-128"))


def test_a_summary_without_a_column_is_an_error() -> None:
    with pytest.raises(BadModelError, match="summary cannot be read: KeyError: 'cycles_total'"):
        read_summary("network,core_clock\nmodel,5e8\n", tool="ethos-u-vela 9")


def test_reasons_are_read_with_their_rule_and_found_by_output() -> None:
    said = """Warning (supported operators) operator: RELU, ofm: 'a;b'
Reason: Operation has tensor with unsupported DataType Float32 (x)
Feature-map dataTypes must be one of {"INT8"}
Warning (supported operators) operator: SHAPE, ofm: 's'
Reason: Unsupported opType

Network summary for model
"""
    found = read_refusals(said)
    assert found[1] == Refusal("SHAPE", "s", "Unsupported opType")
    assert reason_for(found, "CONV_2D", "a;b") == found[0].reason
    assert found[0].reason.endswith('(x); Feature-map dataTypes must be one of {"INT8"}')
    assert reason_for(found, "CONV_2D", "other") is None


def run(content: bytes, x: np.ndarray) -> np.ndarray:
    interpreter = open_interpreter(content, "model")
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    found: np.ndarray = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return found
