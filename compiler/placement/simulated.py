"""The RK3588's NPU in a compile: its candidates, and its toolkit's simulator where others run on a runtime of ours.

What the toolkit makes competes with the float model for the CPU like any other candidate: measured on the select part
to choose, on the report part to prove, and asked for golden outputs; each time the simulator computes. Nothing of that
was run on a chip.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from compiler.candidate import Candidate, Skipped
from compiler.choose import Choice
from compiler.measure import Measure, Measured
from compiler.placement.ledger import Ledger
from compiler.placement.place import is_simulated
from compiler.placement.rknn import Simulator, Way, compile_for_rknn
from compiler.plan import BY_NPU, Effort, Plan
from compiler.quantize.calibration import Calibration
from compiler.search import Found, Scope
from compiler.stage import Stage
from edge.environments import RKNN
from edge.errors import BadModelError
from edge.manifest import Variant
from edge.runtimes import Session, open_model
from edge.runtimes.tensors import as_input
from edge.target import Target

SIMULATOR = f"{RKNN.title}'s simulator, not a chip"
_WAYS: Mapping[str, Way] = {"minmax": "normal", "mse": "mmse"}
_PLANS: Mapping[Effort, tuple[Plan, ...]] = {
    "quick": (Plan("rknn", "int8"),),
    "normal": (Plan("rknn", "int8"), Plan("rknn", "float16")),
    "thorough": (Plan("rknn", "int8"), Plan("rknn", "float16"), Plan("rknn", "int8", ranges="mse")),
}


class SimulatedSession:
    """One model in the simulator, which this does not own. See `edge.runtimes.Session`."""

    def __init__(self, simulator: Simulator, variant: Variant) -> None:
        self.variant = variant
        self._simulator = simulator
        self._input: NDArray[np.float32] = np.zeros(variant.input.shape, np.float32)
        self._outputs = [np.zeros(spec.shape, np.float32) for spec in variant.outputs]

    def set_input(self, x: NDArray[np.generic]) -> None:
        """Copy `x` into the input."""
        np.copyto(self._input, as_input(x, self.variant.input))

    def input_buffer(self) -> NDArray[np.generic]:
        """The input itself."""
        return self._input

    def invoke(self) -> None:
        """Simulate."""
        found = self._simulator.run(self._input, sum(one.size for one in self._outputs))
        ends = np.cumsum([one.size for one in self._outputs])[:-1]
        for buffer, values in zip(self._outputs, np.split(found, ends), strict=True):
            buffer[...] = values.reshape(buffer.shape)

    def reset(self) -> None:
        """Do nothing: what the toolkit compiles has no state (`compiler.checks.check_memory`)."""

    def output(self, index: int = 0) -> NDArray[np.float32]:
        """One output."""
        return self._outputs[index]

    def close(self) -> None:
        """Do nothing: the simulator is asked again."""


class Simulators:
    """Everything that the toolkit compiled in one compile. Leaving the context ends its programs."""

    def __init__(self) -> None:
        self._running: dict[str, Simulator] = {}
        self._stack = ExitStack()

    def add(self, simulator: Simulator) -> str:
        """Take a simulator over; returns the sha256 of its file, by which it is known from now on."""
        digest = hashlib.sha256(simulator.content).hexdigest()
        self._stack.enter_context(simulator)
        self._running[digest] = simulator
        return digest

    def open(self, data: bytes, variant: Variant) -> Session:
        """Open a file of ours in the simulator, any other on its runtime, as `edge.runtimes.open_model` does."""
        simulator = self._running.get(variant.sha256)
        return open_model(data, variant) if simulator is None else SimulatedSession(simulator, variant)

    @property
    def ledgers(self) -> dict[str, Ledger]:
        """Where the layers of each file run, by its sha256."""
        return {digest: one.ledger for digest, one in self._running.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()


def npu_plans(scope: Scope) -> tuple[Plan, ...]:
    """Return what the toolkit shall make: a recipe's plans, or what the effort says."""
    return tuple(plan for plan in scope.plans if plan.runtime == "rknn") or _PLANS[scope.effort]


