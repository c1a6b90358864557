"""RK3588: the toolkit's own words are read, its failures found though it returns 0, and its environment is its own."""

import platform
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from compiler import own_environment
from compiler.own_environment import check_machine, make_environment
from compiler.packing import Order
from compiler.pipeline import Request, compile_model
from compiler.placement import rknn
from compiler.placement.ledger import unexplained
from compiler.placement.rknn import compile_for_rknn, lower_opset
from compiler.placement.rknn_report import find_failure, read_layers
from edge import console
from edge.environments import RKNN, TF2ONNX, Environment
from edge.errors import BadModelError, MissingExtraError, TargetUnsupportedError
from edge.target import load_target

RK3588 = load_target("rk3588")
TABLE = r"""
D RKNN: [20:05:46.020] ID   OpType             DataType Target InputShape     OutputShape   Cycles(DDR/NPU/Total) RW(KB) FullName
D RKNN: [20:05:46.020] 0    InputOperator      INT8     CPU    \              (1,3,16,16)   0/0/0                 0      InputOperator:x
D RKNN: [20:05:46.020] 1    Conv               INT8     NPU    (1,3,16,16),(3,3,1,1),(3) (1,3,16,16) 214/1024/1024 0
D RKNN: [20:05:46.020] 2    ConvRelu           INT8     NPU    (1,3,16,16)    (1,3,16,16)   0/0/0                 4      Conv:mix
D RKNN: [20:05:46.020] 3    exSoftmax13        FLOAT16  NPU    (1,3,16,16)    (1,3,16,16)   0/0/0                 4      Softmax:share
D RKNN: [20:05:46.020] 6    Sin                INT8     CPU    (1,3,16,16)    (1,3,16,16)   0/0/0                 0      Sin:s
D RKNN: [20:05:46.020] 7    OutputOperator     INT8     CPU    (1,3,16,16)    \             0/0/0                 0      OutputOperator:y
"""  # fmt: skip # noqa: E501


def test_the_table_of_layers_becomes_a_ledger() -> None:
    ledger = read_layers(TABLE, "rk3588")
    assert [(row.operator, row.name, row.device, row.dtype) for row in ledger.rows[1:4]] == [
        ("Conv", "Conv_1", "npu", "int8"),
        ("ConvRelu", "mix", "npu", "int8"),
        ("exSoftmax13", "share", "npu", "float16"),
    ]
    assert [row.name for row in unexplained(ledger)] == ["share", "s"]
    assert ledger.npu_share == 0.5


def test_a_failure_is_found_in_what_was_printed_and_harmless_lines_are_not_one() -> None:
    assert (
        find_failure("I rknn building ...\nE RKNN: [20:05:06.977] Unkown op target: 0\nI rknn building done.\n") is None
    )
    assert find_failure("\x1b[1;31mE\x1b[0m \x1b[1;31mload_onnx: Unsupport onnx opset 20, need <= 19!\x1b[0m\n") == (
        "Unsupport onnx opset 20, need <= 19!"
    )
    traceback = "E build: Traceback (most recent call last):\n  File 'x', line 1, in y\nValueError: no such operator\n"
    assert find_failure(traceback) == "no such operator"
    assert find_failure("E export_rknn: Traceback\n") == "it gave no reason"


def test_a_model_of_a_later_opset_is_lowered(colour_model: Path) -> None:
    newer = onnx.version_converter.convert_version(onnx.load(colour_model), 20)
    newer.ir_version = 10
    lowered = onnx.load_model_from_string(lower_opset(newer.SerializeToString()))
    assert (lowered.opset_import[0].version, lowered.ir_version) == (19, 9)
    assert [node.op_type for node in lowered.graph.node] == [node.op_type for node in newer.graph.node]
    with pytest.raises(BadModelError, match="cannot be lowered to opset 19"):
        lower_opset(b"junk" * 9)


def test_the_toolkit_is_asked_only_for_its_own_target(colour_model: Path) -> None:
    with pytest.raises(TargetUnsupportedError, match="ethos-u55-128 has no NPU that rknn-toolkit2"):
        compiled(colour_model.read_bytes(), "ethos-u55-128")


