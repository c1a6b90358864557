"""Packs a network of the bench into a bundle, as the compiler would, for the agent to run."""

import hashlib
from pathlib import Path

import numpy as np
from networks import LABELS

from edge.bundle import Baseline, Golden, pack
from edge.manifest import ImageInput, Manifest, Provenance, Quality, TensorSpec, Tolerance, Variant
from edge.runtimes import open_model, run_float
from edge.statistics import SCORE_EDGES

NAMES = tuple(f"label-{number}" for number in range(LABELS))
GOLDEN = 2


def make_bundle(folder: Path, name: str, model: bytes, side: int, version: int = 1) -> Path:
    """One variant on LiteRT; golden samples are what it says here."""
    variant = Variant(
        runtime="litert",
        dtype="int8",
        file="model.tflite",
        sha256=hashlib.sha256(model).hexdigest(),
        size_bytes=len(model),
        input=TensorSpec(name="input", shape=(1, side, side, 3), dtype="uint8", scale=1 / 255, zero_point=0),
        outputs=(TensorSpec(name="output", shape=(1, LABELS), dtype="uint8", scale=1 / 256, zero_point=0),),
    )
    manifest = Manifest(
        name=name,
        version=version,
        target="x86-64",
        labels=NAMES,
        input=ImageInput(width=side, height=side, colour="BGR", layout="NHWC", scale=1 / 255),
        variants=(variant,),
        quality=Quality(
            metric="accuracy", reference=1.0, compiled=1.0, drop=0.0, ci95=(0.0, 0.0), agreement=1.0, samples=GOLDEN
        ),
        golden=Tolerance(atol=2 / 256, rtol=0.0),
        provenance=Provenance(source_sha256="0" * 64, data_sha256="0" * 64, tools={}, recipe={}),
    )
    files = {"model.tflite": model}
    return pack(
        folder / f"{name}-{version}.edge", manifest, files=files, golden=_golden(model, variant), baseline=_baseline()
    )


def _golden(model: bytes, variant: Variant) -> Golden:
    session = open_model(model, variant)
    samples = np.random.default_rng(2).random((GOLDEN, *variant.input.shape[1:]), np.float32)
    outputs = np.stack([run_float(session, sample) for sample in samples])
    session.close()
    return Golden(input=samples, outputs=outputs)


def _baseline() -> Baseline:
    return Baseline(
        scores=np.full(len(SCORE_EDGES) + 1, 10, np.int64),
        labels=np.full(LABELS, 10, np.int64),
        input_mean=np.zeros(3, np.float32),
        input_std=np.ones(3, np.float32),
    )
