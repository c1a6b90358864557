"""ONNX -> torch -> TFLite: the onnx package's node tests, meanings that changed between opsets, and refusals."""

import importlib.util
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from compiler.export.to_tflite import convert, export_tflite
from compiler.importer import claimed, import_onnx, unsupported
from compiler.load import load_model
from edge.errors import BadModelError

ROOT = Path(__file__).parents[2]
SHARED = ROOT / ".." / "shared" / "data" / "models"
DEMANDED = {
    "Conv", "ConvTranspose", "Gemm", "MatMul", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Resize",
    "Pad", "Slice", "Concat", "Split", "Gather", "BatchNormalization", "InstanceNormalization", "GroupNormalization",
    "LayerNormalization", "HardSwish", "HardSigmoid", "Softmax", "LogSoftmax", "Clip", "PRelu", "Where", "Expand",
    "DepthToSpace", "TopK", "CumSum", "Einsum", "GRU", "LSTM", "RNN", "ReduceSum", "ReduceMean", "ReduceMax",
    "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare",
}  # fmt: skip
THROUGH_LITERT = (
    "attention_3d_local_window_expanded",  # keys that heads share: broadcast, then transposed
    "basic_conv_with_padding",
    "convtranspose_pads",
    "convtranspose_3d",
    "gemm_all_attributes",
    "averagepool_2d_ceil",
    "maxpool_2d_same_upper",
    "resize_downsample_scales_linear_half_pixel_symmetric",
    "resize_downsample_sizes_nearest",
    "slice_neg_steps",
    "split_variable_parts_2d_opset18",
    "gather_elements_negative_indices",
    "layer_normalization_3d_axis1_epsilon",
    "hardswish",
    "lstm_with_peepholes",
    "gru_with_initial_bias",
    "reduce_log_sum_desc_axes",
)
F, Array = TensorProto.FLOAT, NDArray[Any]


