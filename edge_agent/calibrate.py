"""`edge bench --calibration`: times every model of a bundle alone, for the compiler to learn from."""

import hashlib
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec
import numpy as np

from edge.bundle import Bundle, open_bundle
from edge.calibration import Calibration, Timing, write_calibration
from edge.errors import MissingExtraError
from edge.manifest import RuntimeName, Variant
from edge.runtimes import installed, open_session
from edge_agent.bench import time_invoke
from edge_agent.cpu import read_cpu

PACKAGES: dict[RuntimeName, str] = {
    "litert": "ai-edge-litert",
    "onnxruntime": "onnxruntime",
    "tflite-runtime": "tflite-runtime",
}
LEAST_INFERENCES = 20
"""Below this a 90th percentile is the slowest but one."""


class Timed(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the report."""

    file: str
    runtime: str
    dtype: str
    p50_ms: float
    p99_ms: float


class CalibrationReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `edge bench --calibration --json` prints."""

    calibration: str
    sha256: str
    cores: tuple[str, ...]
    cpu: str
    timings: tuple[Timed, ...]


def calibrate(path: Path, into: Path, *, inferences: int) -> CalibrationReport:
    """Time each model of the bundle whose runtime works here, with one thread, and write `into`.

    Raises:
        MissingExtraError: none of the bundle's runtimes works here.
        BadArgumentError: `into` cannot be written.

    """
    bundle = open_bundle(path)
    runnable = [variant for variant in bundle.manifest.variants if variant.runtime in installed()]
    if not runnable:
        wanted = ", ".join(sorted({variant.runtime for variant in bundle.manifest.variants}))
        raise MissingExtraError(f"none of {wanted} works here", remedy="`edge doctor` says what is missing")
    cpu = read_cpu()
    calibration = Calibration(
        cores=cpu.cores,
        cpu=cpu.model,
        threads=1,
        runtimes={runtime: version_of(runtime) for runtime in sorted({variant.runtime for variant in runnable})},
        timings=tuple(time_variant(bundle, variant, max(inferences, LEAST_INFERENCES)) for variant in runnable),
        taken=datetime.now(UTC).date().isoformat(),
    )
    write_calibration(calibration, into)
    return report(calibration, into)


def time_variant(bundle: Bundle, variant: Variant, inferences: int) -> Timing:
    """Percentiles of one model's inference alone."""
    model = bundle.read(variant.file)
    session = open_session(bundle, variant=variant)
    try:
        p10, p50, p90, p99 = np.percentile(time_invoke(session, inferences) / 1e3, [10, 50, 90, 99])
    finally:
        session.close()
    return Timing(
        sha256=hashlib.sha256(model).hexdigest(),
        file=variant.file,
        runtime=variant.runtime,
        dtype=variant.dtype,
        p10_ms=round(float(p10), 5),
        p50_ms=round(float(p50), 5),
        p90_ms=round(float(p90), 5),
        p99_ms=round(float(p99), 5),
        inferences=inferences,
        model=model,
    )


def version_of(runtime: RuntimeName) -> str:
    """Version of the package that a runtime comes from; "unknown" where the system brought it."""
    try:
        return version(PACKAGES[runtime])
    except PackageNotFoundError:
        return "unknown"


def report(calibration: Calibration, into: Path) -> CalibrationReport:
    """Leave out the models."""
    timings = tuple(
        Timed(file=t.file, runtime=t.runtime, dtype=t.dtype, p50_ms=t.p50_ms, p99_ms=t.p99_ms)
        for t in calibration.timings
    )
    return CalibrationReport(
        calibration=into.name,
        sha256=calibration.identity,
        cores=calibration.cores,
        cpu=calibration.cpu,
        timings=timings,
    )


def describe(result: CalibrationReport) -> str:
    """A table for people."""
    from edge.console import table

    rows = [(t.file, t.runtime, t.dtype, f"{t.p50_ms:.3g}", f"{t.p99_ms:.3g}") for t in result.timings]
    head = f"{result.calibration}: {', '.join(result.cores)} ({result.cpu}), one thread\n"
    return head + table(("MODEL", "RUNTIME", "DTYPE", "p50, ms", "p99, ms"), rows)
