"""A variant for a model that is only looked at."""

from typing import Any

from edge.manifest import TensorSpec, Variant


def variant(runtime: str = "litert", dtype: str = "float32") -> Variant:
    spec = TensorSpec(name="x", shape=(1, 8, 8, 3), dtype="float32")
    kind: Any = runtime
    number: Any = dtype
    return Variant(runtime=kind, dtype=number, file="model", sha256="0" * 64, size_bytes=1, input=spec, outputs=(spec,))
