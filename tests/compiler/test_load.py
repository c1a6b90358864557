import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from ai_edge_litert.tools import flatbuffer_utils
from hand_made import make_addition
from onnx import TensorProto, helper, numpy_helper

from compiler.load import load_model
from compiler.load.tflite_check import check_tflite
from compiler.load.tflite_file import tensor_spec
from edge.errors import BadModelError, FileMissingError

NETWORKS = Path(__file__).parent / "networks"
TINY = f"{NETWORKS / 'tiny.py'}:load"
MLPERF = Path(__file__).parents[2] / ".." / "shared" / "data" / "mlperf_tiny"


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def onnx_file(path: Path, *, shape: list[object], nodes: list[onnx.NodeProto] | None = None, inputs: int = 1) -> str:
    """An ONNX file y = relu(x0) with as many inputs as asked."""
    values = [helper.make_tensor_value_info(f"x{i}", TensorProto.FLOAT, shape) for i in range(inputs)]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes or [helper.make_node("Relu", ["x0"], ["y"], "first")], "g", values, [output])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("acme", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return str(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileMissingError, match=r"nowhere\.onnx"):
        load_model(str(tmp_path / "nowhere.onnx"))
    with pytest.raises(FileMissingError, match=r"nowhere\.py"):
        load_model(str(tmp_path / "nowhere.py") + ":load")


def test_a_folder_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(BadModelError, match="is a folder"):
        load_model(str(tmp_path))


@pytest.mark.parametrize("ending", ["onnx", "tflite", "pt2", "xyz"])
@pytest.mark.parametrize("content", [b"", b"\x00" * 64, bytes(range(256)) * 8])
def test_random_bytes_are_not_a_model(tmp_path: Path, ending: str, content: bytes) -> None:
    path = tmp_path / f"model.{ending}"
    path.write_bytes(content)
    with pytest.raises(BadModelError) as caught:
        load_model(str(path))
    assert f"model.{ending}" in caught.value.problem
    assert "\n" not in caught.value.problem


def test_a_truncated_tflite_file_is_refused(tmp_path: Path) -> None:
    whole = MLPERF / "kws_dscnn_int8.tflite"
    if not whole.exists():
        pytest.skip("needs the shared data folder")
    path = tmp_path / "cut.tflite"
    path.write_bytes(whole.read_bytes()[:20_000])
    with pytest.raises(BadModelError, match="cut"):
        load_model(str(path))


def test_weights_without_a_network_are_explained(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "weights.pth")
    with pytest.raises(BadModelError, match="without the network") as caught:
        load_model(str(tmp_path / "weights.pth"))
    assert "file.py:function" in caught.value.remedy


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return exec, (f"open({str(tmp_path / 'exploded')!r}, 'w')",)

    for ending in ("pt2", "pth", "pkl"):
        (tmp_path / f"bomb.{ending}").write_bytes(pickle.dumps(Bomb()))
        with pytest.raises(BadModelError):
            load_model(str(tmp_path / f"bomb.{ending}"))
    assert not (tmp_path / "exploded").exists()


def test_an_exported_program_with_pickled_objects_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.pt2", "w") as archive:
        archive.writestr("m/data/constants/opaque_obj_0", pickle.dumps(1))
    with pytest.raises(BadModelError, match="pickled"):
        load_model(str(tmp_path / "m.pt2"))


def test_python_code_needs_the_name_of_a_function(tmp_path: Path) -> None:
    path = write(tmp_path / "net.py", "def load():\n    return 1\n")
    with pytest.raises(BadModelError, match="which function") as caught:
        load_model(path)
    assert "net.py:load" in caught.value.remedy
    with pytest.raises(BadModelError, match="no function lode") as caught:
        load_model(f"{path}:lode")
    assert "load" in caught.value.remedy


def test_an_error_in_the_users_function_shows_the_users_own_line(tmp_path: Path) -> None:
    path = write(tmp_path / "net.py", "import json\n\ndef load():\n    return json.loads('nonsense')\n")
    with pytest.raises(BadModelError) as caught:
        load_model(f"{path}:load")
    assert "JSONDecodeError" in caught.value.problem
    assert "line 4: return json.loads('nonsense')" in caught.value.problem


def test_a_syntax_error_shows_its_line(tmp_path: Path) -> None:
    path = write(tmp_path / "net.py", "def load(:\n    pass\n")
    with pytest.raises(BadModelError, match=r"SyntaxError.*line 1"):
        load_model(f"{path}:load")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return 1", "returned int"),
        ("return torch.nn.ReLU(), (torch.zeros(1, 2), torch.zeros(1, 2))", "2 inputs"),
        ("return torch.nn.ReLU(), torch.zeros(1, 2, dtype=torch.int64)", "int64"),
        ("return torch.nn.Linear(3, 2), torch.zeros(1, 4)", "does not run"),
    ],
)
def test_what_a_function_returns_is_checked(tmp_path: Path, body: str, said: str) -> None:
    path = write(tmp_path / "net.py", f"import torch\n\ndef load():\n    {body}\n")
    with pytest.raises(BadModelError, match=said):
        load_model(f"{path}:load")


