"""A network small enough to read, which of three colours is brightest; and one that is trained in seconds."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent))  # hand_made.py, modules.py

COLOURS = ("blue", "green", "red")  # sorted, as folders are; the network's outputs are in this order
CONTRACT = 'colour = "RGB"\nresize = "stretch"\nscale = 0.00392156862745098\n'


@pytest.fixture(scope="session")
def colour_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An .onnx file [1, 3, 8, 8] -> [1, 3]: 1x1 convolution, mean over the picture, soft-max; contract beside it."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = np.array([[-1, -1, 3], [-1, 3, -1], [3, -1, -1]], np.float32).reshape(3, 3, 1, 1)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="mix"),
        helper.make_node("Relu", ["c"], ["r"], name="positive"),
        helper.make_node("GlobalAveragePool", ["r"], ["g"], name="mean"),
        helper.make_node("Flatten", ["g"], ["f"], name="flat"),
        helper.make_node("Softmax", ["f"], ["y"], name="share"),
    ]
    graph = helper.make_graph(
        nodes,
        "colour",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(weights, "w")],
    )
    folder = tmp_path_factory.mktemp("model")
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "colour.onnx")
    (folder / "colour.input.toml").write_text(CONTRACT)
    return folder / "colour.onnx"


@pytest.fixture(scope="session")
def colour_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders with 40 noisy pictures each; a few are hard to tell."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(7)
    for channel, name in enumerate(COLOURS):  # OpenCV's channel order is blue, green, red
        (folder / name).mkdir()
        for index in range(40):
            picture = rng.integers(0, 200, (8, 8, 3))
            picture[..., channel] += int(rng.integers(10, 55))
            cv2.imwrite(str(folder / name / f"{index:02}.png"), picture.astype(np.uint8))
    return folder


@pytest.fixture(scope="session")
def keywords() -> ModuleType:
    """The file of a keyword network, and of the spectrograms that it is trained on."""
    from modules import load_module

    return load_module(Path(__file__).parent / "networks" / "keywords.py")


@pytest.fixture(scope="session")
def trained(keywords: ModuleType) -> Any:
    """The network, trained; nobody changes it."""
    return keywords.trained()
