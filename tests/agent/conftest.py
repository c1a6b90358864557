"""A bundle whose decisions are known beforehand: the colour of the picture is the label."""

import hashlib
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edge.bundle import Baseline, Golden, pack
from edge.manifest import ImageInput, Manifest, Provenance, Quality, TensorSpec, Tolerance, Variant
from edge.statistics import SCORE_EDGES

LABELS = ("red", "green", "blue")
MakeBundle = Callable[..., Path]
MakeConfig = Callable[..., Path]


def colour_model(size: int, gain: float) -> bytes:
    """Soft-max of `gain` times the mean of each channel of a picture of [1, size, size, 3] in 0..1, as ONNX."""
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "gain"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["y"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "colour",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, size, size, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
        [
            helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2]),
            helper.make_tensor("gain", TensorProto.FLOAT, [1], [gain]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    data: bytes = model.SerializeToString()
    onnx.checker.check_model(data)
    return data


def probabilities(samples: np.ndarray, gain: float) -> np.ndarray:
    logits = gain * samples.mean(axis=(1, 2))
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    """make(version=1, size=16, gain=20.0, name="light", golden_gain=None): write a bundle and return its path."""

    def make(
        *, version: int = 1, size: int = 16, gain: float = 20.0, name: str = "light", golden_gain: float | None = None
    ) -> Path:
        data = colour_model(size, gain)
        samples = np.zeros((3, size, size, 3), np.float32)
        for label in range(3):
            samples[label, ..., label] = 0.8
        variant = Variant(
            runtime="onnxruntime",
            dtype="float32",
            file="model.onnx",
            sha256=hashlib.sha256(data).hexdigest(),
            size_bytes=len(data),
            input=TensorSpec(name="x", shape=(1, size, size, 3), dtype="float32"),
            outputs=(TensorSpec(name="y", shape=(1, 3), dtype="float32"),),
        )
        manifest = Manifest(
            name=name,
            version=version,
            target="x86-64",
            labels=LABELS,
            input=ImageInput(width=size, height=size, colour="RGB", layout="NHWC", scale=1 / 255),
            variants=(variant,),
            quality=Quality(
                metric="accuracy", reference=1.0, compiled=1.0, drop=0.0, ci95=(0.0, 0.0), agreement=1.0, samples=3
            ),
            golden=Tolerance(atol=1e-3, rtol=1e-3),
            provenance=Provenance(source_sha256="0" * 64, data_sha256="0" * 64, tools={}, recipe={}),
        )
        return pack(
            tmp_path / f"{name}-{version}.edge",
            manifest,
            files={"model.onnx": data},
            golden=Golden(input=samples, outputs=probabilities(samples, golden_gain or gain)),
            baseline=Baseline(
                scores=np.full(len(SCORE_EDGES) + 1, 10, np.int64),
                labels=np.full(3, 10, np.int64),
                input_mean=np.zeros(3, np.float32),
                input_std=np.ones(3, np.float32),
            ),
        )

    return make


@pytest.fixture
def make_config(tmp_path: Path) -> MakeConfig:
    """make(colours="rrgg", fps=50, more=""): write an .npy of single-coloured frames and a configuration that plays it.

    The recorder writes applied.txt beside it.
    """

    def make(*, colours: str = "g", size: int = 16, fps: float = 50, max_age_ms: float = 300, more: str = "") -> Path:
        frames = np.zeros((len(colours), size, size, 3), np.uint8)
        for index, colour in enumerate(colours):
            frames[index, ..., "bgr".index(colour)] = 200
        np.save(tmp_path / "frames.npy", frames)
        text = textwrap.dedent(f"""
            device: desk-1
            model: light
            state_dir: state
            source: {{kind: frames, path: frames.npy, fps: {fps}}}
            decider: {{kind: classify, go: [green], floor: 0.8, hold_s: 0.0}}
            actuators:
              - {{kind: recorder, path: applied.txt, max_age_ms: {max_age_ms}, safe_state: stop}}
        """)
        path = tmp_path / "agent.yaml"
        path.write_text(text + textwrap.dedent(more))
        return path

    return make