def test_float_layers_are_as_planned_where_no_integers_were_asked_for() -> None:
    assert [row.name for row in unexplained(read_layers(TABLE, "rk3588", quantized=False))] == ["s"]


def test_a_python_without_wheels_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(MissingExtraError, match=r"rknn-toolkit2==2\.5\.0 has no wheels for Python 3") as caught:
        make_environment(replace(RKNN, pythons=((2, 0),)), lambda _: None)
    assert "Python 2.0 to 2.0" in caught.value.remedy


def test_another_machine_is_told_before_any_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(MissingExtraError, match="runs on Linux on x86_64; this is linux on aarch64") as caught:
        check_machine(RKNN)
    assert "compile on such a machine" in caught.value.remedy
    request = Request(model="no.py:load", data=Path("no"), order=Order(target="rk3588"))
    with pytest.raises(MissingExtraError, match="this is linux on aarch64"):
        compile_model(request, stage=console.progress, warn=lambda _: None)


def test_without_a_way_to_the_packages_pip_is_quoted_and_nothing_counts_as_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    wanted = on_this_python(pins=("edgewright-has-no-such-package==1",))
    told: list[str] = []
    with pytest.raises(MissingExtraError, match="cannot be installed: ERROR: Could not find a version"):
        make_environment(wanted, told.append)
    assert str(tmp_path) in told[0]
    assert not wanted.is_made


def test_a_base_python_that_makes_no_environment_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(own_environment, "find_python", lambda _: "/bin/false")
    with pytest.raises(MissingExtraError, match="cannot be installed: it said nothing"):
        make_environment(on_this_python(), lambda _: None)


def test_an_environment_without_the_toolkit_is_found_out(monkeypatch: pytest.MonkeyPatch, colour_model: Path) -> None:
    monkeypatch.setattr(rknn, "make_environment", lambda _wanted, _progress: Path(sys.executable))
    with pytest.raises(BadModelError, match="cannot compile this model: ModuleNotFoundError: No module named 'rknn'"):
        compiled(colour_model.read_bytes())


needs_the_toolkit = pytest.mark.skipif(not RKNN.is_made, reason=f"no {RKNN.tool} in the user's cache: {RKNN.size}")


@needs_the_toolkit
def test_the_real_toolkit_compiles_twice_to_the_same_bytes_and_simulates(colour_model: Path) -> None:
    with compiled(colour_model.read_bytes()) as first, compiled(colour_model.read_bytes()) as second:
        assert first.content[:4] == b"RKNN"
        assert first.content == second.content
        assert {row.dtype for row in first.ledger.rows} >= {"int8"}
        assert 0 < first.ledger.npu_share < 1
        for x in pictures(6):
            assert first.run(x, 3).argmax() == float_outputs(colour_model, x).argmax()
    with pytest.raises(ValueError, match="the simulator is closed"):
        first.run(pictures(1)[0], 3)


@needs_the_toolkit
def test_the_real_toolkits_refusal_is_one_sentence() -> None:
    node = onnx.helper.make_node("Wobble", ["x"], ["y"], name="w", domain="nobodys")
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, 8, 8]) for name in "xy"]
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("nobodys", 1)]
    model = onnx.helper.make_model(
        onnx.helper.make_graph([node], "g", ends[:1], ends[1:]), opset_imports=opsets, ir_version=9
    )
    with pytest.raises(BadModelError, match=r"cannot compile this model: .*Wobble"):
        compiled(model.SerializeToString())


def pictures(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [rng.random((1, 3, 8, 8), np.float32) for _ in range(count)]


def compiled(content: bytes, target: str = "rk3588") -> rknn.Simulator:
    return compile_for_rknn(content, load_target(target), calibration=pictures(12), progress=lambda _: None)


def on_this_python(pins: tuple[str, ...] = ()) -> Environment:
    return replace(TF2ONNX, pythons=(sys.version_info[:2],), machines=(platform.machine(),), pins=pins)


def float_outputs(path: Path, x: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, {"x": x})[0].ravel()
    return found
