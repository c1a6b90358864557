"""Networks with a memory: in PyTorch, and as an .onnx file."""

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

sys.path.append(str(Path(__file__).parent))  # memories.py

from memories import DECAY, TORCH


@pytest.fixture
def networks(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(TORCH)
    return path


@pytest.fixture(scope="session")
def gatherer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An .onnx file with an open batch: h' = DECAY h + (1 - DECAY) W x, which has a long memory; y = [h'0, -h'0]."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["seen"], name="see"),
        helper.make_node("Mul", ["seen", "new"], ["share"], name="share"),
        helper.make_node("Mul", ["h", "old"], ["left"], name="decay"),
        helper.make_node("Add", ["left", "share"], ["h_next"], name="gather"),
        helper.make_node("MatMul", ["h_next", "v"], ["y"], name="answer"),
    ]
    sides = np.array([[30.0, -30.0], [0.0, 0.0]], np.float32)
    constants = {"w": np.eye(2, dtype=np.float32), "v": sides, "old": np.float32(DECAY), "new": np.float32(1 - DECAY)}
    graph = helper.make_graph(
        nodes,
        "gatherer",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in ("h", "x")],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in ("h_next", "y")],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()],
    )
    path = tmp_path_factory.mktemp("state") / "gatherer.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path
