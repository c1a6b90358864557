"""One small interface to whatever runs a model here: LiteRT, onnxruntime, tflite-runtime, or an NPU's runtime.

`open_session` picks the first variant of a bundle whose runtime works on this machine; `check_golden` proves that it
computes what the compiler saw. The runtimes are imported when a model is opened, not before.
"""

import time
from dataclasses import dataclass
from functools import cache
from typing import Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from edge.bundle import Bundle
from edge.errors import BadBundleError, BadModelError, GoldenMismatchError, MissingExtraError
from edge.manifest import RuntimeName, Variant
from edge.quantization import quantize
from edge.runtimes.probe import works

PIP_LINE = "pip install 'edgewright[agent]'"
ETHOS_U_LINE = (
    "run it on the board that its target names, whose system brings libethosu_delegate.so (NXP i.MX 93); on a "
    "microcontroller the firmware runs this file"
)
RKNN_LINE = (
    "pip install 'rknn-toolkit-lite2==2.5.0' on the RK3588 itself; its system brings librknnrt.so and the NPU's driver"
)


class Session(Protocol):
    """One loaded model with one input for data, fixed buffers, and its state, if it has one. Not thread-safe."""

    variant: Variant

    def set_input(self, x: NDArray[np.generic]) -> None:
        """Copy `x`, of the model's own dtype and shape (its leading 1 or not), into the input buffer."""

    def input_buffer(self) -> NDArray[np.generic]:
        """The input itself, writable, of the model's own dtype and shape. Do not keep it across `invoke`."""

    def invoke(self) -> None:
        """Compute the outputs of what the input buffer holds; a state moves on by one step."""

    def reset(self) -> None:
        """Begin a sequence: every state is zero. Nothing, where there is none."""

    def output(self, index: int = 0) -> NDArray[np.float32]:
        """One output, dequantized, in the model's shape; overwritten by the next call."""

    def close(self) -> None:
        """Free the model. Calling it twice is harmless."""


@dataclass(frozen=True, slots=True)
class GoldenReport:
    """What `check_golden` saw."""

    max_error: float
    """Largest absolute difference between an output and its golden value."""
    samples: int
    p95_us: float
    """95th percentile of one inference, microseconds."""


@cache
def installed() -> tuple[RuntimeName, ...]:
    """The runtimes that computed a tiny model correctly on this machine, in the order in which we prefer them."""
    return tuple(name for name in get_args(RuntimeName) if works(name) is None)


def open_session(
    bundle: Bundle, *, variant: Variant | None = None, threads: int = 1, providers: tuple[str, ...] = ()
) -> Session:
    """Open a bundle's `variant`; by default the first one whose runtime works here.

    `providers`: onnxruntime's execution providers to try before the CPU, by their names there.
    Raises: MissingExtraError if no runtime of the bundle works here; BadBundleError if the model cannot be loaded.
    """
    chosen = variant or _first_that_runs(bundle)
    try:
        return open_model(bundle.read(chosen.file), chosen, threads=threads, providers=providers)
    except BadModelError as exc:
        raise BadBundleError(f"{bundle.path.name}: {exc.problem}", remedy="compile the model again") from exc


def open_model(data: bytes, variant: Variant, *, threads: int = 1, providers: tuple[str, ...] = ()) -> Session:
    """Open a model's bytes, which must have the input and outputs that `variant` says.

    An untrusted model can end the whole process (LiteRT aborts on some): open one in a child process first.
    Raises: MissingExtraError if the runtime does not work here; BadModelError.
    """
    problem = works(variant.runtime)
    if problem is not None:
        raise MissingExtraError(f"{variant.runtime} does not work here: {problem}", remedy=pip_line(variant.runtime))
    if variant.runtime == "onnxruntime":
        from edge.runtimes.ort import OrtSession

        return OrtSession(data, variant, threads=threads, providers=providers)
    if variant.runtime == "rknn":
        from edge.runtimes.rknn import RknnSession

        return RknnSession(data, variant)
    from edge.runtimes.tflite import TfliteSession

    return TfliteSession(data, variant, threads=threads)


