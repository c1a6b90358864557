"""Whole files to mutate: small models of several shapes and the data that fits them, all made here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SAMPLES, CLASSES, SIDE = 66, 3, 8


def make_seeds(folder: Path) -> tuple[list[Path], list[Path]]:
    """Write the seed models (.onnx and .tflite) and the seed data (.npz, .csv and pictures)."""
    folder.mkdir(parents=True, exist_ok=True)
    models = [_write_onnx(folder / f"{name}.onnx", build) for name, build in _ONNX.items()]
    models += [_write_tflite(folder / "small.tflite")]
    return models, [_write_npz(folder / "data.npz"), _write_csv(folder / "rows.csv"), *_write_pictures(folder)]


def samples() -> tuple[np.ndarray, np.ndarray]:
    """x [SAMPLES, 3, SIDE, SIDE], brightest in the channel that y names."""
    rng = np.random.default_rng(3)
    y = np.arange(SAMPLES) % CLASSES
    x = rng.random((SAMPLES, CLASSES, SIDE, SIDE), np.float32)
    x[np.arange(SAMPLES), y] += 0.4
    return x, y


def _write_npz(path: Path) -> Path:
    x, y = samples()
    np.savez(path, x=x, y=y)
    return path


def _write_csv(path: Path) -> Path:
    x, y = samples()
    rows = [",".join([*(f"{value:.4f}" for value in x[i].mean((1, 2))), f"class{y[i]}"]) for i in range(SAMPLES)]
    path.write_text("\n".join(["a,b,c,label", *rows]) + "\n", "utf-8")
    return path


def _write_pictures(folder: Path) -> list[Path]:
    import cv2

    x, y = samples()
    paths = []
    for index, (picture, label) in enumerate(zip(x, y, strict=True)):
        place = folder / "pictures" / str(label)
        place.mkdir(parents=True, exist_ok=True)
        pixels = np.clip(picture.transpose(1, 2, 0) * 180, 0, 255).astype(np.uint8)
        cv2.imwrite(str(place / f"{index:02}.png"), pixels)
        paths.append(place / f"{index:02}.png")
    return paths[:2]


def _write_onnx(path: Path, build: Callable[[], tuple[list[Any], dict[str, np.ndarray]]]) -> Path:
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
    return path


def _mix() -> np.ndarray:
    return (2 * np.eye(CLASSES, dtype=np.float32) - 0.5).reshape(CLASSES, CLASSES, 1, 1)


def _convolution() -> tuple[list[Any], dict[str, np.ndarray]]:
    from onnx import helper

    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Softmax", ["f"], ["y"]),
    ]
    return nodes, {"w": _mix(), "b": np.zeros(CLASSES, np.float32)}


def _matrix() -> tuple[list[Any], dict[str, np.ndarray]]:
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


_ONNX = {"convolution": _convolution, "matrix": _matrix}


def _write_tflite(path: Path) -> Path:
    import litert_torch
    import torch

    net = torch.nn.Sequential(
        torch.nn.Conv2d(CLASSES, CLASSES, 1), torch.nn.ReLU(), torch.nn.AvgPool2d(SIDE), torch.nn.Flatten()
    ).eval()
    net[0].weight.data = torch.from_numpy(_mix())
    net[0].bias.data.zero_()
    path.write_bytes(litert_torch.convert(net, (torch.zeros(1, CLASSES, SIDE, SIDE),)).model_content())
    return path
