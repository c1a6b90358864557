"""What the RK3588's toolkit makes of the float ONNX file, as candidates: measured in its simulator, not on a chip.

They compete with the float model for the CPU like any other candidate, and one of them must win (`hold_npu`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import msgspec

from compiler.candidate import Candidate, Skipped
from compiler.choose import Choice
from compiler.effort import Effort
from compiler.measure import Measure, Measured
from compiler.placement.place import is_simulated
from compiler.placement.rknn import Way, compile_for_rknn
from compiler.placement.simulated import Simulators
from compiler.plan import BY_NPU, Plan
from compiler.quantize.calibration import Calibration
from compiler.search import Found, Scope
from compiler.stage import Stage
from edge.environments import RKNN
from edge.errors import BadModelError
from edge.target import Target

SIMULATOR = f"{RKNN.title}'s simulator, not a chip"
_WAYS: Mapping[str, Way] = {"minmax": "normal", "mse": "mmse"}
_PLANS: Mapping[Effort, tuple[Plan, ...]] = {
    "quick": (Plan("rknn", "int8"),),
    "normal": (Plan("rknn", "int8"), Plan("rknn", "float16")),
    "thorough": (Plan("rknn", "int8"), Plan("rknn", "float16"), Plan("rknn", "int8", ranges="mse")),
}


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