def test_what_the_users_function_prints_does_not_reach_stdout(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = "import torch\n\ndef load():\n    print('hello')\n    return torch.nn.ReLU(), torch.zeros(1, 2)\n"
    load_model(write(tmp_path / "net.py", text) + ":load")
    heard = capfd.readouterr()
    assert heard.out == ""
    assert "hello" in heard.err


def test_a_torch_network_is_its_own_float_reference() -> None:
    model = load_model(TINY)
    assert (model.kind, model.input_shape, model.layout, model.outputs) == ("torch", (1, 3, 16, 16), "NCHW", 4)
    x = np.random.default_rng(0).standard_normal((1, 3, 16, 16), np.float32)
    expected = model.payload(torch.from_numpy(x)).detach().numpy().ravel()
    np.testing.assert_array_equal(model.run(x), expected)


def test_the_hash_of_a_network_follows_its_weights_not_its_folder(tmp_path: Path) -> None:
    text = (
        "import torch\n\ndef load():\n    torch.manual_seed(1)\n    return torch.nn.Linear(3, 2), torch.zeros(1, 3)\n"
    )
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    first = load_model(write(tmp_path / "a" / "net.py", text) + ":load")
    second = load_model(write(tmp_path / "b" / "net.py", text) + ":load")
    third = load_model(write(tmp_path / "b" / "net.py", text.replace("seed(1)", "seed(2)")) + ":load")
    assert first.sha256 == second.sha256 != third.sha256


def test_an_exported_program_with_an_open_batch_gets_a_batch_of_one(tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 5))
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(network, (torch.zeros(4, 3, 4),), dynamic_shapes={"input": {0: batch}})
    torch.export.save(program, tmp_path / "model.pt2")
    model = load_model(str(tmp_path / "model.pt2"))
    assert model.input_shape == (1, 3, 4)
    assert model.run(np.zeros((1, 3, 4), np.float32)).shape == (5,)


def test_an_onnx_file_with_an_open_batch_gets_a_batch_of_one(tmp_path: Path) -> None:
    model = load_model(onnx_file(tmp_path / "m.onnx", shape=["N", 4]))
    assert model.input_shape == (1, 4)
    np.testing.assert_array_equal(model.run(np.array([[-1, 2, -3, 4]], np.float32)), [0, 2, 0, 4])


def test_onnx_inputs_that_we_cannot_compile_are_explained(tmp_path: Path) -> None:
    with pytest.raises(BadModelError, match="leaves dimensions open: H") as caught:
        load_model(onnx_file(tmp_path / "open.onnx", shape=["N", 3, "H", 8]))
    assert "fixed sizes" in caught.value.remedy
    with pytest.raises(BadModelError, match=r"2 inputs \(x0, x1\)"):
        load_model(onnx_file(tmp_path / "two.onnx", shape=[1, 4], inputs=2))
    with pytest.raises(BadModelError, match="fixed batch of 8"):
        load_model(onnx_file(tmp_path / "batch.onnx", shape=[8, 4]))
    with pytest.raises(BadModelError, match="fixed batch of 0"):
        load_model(onnx_file(tmp_path / "empty.onnx", shape=[0, 4]))


