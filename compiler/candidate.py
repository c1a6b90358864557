"""Every form of the model that could go into the bundle: the main path from a loaded source to compiled files."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from compiler.load import SourceModel, load_model
from edge.errors import BadModelError, MissingExtraError
from edge.manifest import RuntimeName, TensorSpec, Variant
from edge.target import Target

__all__ = ["Calibration", "Candidate", "Progress", "Skipped", "SourceModel", "build_candidates", "load_model"]

Precision = Literal["float32", "int8"]
Calibration = Callable[[], Iterator[NDArray[np.float32]]]
"""Each call starts anew and yields samples of the model's input shape, batch 1 included, in a fixed order."""
Progress = Callable[[str], None]
"""Called with a few words at the start of each step."""

PARITY_SAMPLES = 8
PARITY_RTOL = 1e-4
"""Of the largest output: torch's exporters stay below 6e-6 on eight networks (measured); a wrong axis is off by 1."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One compiled file and what the manifest will say of it."""

    runtime: RuntimeName
    dtype: Precision
    data: bytes = field(repr=False)
    variant: Variant
    note: str
    """For people: what is special about this candidate; empty if nothing is."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A candidate that was wanted but could not be built."""

    runtime: RuntimeName
    dtype: Precision
    reason: str


def build_candidates(
    model: SourceModel, *, calibration: Calibration, target: Target, progress: Progress
) -> tuple[list[Candidate], list[Skipped]]:
    """Build float and int8 files for every runtime of `target` that the source can reach, the preferred runtime first.

    Raises: BadModelError if nothing could be built; its text is the reason of the first failure.
    """
    built: list[Candidate] = []
    skipped: list[Skipped] = []
    failure: BadModelError | MissingExtraError | None = None
    for runtime in _runtimes(model, target):
        try:
            for candidate in _build(model, runtime, calibration, target, progress):
                built.append(candidate)  # noqa: PERF402  what was built before a failure stays
        except (BadModelError, MissingExtraError) as exc:
            failure = failure or exc
            done = [one.dtype for one in built if one.runtime == runtime]
            skipped += [Skipped(runtime, dtype, exc.problem) for dtype in _precisions(target) if dtype not in done]
    if not built:
        raise failure or BadModelError(
            f"{target.name} runs {', '.join(target.runtimes)}, and a {model.kind} model reaches none of them",
            remedy="give a .pt2 or file.py:function, which compile for every runtime",
        )
    return built, skipped


def _runtimes(model: SourceModel, target: Target) -> list[RuntimeName]:
    """One runtime for each file format that the source can become, in the target's order of preference."""
    chosen: dict[str, RuntimeName] = {}
    for runtime in target.runtimes:
        file_format = "onnx" if runtime == "onnxruntime" else "tflite"
        if model.kind in {"torch", file_format}:
            chosen.setdefault(file_format, runtime)
    return list(chosen.values())


def _precisions(target: Target) -> list[Precision]:
    wanted: tuple[Precision, ...] = ("float32", "int8")
    return [dtype for dtype in wanted if dtype in target.dtypes]


def _build(
    model: SourceModel, runtime: RuntimeName, calibration: Calibration, target: Target, progress: Progress
) -> Iterator[Candidate]:
    """Yield the float candidate, checked against the source, then the int8 one; a quantized source as it is.

    Raises: BadModelError; MissingExtraError.
    """
    from compiler.export import FORMATS

    file_format = FORMATS["onnx" if runtime == "onnxruntime" else "tflite"]
    if model.quantized:
        yield _candidate(runtime, "int8", model.payload, file_format.describe(model.payload), "quantized by its maker")
        return
    progress(f"exporting for {runtime}")
    content = file_format.export(model)
    as_float = _candidate(runtime, "float32", content, file_format.describe(content), model.note)
    check_parity(model, as_float, calibration)
    precisions = _precisions(target)
    if "float32" in precisions:
        yield as_float
    if "int8" in precisions:
        progress(f"quantizing for {runtime}")
        content, note = file_format.quantize(content, calibration, target)
        yield _candidate(runtime, "int8", content, file_format.describe(content), note)


def _candidate(
    runtime: RuntimeName, dtype: Precision, data: bytes, specs: tuple[TensorSpec, tuple[TensorSpec, ...]], note: str
) -> Candidate:
    ending = "onnx" if runtime == "onnxruntime" else "tflite"
    variant = Variant(
        runtime=runtime,
        dtype=dtype,
        file=f"model-{dtype}.{ending}",
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        input=specs[0],
        outputs=specs[1],
    )
    return Candidate(runtime, dtype, data, variant, note)


def check_parity(model: SourceModel, candidate: Candidate, calibration: Calibration) -> None:
    """Hold that exporting changed nothing: the float file computes what the source computes.

    Raises: BadModelError with the largest error, as a share of the largest output.
    """
    from edge.runtimes import open_model, run_float

    session = open_model(candidate.data, candidate.variant)
    try:
        for sample in islice(calibration(), PARITY_SAMPLES):
            expected = model.run(sample)
            error = np.abs(run_float(session, sample) - expected).max() / max(float(np.abs(expected).max()), 1e-6)
            if not error <= PARITY_RTOL:  # also true for NaN
                raise BadModelError(
                    f"export to {candidate.variant.file} changed the model: its output is off by {error:.2g}"
                    f" of the largest value, {PARITY_RTOL:g} is allowed",
                    remedy="put the network into eval mode and take out what is random; else report this network",
                )
    finally:
        session.close()
