"""The scripts of tests/bench are modules of their own folder; two small files with work that a reader can add up."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

HERE = Path(__file__).parent
sys.path += [str(HERE), str(HERE.parents[1] / "bench")]

from latency_variants import make_tflite  # noqa: E402  its folder is on the path only now


@pytest.fixture(scope="session")
def small_onnx() -> bytes:
    """[1, 3, 8, 8] -> conv 3x3 stride 2, 8 channels, ReLU -> depthwise 3x3 -> conv 1x1, 16 -> mean -> dense 4."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def weight(name: str, *shape: int) -> Any:
        return numpy_helper.from_array(np.ones(shape, np.float32), name)

    pads = [1, 1, 1, 1]
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c1"], strides=[2, 2], pads=pads),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], group=8, pads=pads),
        helper.make_node("Conv", ["c2", "w3"], ["c3"]),
        helper.make_node("GlobalAveragePool", ["c3"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "w4"], ["y"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [weight("w1", 8, 3, 3, 3), weight("w2", 8, 1, 3, 3), weight("w3", 16, 8, 1, 1), weight("w4", 4, 16)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    content: bytes = onnx.save_to_string(model) if hasattr(onnx, "save_to_string") else model.SerializeToString()
    return content


@pytest.fixture(scope="session")
def small_tflite() -> bytes:
    """The same network, channels last."""
    return make_tflite(8)
