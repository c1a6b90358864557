"""Two tones: as codes, as files, as what a model hears, and a model that tells them apart."""

import hashlib
import wave
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge.bundle import Baseline, Golden, pack
from edge.manifest import (
    AudioInput,
    Manifest,
    Provenance,
    Quality,
    TensorSpec,
    Tolerance,
    Variant,
)
from edge.sound import Features
from edge.statistics import SCORE_EDGES
from edge_agent.sources import Rows

RATE, FRAMES, MELS = 8000, 10, 8
PERIOD = RATE // 50
HIGH_HZ, LOW_HZ = 2500.0, 400.0
HEARD = AudioInput(
    sample_rate=RATE, window=FRAMES, stride=2, win_length=200, hop_length=80, n_fft=256, n_mels=MELS, f_min=100.0,
    f_max=4000.0,
)  # fmt: skip


def tone(hz: float, samples: int = RATE) -> np.ndarray:
    """16-bit codes, with a hiss."""
    hiss = np.random.default_rng(0).standard_normal(samples)
    return np.rint(6000 * np.sin(2 * np.pi * hz * np.arange(samples) / RATE) + 300 * hiss).astype(np.int16)


def write(path: Path, codes: np.ndarray, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(codes.astype("<i2").tobytes())
    return path


def codes_of(rows: list[Rows]) -> list[int]:
    return [] if not rows else np.rint(np.concatenate([one.values for one in rows])[:, 0] * 32768).astype(int).tolist()


def tone_bundle(folder: Path) -> Path:
    """Which is louder, the upper mel bands or the lower ones?"""
    weights = np.repeat([[-0.5, 0.5], [0.5, -0.5]], MELS // 2, axis=0).astype(np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "w"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["y"], axis=1),
    ]
    graph = helper.make_graph(
        nodes, "tone", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, FRAMES, MELS])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.array([1]), "axes")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    variant = Variant(
        runtime="onnxruntime", dtype="float32", file="model.onnx", sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data), input=TensorSpec(name="x", shape=(1, FRAMES, MELS), dtype="float32"),
        outputs=(TensorSpec(name="y", shape=(1, 2), dtype="float32"),),
    )  # fmt: skip
    features = Features(HEARD)
    inputs = np.stack([features.of((tone(hz, 920) / 32768).astype(np.float32)) for hz in (HIGH_HZ, LOW_HZ)])
    logits = inputs.mean(axis=1) @ weights
    manifest = Manifest(
        name="tone", version=1, target="x86-64", labels=("high", "low"), input=HEARD, variants=(variant,),
        quality=Quality(
            metric="accuracy", reference=1.0, compiled=1.0, drop=0.0, ci95=(0.0, 0.0), agreement=1.0, samples=2
        ),
        golden=Tolerance(atol=1e-3, rtol=1e-3),
        provenance=Provenance(source_sha256="0" * 64, data_sha256="0" * 64, tools={}, recipe={}),
    )  # fmt: skip
    return pack(
        folder / "tone-1.edge", manifest, files={"model.onnx": data},
        golden=Golden(input=inputs, outputs=(np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32)),
        baseline=Baseline(
            scores=np.full(len(SCORE_EDGES) + 1, 10, np.int64), labels=np.full(2, 10, np.int64),
            input_mean=np.zeros(MELS, np.float32), input_std=np.ones(MELS, np.float32),
        ),
    )  # fmt: skip
