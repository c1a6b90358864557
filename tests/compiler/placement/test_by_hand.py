"""What no converter of ours writes, in small files made by hand: islands of float, unequal scales, int16, kept axes."""

from types import ModuleType

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from compiler.load.tflite_file import open_interpreter
from compiler.placement.from_tflite import read_tflite
from compiler.placement.layout import channels_last
from compiler.placement.ledger import unexplained
from compiler.placement.lint import lint_tflite
from compiler.placement.tflite_graph import read_graph
from compiler.placement.vela import compile_for_npu
from edge.target import load_target

PI4, U55 = load_target("raspberrypi4"), load_target("ethos-u55-128")
SHAPE = (1, 4, 4, 8)


@pytest.fixture
def island(by_hand: ModuleType) -> bytes:
    """int8 -> RELU -> [DEQUANTIZE -> SIN -> QUANTIZE] -> RELU -> int8."""
    t, op = by_hand.T, by_hand.Op
    tensors = [t(name, SHAPE, scale=0.02) for name in ("x", "a", "d", "y")]
    tensors += [t(name, SHAPE, "float32") for name in ("b", "c")]
    steps = ("RELU", "x", "a"), ("DEQUANTIZE", "a", "b"), ("SIN", "b", "c"), ("QUANTIZE", "c", "d"), ("RELU", "d", "y")
    ops = [op(kind, (before,), (after,)) for kind, before, after in steps]
    content: bytes = by_hand.make_tflite(tensors, ops, inputs=("x",), outputs=("y",))
    return content


def test_an_island_of_float_is_found_with_both_of_its_borders(island: bytes) -> None:
    ledger = read_tflite(island, PI4)
    assert [(row.operator, row.dtype, row.cause) for row in ledger.rows] == [
        ("RELU", "int8", "wanted"),
        ("DEQUANTIZE", "int8 to float32", "conversion"),
        ("SIN", "float32", "refused"),
        ("QUANTIZE", "float32 to int8", "conversion"),
        ("RELU", "int8", "wanted"),
    ]
    assert ledger.rows[1].reason == ledger.rows[3].reason == "border to what computes in float: SIN"
    assert ledger.rows[2].reason == "ai-edge-quantizer has no static int8 for SIN"
    assert [row.name for row in unexplained(ledger)] == ["c"]
    assert ledger.float_share == pytest.approx(1 / 3)


@pytest.mark.parametrize("kept", ["SIN", "c"])
def test_a_recipe_that_keeps_it_in_float_explains_it_by_kind_or_by_name(island: bytes, kept: str) -> None:
    ledger = read_tflite(island, PI4, kept_float={kept})
    assert unexplained(ledger) == ()
    assert ledger.rows[2].reason == "kept in float by the recipe"


def test_vela_leaves_the_island_to_the_cpu_and_takes_both_sides(vela: str, island: bytes) -> None:
    ledger = compile_for_npu(island, U55).ledger
    devices = {row.operator: row.device for row in ledger.rows}
    assert (devices["RELU"], devices["SIN"]) == ("npu", "cpu")
    assert [row.name for row in unexplained(ledger)] == ["c"]


def test_reading_the_shape_of_a_float_tensor_is_no_computing_in_float(by_hand: ModuleType) -> None:
    t, op = by_hand.T, by_hand.Op
    tensors = [t("x", SHAPE, "float32"), t("q", SHAPE, scale=0.02), t("s", (4,), "int32")]
    ops = [op("QUANTIZE", ("x",), ("q",)), op("SHAPE", ("x",), ("s",)), op("RELU", ("q",), ("q",))]
    ledger = read_tflite(by_hand.make_tflite(tensors, ops, inputs=("x",), outputs=("q", "s")), PI4)
    assert [row.dtype for row in ledger.rows] == ["float32 to int8", "int32", "int8"]
    assert ledger.rows[0].reason.startswith("the input is float")
    assert unexplained(ledger) == ()