@pytest.fixture(scope="module")
def node_tests() -> ModuleType:
    """The module that holds the cases; tests/ is no package."""
    spec = importlib.util.spec_from_file_location("onnx_cases", ROOT / "tests" / "bench" / "onnx_cases.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["onnx_cases"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def cases(node_tests: ModuleType) -> dict[str, Any]:
    return {case.name: case for case in node_tests.collect_cases()[0]}


def model(
    nodes: Sequence[onnx.NodeProto], shape: Sequence[int], *, opset: int, weights: dict[str, Array] | None = None
) -> bytes:
    """One input x and one output y, both float."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", F, shape)],
        [helper.make_tensor_value_info("y", F, None)],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    content: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]).SerializeToString()
    return content


def compute(content: bytes, x: Array) -> Array:
    with torch.no_grad():
        y: Array = import_onnx(content)(torch.from_numpy(x)).numpy()
    return y


def litert(content: bytes, inputs: Sequence[Array]) -> list[Array]:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_content=content, num_threads=1).get_signature_runner()
    details = runner.get_input_details()
    outputs = runner(**{f"args_{i}": x.astype(details[f"args_{i}"]["dtype"]) for i, x in enumerate(inputs)})
    return [outputs[f"output_{i}"] for i in range(len(outputs))]


def test_the_operators_that_edge_networks_use_are_claimed() -> None:
    assert {*claimed()} >= DEMANDED
    assert len(claimed()) >= 60


def test_every_node_test_that_is_not_refused_agrees(node_tests: ModuleType, cases: dict[str, Any]) -> None:
    agree, refused, differ = 0, Counter[str](), dict[str, float]()
    for case in cases.values():
        try:
            network = import_onnx(case.content)
        except BadModelError as exc:
            refused[exc.problem] += 1
            continue
        with torch.no_grad():
            result = network(*(torch.from_numpy(np.array(item)) for item in case.inputs))
        outputs = result if isinstance(result, tuple) else (result,)
        error = node_tests.largest_error(tuple(item.numpy() for item in outputs), case.expected)
        if error <= node_tests.TOLERANCE:
            agree += 1
        else:
            differ[case.name] = error
    print(f"\n{agree} agree; refused: {dict(refused)}")
    assert differ == {}
    assert agree >= 800
    assert refused.total() <= 70


@pytest.mark.parametrize("name", THROUGH_LITERT)
def test_a_node_test_agrees_on_litert(name: str, node_tests: ModuleType, cases: dict[str, Any]) -> None:
    pytest.importorskip("litert_torch")
    case = cases[name]
    content = convert(import_onnx(case.content), tuple(torch.from_numpy(np.array(item)) for item in case.inputs))
    outputs = litert(content, case.inputs)
    assert node_tests.largest_error(tuple(outputs), case.expected) <= node_tests.TOLERANCE


@pytest.mark.parametrize("name", ["fastestdet_352", "ultraface_RFB_320"])
def test_a_real_detector_computes_the_same_on_litert(name: str, tmp_path: Path) -> None:
    import onnxruntime

    pytest.importorskip("litert_torch")
    file = SHARED / f"{name}.onnx"
    if not file.is_file():
        pytest.skip(f"needs {file.name}, which users of the project do not have")
    source = load_model(str(file))
    x = np.random.default_rng(0).standard_normal(source.input_shape).astype(np.float32)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(file.read_bytes(), options)
    expected = session.run(None, {session.get_inputs()[0].name: x})
    outputs = litert(export_tflite(source), [x])
    assert [item.shape for item in outputs] == [item.shape for item in expected]
    errors = [float(np.abs(a - b).max()) for a, b in zip(outputs, expected, strict=True)]
    print(f"\n{name}: {errors}")
    assert max(errors) <= 1e-4


def test_a_channels_last_file_takes_frames_as_a_camera_gives_them(colour_model: Path) -> None:
    pytest.importorskip("litert_torch")
    source = load_model(str(colour_model))
    x = np.random.default_rng(0).random((1, 3, 8, 8), np.float32)
    (given,) = litert(export_tflite(source, channels_last=True), [x.transpose(0, 2, 3, 1).copy()])
    assert np.allclose(given.reshape(-1), source.run(x), atol=1e-5)


def test_softmax_means_all_following_axes_up_to_opset_12() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    nodes = [helper.make_node("Softmax", ["x"], ["y"], axis=1)]
    assert np.allclose(compute(model(nodes, x.shape, opset=11), x).sum(axis=(1, 2)), 1, atol=1e-6)
    assert np.allclose(compute(model(nodes, x.shape, opset=13), x).sum(axis=1), 1, atol=1e-6)


OLD_FORMS: dict[str, tuple[int, onnx.NodeProto, Any]] = {
    "Slice": (9, helper.make_node("Slice", ["x"], ["y"], starts=[1], ends=[9], axes=[2]), lambda x: x[:, :, 1:]),
    "Pad": (2, helper.make_node("Pad", ["x"], ["y"], pads=[0, 0, 1, 0, 0, 1]), lambda x: np.pad(x, 1)[1:2, 1:4]),
    "Squeeze": (11, helper.make_node("Squeeze", ["x"], ["y"], axes=[0]), lambda x: x[0]),
    "Unsqueeze": (11, helper.make_node("Unsqueeze", ["x"], ["y"], axes=[0, 4]), lambda x: x[None, ..., None]),
    "ReduceSum": (11, helper.make_node("ReduceSum", ["x"], ["y"], axes=[1], keepdims=0), lambda x: x.sum(1)),
    "Clip": (6, helper.make_node("Clip", ["x"], ["y"], min=-0.5, max=0.5), lambda x: x.clip(-0.5, 0.5)),
    "Upsample": (7, helper.make_node("Upsample", ["x"], ["y"], scales=[1.0, 2.0, 1.0]), lambda x: x.repeat(2, 1)),
    "Split": (11, helper.make_node("Split", ["x"], ["a", "y"], axis=2, split=[1, 3]), lambda x: x[:, :, 1:]),
    "TopK": (9, helper.make_node("TopK", ["x"], ["y", "i"], k=2, axis=2), lambda x: -np.sort(-x, axis=2)[..., :2]),
    "Reshape": (4, helper.make_node("Reshape", ["x"], ["y"], shape=[0, -1]), lambda x: x.reshape(1, -1)),
}  # fmt: skip


@pytest.mark.parametrize("kind", OLD_FORMS)
def test_the_attributes_of_an_old_opset_mean_what_newer_inputs_mean(kind: str) -> None:
    opset, node, meaning = OLD_FORMS[kind]
    x = np.random.default_rng(0).standard_normal((1, 3, 4)).astype(np.float32)
    assert np.allclose(compute(model([node], x.shape, opset=opset), x), meaning(x), atol=1e-6)


def test_sizes_that_are_computed_from_the_inputs_shape_are_folded() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "first"], ["n"], axis=0),
        helper.make_node("Unsqueeze", ["n"], ["u"], axes=[0]),
        helper.make_node("Concat", ["u", "rest"], ["to"], axis=0),
        helper.make_node("Reshape", ["x", "to"], ["y"]),
    ]
    weights: dict[str, Array] = {"first": np.array(0), "rest": np.array([-1])}
    network = import_onnx(model(nodes, (2, 3, 4), opset=11, weights=weights))
    assert [step.kind for step in network.steps] == ["Reshape"]
    assert network(torch.zeros(2, 3, 4)).shape == (2, 12)


def test_weights_are_parameters_named_as_in_the_file_and_two_imports_are_alike() -> None:
    nodes = [helper.make_node("MatMul", ["x", "fc.weight"], ["y"])]
    content = model(nodes, (1, 3), opset=20, weights={"fc.weight": np.eye(3, dtype=np.float32)})
    first, second = import_onnx(content), import_onnx(content)
    assert [name for name, _ in first.named_parameters()] == ["constant_fc_weight"]
    assert not first.training
    assert first.state_dict().keys() == second.state_dict().keys()


def test_everything_that_is_refused_is_listed_with_operator_node_and_remedy() -> None:
    nodes = [
        helper.make_node("Det", ["x"], ["d"], name="determinant"),
        helper.make_node("Relu", ["d"], ["r"], name="positive"),
        helper.make_node("Foo", ["x"], ["f"], name="own", domain="my.shop"),
        helper.make_node("Add", ["r", "f"], ["y"], name="sum"),
    ]
    content = model(nodes, (1, 3, 3), opset=20)
    found = unsupported(content)
    assert [(one.operator, one.node) for one in found] == [("Det", "determinant"), ("my.shop.Foo", "own")]
    assert all(one.reason and one.remedy for one in found)
    with pytest.raises(BadModelError, match=r"Det \(node determinant\).*my\.shop\.Foo \(node own\)"):
        import_onnx(content)


REFUSED: dict[str, tuple[onnx.NodeProto, str]] = {
    "a size that depends on values": (helper.make_node("Reshape", ["x", "to"], ["y"]), "computed at run time"),
    "cubic is not the problem, a region is": (
        helper.make_node("Resize", ["x", "roi", "scales"], ["y"], coordinate_transformation_mode="tf_crop_and_resize"),
        "region of interest",
    ),
    "training mode": (
        helper.make_node("BatchNormalization", ["x", "c", "c", "c", "c"], ["y"], training_mode=1),
        "training mode",
    ),
    "boxes by their values": (helper.make_node("NonZero", ["x"], ["y"]), "depends on values"),
    "a quantized model": (helper.make_node("QuantizeLinear", ["x", "one"], ["y"]), "already quantized"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_refusal_says_why(what: str) -> None:
    node, reason = REFUSED[what]
    weights: dict[str, Array] = {
        "c": np.ones(2, np.float32),
        "one": np.ones((), np.float32),
        "roi": np.zeros(8, np.float32),
        "scales": np.array([1, 1, 2, 2], np.float32),
    }
    to_size = helper.make_node("ArgMax", ["x"], ["to"], axis=0)
    content = model([to_size, node], (1, 2, 2, 2), opset=18, weights=weights)
    assert reason in unsupported(content)[0].reason


def test_a_network_that_does_not_fit_together_is_refused_not_a_crash() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")]
    content = model(nodes, (1, 3), opset=20, weights={"w": np.zeros((4, 4), np.float32)})
    with pytest.raises(BadModelError, match=r"MatMul \(node product\): its inputs do not fit together"):
        import_onnx(content)
