"""Which layer costs accuracy, and why: on a small network with one layer made bad on purpose."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from compiler.builder import Builder
from compiler.explain import LayerError, classify, rank_layers
from compiler.load import SourceModel, load_model
from compiler.observe.ranges import ranges_of
from compiler.plan import Plan
from compiler.quantize.layers import Layer, Network
from compiler.quantize.onnx_layers import write_constants
from compiler.quantize.split_outputs import layers_to_split
from edge.runtimes import open_model, run_float

SAMPLES = np.random.default_rng(5).normal(0, 1, (40, 1, 8, 6, 6)).astype(np.float32)


def save(folder: Path, nodes: list[onnx.NodeProto], constants: dict[str, NDArray[np.generic]], outputs: int) -> Path:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, outputs])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "net.onnx")
    return folder / "net.onnx"


def convolution(name: str, source: str, target: str) -> onnx.NodeProto:
    return helper.make_node("Conv", [source, f"{name}.w", f"{name}.b"], [target], pads=[1, 1, 1, 1], name=name)


def kernel(rng: np.random.Generator, name: str, out: int = 8) -> dict[str, NDArray[np.generic]]:
    return {
        f"{name}.w": rng.normal(0, 0.15, (out, 8, 3, 3)).astype(np.float32),
        f"{name}.b": rng.normal(0, 0.1, out).astype(np.float32),
    }


@pytest.fixture(scope="module")
def one_bad_layer(tmp_path_factory: pytest.TempPathFactory) -> SourceModel:
    """Three convolutions; one channel that the second writes is 3,000 times as large as the others, behind a clip."""
    rng = np.random.default_rng(4)
    constants = kernel(rng, "a") | kernel(rng, "b") | kernel(rng, "c")
    constants["b.w"][0] *= 3000  # type: ignore[index]
    constants["c.w"][:, 0] /= 3000  # type: ignore[index]
    constants |= {"low": np.array(-1e6, np.float32), "high": np.array(1e6, np.float32)}
    nodes = [
        convolution("a", "x", "p"),
        helper.make_node("Relu", ["p"], ["q"], name="ra"),
        convolution("b", "q", "r"),
        helper.make_node("Clip", ["r", "low", "high"], ["s"], name="clip"),
        convolution("c", "s", "t"),
        helper.make_node("GlobalAveragePool", ["t"], ["u"], name="pool"),
        helper.make_node("Flatten", ["u"], ["y"], name="flat"),
    ]
    return load_model(str(save(tmp_path_factory.mktemp("bad"), nodes, constants, 8)))


@pytest.fixture(scope="module")
def rows(one_bad_layer: SourceModel) -> tuple[LayerError, ...]:
    builder = Builder(one_bad_layer, lambda: iter(SAMPLES))
    integer = builder.build(Plan("onnxruntime", "int8")).data
    reference = builder.bench("onnxruntime").reference
    return rank_layers(reference, ranges=ranges_of(reference.seen, "minmax"), integer=integer)


def test_the_bad_layer_comes_first_and_its_channels_are_blamed(rows: tuple[LayerError, ...]) -> None:
    assert {row.name for row in rows[:2]} == {"Conv_1", "Conv_2"}  # one writes the channels, the other reads them
    by_name = {row.name: row for row in rows}
    assert by_name["Clip_0"].imbalance > 100
    assert by_name["Conv_0"].alone_db > rows[0].alone_db + 10
    assert by_name["Conv_1"].cause == "channel imbalance"
    assert by_name["Conv_0"].cause == "none"


def test_keeping_the_worst_layers_in_float_brings_the_output_back(
    one_bad_layer: SourceModel, rows: tuple[LayerError, ...]
) -> None:
    builder = Builder(one_bad_layer, lambda: iter(SAMPLES))
    bench = builder.bench("onnxruntime")
    all_int8 = bench.make(Plan("onnxruntime", "int8")).sqnr_db
    worst = tuple(row.name for row in rows[:4])
    mixed = builder.build(Plan("onnxruntime", "mixed", keep_float=worst))
    assert bench.reference.judge(mixed.data) > all_int8 + 10
    assert mixed.variant.dtype == "mixed"
    assert "computed in float: " in mixed.note


@pytest.mark.parametrize(
    ("figures", "cause"),
    [
        ({"sqnr_db": 45.0}, "none"),
        ({"is_float": True}, "unsupported operator"),
        ({"saturated": 0.05, "imbalance": 500.0}, "saturation"),
        ({"imbalance": 500.0}, "channel imbalance"),
        ({"fill": 0.01}, "range"),
        ({}, "weights"),
    ],
)
def test_the_surest_sign_names_the_cause(figures: dict[str, float], cause: str) -> None:
    usual = {"sqnr_db": 12.0, "is_float": False, "saturated": 0.0, "imbalance": 3.0, "fill": 0.3}
    assert classify(**(usual | figures)) == cause  # type: ignore[arg-type]


def test_boxes_and_scores_of_a_detection_head_keep_scales_of_their_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    constants = kernel(rng, "a") | kernel(rng, "boxes", 4) | kernel(rng, "scores", 4)
    constants["boxes.w"] *= 200  # type: ignore[operator]
    nodes = [
        convolution("a", "x", "p"),
        helper.make_node("Relu", ["p"], ["q"], name="ra"),
        convolution("boxes", "q", "r"),
        convolution("scores", "q", "s"),
        helper.make_node("Sigmoid", ["s"], ["t"], name="sigmoid"),
        helper.make_node("Concat", ["r", "t"], ["u"], axis=1, name="join"),
        helper.make_node("Flatten", ["u"], ["y"], name="flat"),
    ]
    source = load_model(str(save(tmp_path, nodes, constants, 8 * 36)))
    builder = Builder(source, lambda: iter(SAMPLES))
    errors = {}
    for passes in ((), ("split-outputs",)):
        candidate = builder.build(Plan("onnxruntime", "int8", passes=passes))  # type: ignore[arg-type]
        session = open_model(candidate.data, candidate.variant)
        found = np.stack([run_float(session, x).reshape(8, 36)[4:] for x in SAMPLES])
        exact = np.stack([source.run(x).reshape(8, 36)[4:] for x in SAMPLES])
        errors[passes] = float(np.abs(found - exact).max())
    assert errors[()] > 0.2  # a step of the boxes' scale is larger than any score
    assert errors[("split-outputs",)] < 0.05


def test_outputs_of_like_range_stay_joined_in_int8() -> None:
    join = Layer("join", "Concat", "wall", ("a", "b"), ("c",), reason="it does not keep the channels apart")
    move = Layer("move", "Transpose", "wall", ("c",), ("y",), reason="it does not keep the channels apart")
    network = Network((join, move), ("x",), ("y",), {})
    assert layers_to_split(network, {"a": (0, 1), "b": (0, 3)}) == ()
    assert layers_to_split(network, {"a": (0, 1), "b": (-300, 300)}) == ("join", "move")


def test_a_constant_that_is_one_number_keeps_its_shape_when_weights_change() -> None:
    nodes = [helper.make_node("Mul", ["x", "scalar"], ["y"], name="twice")]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(np.array(2.0, np.float32), "scalar")],
    )
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]).SerializeToString()
    written = write_constants(content, {"scalar": np.array(3.0, np.float32)})
    (after,) = onnx.load_model_from_string(written).graph.initializer
    assert numpy_helper.to_array(after) == 3
    assert list(after.dims) == []


def test_swish_and_squeeze_excite_stay_accurate_in_int8(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    constants = kernel(rng, "a") | kernel(rng, "b")
    for name, shape in {"down": (4, 8, 1, 1), "up": (8, 4, 1, 1)}.items():
        constants[f"{name}.w"] = rng.normal(0, 0.5, shape).astype(np.float32)
        constants[f"{name}.b"] = rng.normal(0, 0.2, shape[0]).astype(np.float32)
    nodes = [
        convolution("a", "x", "p"),
        helper.make_node("Sigmoid", ["p"], ["ps"], name="gate"),
        helper.make_node("Mul", ["p", "ps"], ["q"], name="swish"),
        helper.make_node("GlobalAveragePool", ["q"], ["g"], name="squeeze"),
        helper.make_node("Conv", ["g", "down.w", "down.b"], ["d"], name="down"),
        helper.make_node("Relu", ["d"], ["dr"], name="rd"),
        helper.make_node("Conv", ["dr", "up.w", "up.b"], ["e"], name="up"),
        helper.make_node("HardSigmoid", ["e"], ["es"], name="excite"),
        helper.make_node("Mul", ["q", "es"], ["r"], name="weigh"),
        convolution("b", "r", "t"),
        helper.make_node("HardSwish", ["t"], ["h"], name="hard"),
        helper.make_node("GlobalAveragePool", ["h"], ["u"], name="pool"),
        helper.make_node("Flatten", ["u"], ["y"], name="flat"),
    ]
    source = load_model(str(save(tmp_path, nodes, constants, 8)))
    bench = Builder(source, lambda: iter(SAMPLES)).bench("onnxruntime")
    made = bench.make(Plan("onnxruntime", "int8", ranges="mse", passes=("equalize", "correct-bias")))
    print(made.sqnr_db, made.note)
    assert made.sqnr_db >= 30