def run_float(session: Session, x: NDArray[np.float32], *, every: bool = False) -> NDArray[np.float32]:
    """One sample of real values in, the first output out: flattened, dequantized, an array of its own.

    `every`: all outputs instead, one after the other.
    """
    session.set_input(quantize(np.asarray(x, dtype=np.float32), session.variant.input))
    session.invoke()
    return np.concatenate([output.ravel() for output in outputs_of(session)]) if every else session.output(0).flatten()


def outputs_of(session: Session) -> tuple[NDArray[np.float32], ...]:
    """All outputs of the last `invoke`, dequantized; overwritten by the next one."""
    return tuple(session.output(index) for index in range(len(session.variant.outputs)))


def check_golden(bundle: Bundle, session: Session, *, invocations: int = 50, budget_s: float = 2.0) -> GoldenReport:
    """Run the golden samples, and compare each output with the bundle's tolerance and a classifier's label exactly.

    Those of a model with a state are one sequence. Its labels are not compared: in its first steps it is often
    undecided, and the tolerance holds the state as well. Afterwards the state is what the runs left: `reset` it.
    The last sample is run again `invocations` times for the percentile, or as often as `budget_s` seconds allow.
    Raises: GoldenMismatchError with the first sample that is wrong.
    """
    golden, tolerance = bundle.golden, bundle.manifest.golden
    task = bundle.manifest.task
    labelled, every = task == "classify" and not bundle.manifest.stateful, task == "detect"
    worst = 0.0
    session.reset()
    for number, (x, expected) in enumerate(zip(golden.input, golden.outputs, strict=True)):
        found = run_float(session, x, every=every)
        error = np.abs(found - expected)
        if not (np.isfinite(found).all() and (error <= tolerance.atol + tolerance.rtol * np.abs(expected)).all()):
            raise _mismatch(bundle, session, number, f"differs by {float(error.max()):.4g}")
        if labelled and found.argmax() != expected.argmax():
            raise _mismatch(bundle, session, number, f"chooses {int(found.argmax())}, not {int(expected.argmax())}")
        worst = max(worst, float(error.max()))
    return GoldenReport(worst, len(golden.input), _p95_us(session, invocations, budget_s))


def pip_line(runtime: RuntimeName) -> str:
    """How to install one runtime."""
    if runtime == "ethos-u":
        return ETHOS_U_LINE
    if runtime == "rknn":
        return RKNN_LINE
    return "pip install 'tflite-runtime==2.14.0' 'numpy<2'" if runtime == "tflite-runtime" else PIP_LINE


def _first_that_runs(bundle: Bundle) -> Variant:
    problems = []
    for variant in bundle.manifest.variants:
        problem = works(variant.runtime)
        if problem is None:
            return variant
        problems.append(f"{variant.runtime}: {problem}")
    raise MissingExtraError(
        f"no runtime for {bundle.path.name} works here ({'; '.join(problems)})",
        remedy=pip_line(bundle.manifest.variants[0].runtime),
    )


def _mismatch(bundle: Bundle, session: Session, number: int, how: str) -> GoldenMismatchError:
    runtime = session.variant.runtime
    return GoldenMismatchError(
        f"{bundle.path.name}: golden sample {number} {how} on {runtime}",
        remedy=f"do not run this model on this {runtime}; update the runtime or compile for another one",
    )


def _p95_us(session: Session, invocations: int, budget_s: float) -> float:
    times_ns: list[int] = []
    while len(times_ns) < invocations and (len(times_ns) < 3 or sum(times_ns) < budget_s * 1e9):
        start = time.perf_counter_ns()
        session.invoke()
        times_ns.append(time.perf_counter_ns() - start)
    return float(np.percentile(times_ns, 95)) / 1000
