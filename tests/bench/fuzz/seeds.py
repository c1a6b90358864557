"""Whole files to mutate: small models of several shapes and kinds, and the data that fits them, all made here."""

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLES, CLASSES, SIDE = 66, 3, 8
CONTRACT = 'colour = "RGB"\nlayout = "NCHW"\nresize = "stretch"\nscale = 0.00392156862745098\n'
DONE = "seeds.json"
"""Written last: file name -> sha256 of every seed."""

Floats = NDArray[np.float32]
Graph = tuple[list[Any], dict[str, NDArray[Any]]]


def make_seeds(folder: Path) -> None:
    """Write seed models and seed data, once: the same seeds make the same mutants."""
    if (folder / DONE).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    _write_data(folder)
    for name, build in _ONNX.items():
        _write_onnx(folder / f"{name}.onnx", build)
    _write_tflite(folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    digests = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    (folder / DONE).write_text(json.dumps(digests, indent=2))


# ---- data


def samples() -> tuple[Floats, NDArray[np.int64]]:
    """x [SAMPLES, 3, SIDE, SIDE], brightest in the channel that y names."""
    rng = np.random.default_rng(3)
    y = np.arange(SAMPLES) % CLASSES
    x = rng.random((SAMPLES, CLASSES, SIDE, SIDE), np.float32)
    x[np.arange(SAMPLES), y] += 0.4
    return x, y


def _write_data(folder: Path) -> None:
    """As arrays, as rows of the channels' means, and as pictures: half of them in a format without checksums."""
    import cv2

    x, y = samples()
    np.savez(folder / "data.npz", x=x, y=y)
    rows = [",".join([*(f"{value:.4f}" for value in x[i].mean((1, 2))), f"class{y[i]}"]) for i in range(SAMPLES)]
    (folder / "rows.csv").write_text("\n".join(["a,b,c,label", *rows]) + "\n", "utf-8")
    for index, (picture, label) in enumerate(zip(x, y, strict=True)):
        place = folder / "pictures" / f"class{label}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = np.clip(picture.transpose(1, 2, 0)[..., ::-1] * 180, 0, 255).astype(np.uint8)
        cv2.imwrite(str(place / f"{index:02}.{('png', 'bmp')[index % 2]}"), pixels)


# ---- ONNX


def _write_onnx(path: Path, build: Callable[[], Graph]) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, weights = build()
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, CLASSES, SIDE, SIDE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, CLASSES])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def _mix() -> Floats:
    return (2 * np.eye(CLASSES, dtype=np.float32) - 0.5).reshape(CLASSES, CLASSES, 1, 1)


def _convolution() -> Graph:
    from onnx import helper

    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Softmax", ["f"], ["y"]),
    ]
    return nodes, {"w": _mix(), "b": np.zeros(CLASSES, np.float32)}


def _matrix() -> Graph:
    from onnx import helper

    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["m", "w"], ["z"]),
        helper.make_node("Add", ["z", "b"], ["a"]),
        helper.make_node("Tanh", ["a"], ["t"]),
        helper.make_node("Reshape", ["t", "shape"], ["y"]),
    ]
    weights = {"w": _mix().reshape(CLASSES, CLASSES), "b": np.zeros(CLASSES, np.float32)}
    return nodes, weights | {"shape": np.array([1, CLASSES], np.int64)}


def _features() -> Graph:
    """Operators whose attributes and constants decide sizes, for the importer."""
    from onnx import helper

    nodes = [
        helper.make_node("Pad", ["x", "pads"], ["p"], mode="constant"),
        helper.make_node("Conv", ["p", "depthwise"], ["d"], group=CLASSES, kernel_shape=[3, 3], strides=[1, 1]),
        helper.make_node("BatchNormalization", ["d", "one", "zero", "zero", "one"], ["n"], epsilon=1e-5),
        helper.make_node("MaxPool", ["n"], ["m"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Slice", ["m", "starts", "ends", "axes"], ["s"]),
        helper.make_node("Concat", ["s", "s"], ["k"], axis=2),
        helper.make_node("GlobalAveragePool", ["k"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "w", "zero"], ["y"], transB=1),
    ]
    weights = {
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64),
        "depthwise": np.full((CLASSES, 1, 3, 3), 1 / 9, np.float32),
        "one": np.ones(CLASSES, np.float32),
        "zero": np.zeros(CLASSES, np.float32),
        "starts": np.array([0], np.int64),
        "ends": np.array([2], np.int64),
        "axes": np.array([2], np.int64),
        "w": _mix().reshape(CLASSES, CLASSES),
    }
    return nodes, weights


_ONNX = {"convolution": _convolution, "matrix": _matrix, "features": _features}


# ---- TFLite


def _write_tflite(folder: Path) -> None:
    """One for arrays and pictures, one for rows, and one that its maker quantized."""
    import litert_torch
    import torch

    net = torch.nn.Sequential(
        torch.nn.Conv2d(CLASSES, CLASSES, 1), torch.nn.ReLU(), torch.nn.AvgPool2d(SIDE), torch.nn.Flatten()
    ).eval()
    net[0].weight.data = torch.from_numpy(_mix())
    net[0].bias.data.zero_()
    small = litert_torch.convert(net, (torch.zeros(1, CLASSES, SIDE, SIDE),)).model_content()
    (folder / "small.tflite").write_bytes(small)
    (folder / "pictures.tflite").write_bytes(small)
    (folder / "pictures.input.toml").write_text(CONTRACT, "utf-8")
    dense = torch.nn.Sequential(torch.nn.Linear(CLASSES, CLASSES), torch.nn.ReLU()).eval()
    dense[0].weight.data = torch.from_numpy(_mix().reshape(CLASSES, CLASSES))
    dense[0].bias.data.zero_()
    (folder / "rows.tflite").write_bytes(litert_torch.convert(dense, (torch.zeros(1, CLASSES),)).model_content())
    (folder / "integers.tflite").write_bytes(_quantized(small))


def _quantized(small: bytes) -> bytes:
    """The int8 form of a float file, ranges from the samples."""
    from compiler.builder import Builder
    from compiler.load.tflite_file import load_tflite
    from compiler.plan import Plan

    model = load_tflite(small, name="small", sha256="")
    x, _ = samples()
    return Builder(model, lambda: (one[None] for one in x[:16])).build(Plan("litert", "int8")).data


if __name__ == "__main__":
    make_seeds(Path(sys.argv[1]))
