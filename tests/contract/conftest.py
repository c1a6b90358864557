"""A small real bundle, and a real broker, for the contract's tests."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge.bundle import Baseline, Golden, pack
from edge.manifest import Manifest, Provenance, Quality, RuntimeName, TensorInput, Tolerance
from edge.runtimes.probe import tiny_model
from edge.statistics import SCORE_EDGES, count

MakeBundle = Callable[..., Path]


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    """Make a bundle of y = relu(x): make_bundle(name, *runtimes, **changes of the manifest)."""

    def make(name: str = "tiny-1.edge", *runtimes: RuntimeName, **changes: object) -> Path:
        variants, files = [], {}
        for runtime in runtimes or ("litert",):
            data, variant = tiny_model(runtime)
            file = f"model-{runtime}{'.onnx' if runtime == 'onnxruntime' else '.tflite'}"
            digest = hashlib.sha256(data).hexdigest()
            variants.append(msgspec.structs.replace(variant, file=file, sha256=digest, size_bytes=len(data)))
            files[file] = data
        manifest = Manifest(
            name="tiny",
            version=1,
            target="x86-64",
            labels=("left", "right"),
            input=TensorInput(shape=(1, 2)),
            variants=tuple(variants),
            quality=Quality(
                metric="accuracy",
                reference=0.9,
                compiled=0.89,
                drop=0.01,
                ci95=(0.0, 0.02),
                agreement=0.98,
                samples=500,
            ),
            golden=Tolerance(atol=1e-5, rtol=1e-5),
            provenance=Provenance(source_sha256="a" * 64, data_sha256="b" * 64, tools={"z": "1", "a": "2"}, recipe={}),
        )
        x = np.array([[1, -1], [-2, 3], [0.5, 0.25]], np.float32)
        return pack(
            tmp_path / name,
            msgspec.structs.replace(manifest, **changes),
            files=files,
            golden=Golden(x, np.maximum(x, 0)),
            baseline=Baseline(
                scores=count([0.9, 0.99], SCORE_EDGES),
                labels=np.array([1, 1]),
                input_mean=np.zeros(1, np.float32),
                input_std=np.ones(1, np.float32),
            ),
        )

    return make