def mean(by_hand: ModuleType, *, keep: bool) -> bytes:
    """[1, 4, 4, 8] -> TRANSPOSE -> [1, 8, 4, 4] -> MEAN(2, 3) -> [1, 8] or [1, 8, 1, 1], on a scale of its own."""
    t, op = by_hand.T, by_hand.Op
    options = schema.ReducerOptionsT()
    options.keepDims = keep
    tensors = [
        t("x", SHAPE, scale=0.02),
        t("order", (4,), "int32", values=np.array([0, 3, 1, 2], np.int32)),
        t("turned", (1, 8, 4, 4), scale=0.02),
        t("axes", (2,), "int32", values=np.array([-2, -1], np.int32)),
        t("y", (1, 8, 1, 1) if keep else (1, 8), scale=0.011),
    ]
    ops = [op("TRANSPOSE", ("x", "order"), ("turned",)), op("MEAN", ("turned", "axes"), ("y",), options)]
    content: bytes = by_hand.make_tflite(tensors, ops, inputs=("x",), outputs=("y",))
    return content


@pytest.mark.parametrize("keep", [False, True])
def test_a_turned_mean_keeps_its_shape_and_its_numbers(by_hand: ModuleType, keep: bool) -> None:
    before = mean(by_hand, keep=keep)
    after = channels_last(before, move_input=False).content
    assert [op.kind for op in read_graph(after).operators] == ["MEAN", *(["RESHAPE"] if keep else [])]
    x = np.random.default_rng(0).integers(-128, 128, SHAPE).astype(np.int8)
    assert np.array_equal(run(before, x), run(after, x))


def test_a_mean_with_kept_axes_runs_on_the_npu_once_turned(vela: str, by_hand: ModuleType) -> None:
    before = mean(by_hand, keep=True)
    (left,) = unexplained(compile_for_npu(before, U55).ledger)
    assert left.operator == "MEAN"
    assert compile_for_npu(channels_last(before, move_input=False).content, U55).ledger.npu_share == 1


@pytest.mark.parametrize(("scale", "codes"), [(0.5, {"CONCAT_RANGES"}), (0.05, set())])
def test_scores_joined_with_boxes_are_found(by_hand: ModuleType, scale: float, codes: set[str]) -> None:
    t, op = by_hand.T, by_hand.Op
    options = schema.ConcatenationOptionsT()
    options.axis = 3
    tensors = [t("x", SHAPE, scale=0.01), t("boxes", SHAPE, scale=scale), t("score", SHAPE, scale=scale)]
    tensors += [t("y", (1, 4, 4, 16), scale=scale)]
    ops = [op("QUANTIZE", ("x",), ("score",)), op("RELU", ("x",), ("boxes",))]
    ops += [op("CONCATENATION", ("boxes", "score"), ("y",), options)]
    content = by_hand.make_tflite(tensors, ops, inputs=("x",), outputs=("y",))
    assert {one.code for one in lint_tflite(content, PI4, "litert")} == codes


def test_a_gru_with_int16_activations_is_a_trap_on_tflite_runtime_only(by_hand: ModuleType) -> None:
    t, op = by_hand.T, by_hand.Op
    tensors = [t(name, (1, 8), "int16", scale=0.001) for name in ("x", "gate", "state", "y")]
    ops = [op("LOGISTIC", ("x",), ("gate",)), op("TANH", ("x",), ("state",)), op("MUL", ("gate", "state"), ("y",))]
    content = by_hand.make_tflite(tensors, ops, inputs=("x",), outputs=("y",))
    (found,) = lint_tflite(content, PI4, "tflite-runtime")
    assert (found.code, found.operators) == ("INT16_RECURRENT", ("gate", "state"))
    assert lint_tflite(content, PI4, "litert") == ()


def run(content: bytes, x: np.ndarray) -> np.ndarray:
    interpreter = open_interpreter(content, "by hand")
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    found: np.ndarray = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return found