def for_cpu(scope: Scope) -> Scope:
    """Return the scope without what an NPU's compiler makes."""
    return replace(scope, plans=tuple(plan for plan in scope.plans if plan.runtime not in BY_NPU))


def add_npu(
    found: Found,
    simulators: Simulators,
    target: Target,
    *,
    scope: Scope,
    calibration: Calibration,
    measure: Measure,
    progress: Callable[[str], None],
    stage: Stage,
) -> Found:
    """Compile the float ONNX file among the candidates for the target's NPU, and measure what comes out.

    Nothing is added for a CPU, nor for an NPU whose file is made of the candidate that is chosen (`settle`).

    Raises: BadModelError if there is no float ONNX file, or nothing of it could be compiled; MissingExtraError.
    """
    if not is_simulated(target):
        return found
    with stage(f"compiling with {target.npu_compiler}", None):
        made, skipped = _compile_all(float_onnx(found), simulators, target, scope, calibration, progress)
    measured = tuple(_labelled(one) for one in measure(made, simulators.open))
    return Found((*measured, *found.measured), (*skipped, *found.skipped))


def _compile_all(
    source: Candidate,
    simulators: Simulators,
    target: Target,
    scope: Scope,
    calibration: Calibration,
    progress: Callable[[str], None],
) -> tuple[list[Candidate], list[Skipped]]:
    """Make every plan's file; raises BadModelError if none could be made."""
    made: list[Candidate] = []
    skipped: list[Skipped] = []
    failure: BadModelError | None = None
    for plan in npu_plans(scope):
        way: Way = "float16" if plan.precision == "float16" else _WAYS[plan.ranges]
        try:
            simulator = compile_for_rknn(source.data, target, calibration=calibration(), way=way, progress=progress)
        except BadModelError as exc:
            failure = failure or exc
            skipped.append(Skipped(plan.runtime, plan.precision, exc.problem))
            continue
        made.append(_candidate(source, simulators.add(simulator), simulator.content, plan, target))
    if not made and failure is not None:
        raise failure
    return made, skipped


def float_onnx(found: Found) -> Candidate:
    """Find the file that the toolkit starts from.

    Raises: BadModelError, with the reason why it could not be built.
    """
    for one in found.measured:
        if (one.candidate.runtime, one.candidate.dtype) == ("onnxruntime", "float32"):
            return one.candidate
    why = next((one.reason for one in found.skipped if one.runtime == "onnxruntime"), "the source does not become ONNX")
    raise BadModelError(
        f"{RKNN.tool} starts from a float ONNX file, and there is none: {why}",
        remedy="give a torch network, a float .onnx, or a float .tflite with --onnx-too",
    )


def hold_npu(measured: Sequence[Measured], choice: Choice, target: Target) -> None:
    """Hold that what was chosen runs on the NPU.

    Raises: BadModelError with what speaks against each file for it.
    """
    if measured[choice.main].candidate.runtime != "rknn":
        pairs = zip((one.candidate for one in measured), choice.reasons, strict=True)
        reasons = [
            f"{one.dtype} {reason.removeprefix('not taken: ')}" for one, reason in pairs if one.runtime == "rknn"
        ]
        raise BadModelError(
            f"nothing for the NPU of {target.name} is good enough: {'; '.join(reasons)}",
            remedy="give better calibration data or allow more with --max-drop; a bundle for its CPU alone is made "
            "under the name of a CPU target",
        )


def _candidate(source: Candidate, digest: str, content: bytes, plan: Plan, target: Target) -> Candidate:
    suffix = "" if plan.ranges == "minmax" else f"-{plan.ranges}"
    variant = msgspec.structs.replace(
        source.variant,
        runtime="rknn",
        dtype=plan.precision,
        file=f"model-{plan.precision}{suffix}-{target.npu}.rknn",
        sha256=digest,
        size_bytes=len(content),
    )
    note = f"compiled by {RKNN.title}, measured in its simulator"
    return Candidate("rknn", plan.precision, content, variant, note, plan)


def _labelled(one: Measured) -> Measured:
    """Say that its time is the simulator's, which tells nothing of the chip's."""
    return replace(one, timing=replace(one.timing, core=SIMULATOR, simulated=True))