def test_an_unknown_operator_is_named_with_its_node(tmp_path: Path) -> None:
    node = helper.make_node("Sparkle", ["x0"], ["y"], "the_sparkler", domain="acme")
    with pytest.raises(BadModelError, match=r"operator acme\.Sparkle \(node"):
        load_model(onnx_file(tmp_path / "m.onnx", shape=[1, 4], nodes=[node]))


def test_an_onnx_file_without_its_weights_file_says_so(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.ones((4, 4), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [weight],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "m.onnx"
    onnx.save(proto, path, save_as_external_data=True, location="m.data", size_threshold=0)
    np.testing.assert_array_equal(load_model(str(path)).run(np.ones((1, 4), np.float32)), [4, 4, 4, 4])
    (tmp_path / "m.data").unlink()
    with pytest.raises(BadModelError, match=r"m\.onnx"):
        load_model(str(path))


def test_weights_stored_in_8_bits_are_expanded() -> None:
    path = MLPERF / "kws_dscnn_fp32.tflite"
    if not path.exists():
        pytest.skip("needs the shared data folder")
    model = load_model(str(path))
    assert not model.quantized
    assert "5 weights" in model.note
    assert len(model.payload) > 2 * path.stat().st_size
    assert model.run(np.zeros(model.input_shape, np.float32)).sum() == pytest.approx(1, abs=1e-5)


def test_a_zero_point_that_the_type_cannot_hold_is_refused() -> None:
    detail = {"name": "y", "shape": [1, 4], "dtype": np.int8, "quantization": (0.1, 127)}
    assert tensor_spec(detail).zero_point == 127
    for scale, zero_point in ((0.1, 128), (0.1, -129), (0.0, 0), (-1.0, 0), (float("nan"), 0), (float("inf"), 0)):
        with pytest.raises(BadModelError, match="the tensor y has the scale"):
            tensor_spec(detail | {"quantization": (scale, zero_point)})


def test_a_tflite_file_that_opens_but_does_not_run_is_refused(tmp_path: Path) -> None:
    """Its operator takes a tensor that nothing fills: LiteRT notices only when it runs."""
    path = tmp_path / "hollow.tflite"
    path.write_bytes(make_addition(constant=False, outputs=[2]))
    with pytest.raises(BadModelError, match=r"hollow\.tflite can be opened, but not run: Input tensor 1 lacks data"):
        load_model(str(path))


def _name(model: Any) -> None:
    model.subgraphs[0].tensors[1].name = b"\xff\xfe"


def _no_name(model: Any) -> None:
    model.subgraphs[0].tensors[1].name = None  # as flatbuffer_utils.strip_strings leaves it


def _hidden_name(model: Any) -> None:
    model.subgraphs[0].tensors[2].name = b"y\x00z"  # LiteRT reads it to the zero only


def _bytes(model: Any) -> None:
    buffer = model.buffers[model.subgraphs[0].tensors[1].buffer]
    buffer.data = np.append(np.asarray(buffer.data, np.uint8), np.uint8(0))


def _output(model: Any) -> None:
    model.subgraphs[0].outputs = [9]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_name, "the name of tensor 1 is no text"),
        (_no_name, "tensor 1 has no name; were its strings stripped"),
        (_hidden_name, "the name of tensor 2 is no text"),
        (_bytes, "tensor 1 has 17 bytes, its shape needs 16"),
        (_output, "it names the tensor 9 of 3"),
    ],
)
def test_what_does_not_hold_together_in_a_tflite_file_is_named(damage: Callable[[Any], None], said: str) -> None:
    whole = make_addition(constant=True, outputs=[2])
    check_tflite(whole, "m.tflite")
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(whole))
    damage(model)
    damaged = bytes(flatbuffer_utils.convert_object_to_bytearray(model))
    with pytest.raises(BadModelError, match=f"m.tflite is damaged: {said}"):
        check_tflite(damaged, "m.tflite")


def test_a_tflite_file_with_a_damaged_name_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(make_addition(constant=True, outputs=[2])))
    _name(model)
    path = tmp_path / "m.tflite"
    path.write_bytes(flatbuffer_utils.convert_object_to_bytearray(model))
    with pytest.raises(BadModelError, match="is damaged"):
        load_model(str(path))
