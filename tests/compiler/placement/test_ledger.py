"""Every operator's type and reason: what was planned, what only converts, and what nobody asked for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from compiler.placement.from_onnx import read_onnx
from compiler.placement.from_tflite import read_tflite
from compiler.placement.ledger import Ledger, Row, explain, on_npu, unexplained
from edge.errors import BadModelError
from edge.target import load_target

PI4 = load_target("raspberrypi4")
Read = Callable[[str], bytes]


def row(index: int, **changes: object) -> Row:
    facts: dict[str, object] = {
        "index": index, "operator": "CONV_2D", "name": f"c{index}", "device": "cpu", "dtype": "int8",
        "cause": "wanted", "reason": "computes in integers", "macs": 100,
    }  # fmt: skip
    return Row(**(facts | changes))  # type: ignore[arg-type]


def test_an_npu_takes_what_its_compiler_did_not_leave_and_the_rest_keeps_a_reason() -> None:
    rows = (row(0), row(1, operator="MEAN", macs=0), row(2), row(3, dtype="float32", cause="planned", reason="recipe"))
    placed = on_npu(Ledger("ethos-u55-128", rows), {1: "too deep", 2: None, 3: "is float"}, tool="Vela")
    assert [one.device for one in placed.rows] == ["npu", "cpu", "cpu", "cpu"]
    assert [one.cause for one in placed.rows] == ["wanted", "refused", "unknown", "planned"]
    assert placed.rows[1].reason == "Vela: too deep"
    assert (placed.npu_share, placed.npu_mac_share, placed.float_share) == (0.25, pytest.approx(1 / 3), 0.25)
    assert [one.index for one in unexplained(placed)] == [1, 2]
    assert explain(unexplained(placed)).startswith("1 MEAN c1: cpu, int8: Vela: too deep\n2 CONV_2D")


def test_a_share_of_multiplications_is_not_guessed() -> None:
    assert Ledger("x", (row(0, device="npu"), row(1, macs=None))).npu_mac_share is None
    assert Ledger("x", (row(0, macs=0),)).npu_mac_share is None
    assert Ledger("x", ()).npu_share == 0


def test_a_full_integer_model_has_nothing_to_explain(shared_model: Read) -> None:
    ledger = read_tflite(shared_model("mlperf_tiny/kws_dscnn_int8"), PI4)
    assert {(one.dtype, one.cause, one.device) for one in ledger.rows} == {("int8", "wanted", "cpu")}
    assert sum(one.macs or 0 for one in ledger.rows) == 2_656_768
    assert ledger.float_share == 0
    assert unexplained(ledger) == ()


def test_multiplications_are_those_of_the_literature(shared_model: Read) -> None:
    ledger = read_tflite(shared_model("models/tf2_mobilenet_v2_1.0_224_ptq"), PI4)
    assert sum(one.macs or 0 for one in ledger.rows) == pytest.approx(300e6, rel=0.01)  # the paper's table 4
    assert ledger.rows[0].dtype == "uint8 to int8"
    assert ledger.rows[0].reason == "changes the scale between two operators"


def test_a_float_model_is_float_by_plan_and_small_weights_are_told_of(shared_model: Read) -> None:
    ledger = read_tflite(shared_model("mlperf_tiny/kws_dscnn_fp32"), PI4)  # its convolutions have 8-bit weights
    assert ledger.float_share == 1
    assert unexplained(ledger) == ()
    assert ledger.rows[0].reason == "the variant keeps its weights in 8 bits and computes in float"
    assert ledger.rows[-1].reason == "the variant is float"


@pytest.mark.parametrize("content", [b"", b"junk" * 50, b"\x18\0\0\0TFL3" + b"\xff" * 50])
def test_what_is_no_model_is_a_known_error(content: bytes) -> None:
    for read in (read_tflite, read_onnx):
        if read is read_tflite or content:  # an empty file is an empty ONNX model: protobuf says so
            with pytest.raises(BadModelError):
                read(content, PI4)


@pytest.fixture(scope="module")
def quantized(colour_model: Path, in_int8: Callable[..., bytes]) -> bytes:
    """The colour network in 8 bits."""
    return in_int8(colour_model.read_bytes(), "onnxruntime", (1, 3, 8, 8))


def test_a_quantized_onnx_model_computes_in_integers_between_its_two_conversions(quantized: bytes) -> None:
    ledger = read_onnx(quantized, PI4)
    computing = [one for one in ledger.rows if "Linear" not in one.operator]
    assert {(one.dtype, one.cause) for one in computing} == {("int8", "wanted")}
    ends = [(one.reason, one.dtype) for one in ledger.rows if one.cause == "conversion"]
    assert ends == [("the input is float", "float32 to int8"), ("the output is float", "int8 to float32")]
    assert next(one.macs for one in ledger.rows if one.operator == "Conv") == 8 * 8 * 3 * 3
    assert unexplained(ledger) == ()


def test_a_node_that_fell_back_to_float_is_found_unless_the_recipe_kept_it(quantized: bytes) -> None:
    import onnx

    model = onnx.load_model_from_string(quantized)
    relu = next(node for node in model.graph.node if node.op_type in {"Softmax", "GlobalAveragePool"})
    wrapped = onnx.helper.make_node("Sin", [relu.input[0]], ["sine"], name="wave")
    relu.input[0] = "sine"
    model.graph.node.insert(list(model.graph.node).index(relu), wrapped)
    content = model.SerializeToString()
    (found,) = [one for one in unexplained(read_onnx(content, PI4)) if one.operator == "Sin"]
    assert (found.name, found.dtype, found.reason) == ("wave", "float32", "onnxruntime's quantizer has no int8 for Sin")
    kept = read_onnx(content, PI4, kept_float={"wave", relu.op_type})
    assert unexplained(kept) == ()
    assert any(one.reason == "border to what computes in float: Sin" for one in kept.rows)
