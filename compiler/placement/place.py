"""An int8 .tflite -> what an NPU runs: rewrite the layout, let the NPU's compiler try, keep the best.

**What the NPU computes is what the .tflite before its compiler computes**: Vela is tested by comparing its operators
bit by bit with TFLite's reference kernels. A file with an NPU's commands cannot run where there is no such NPU, so
`Placed.reference` stands in for it: accuracy is measured on it, and the golden outputs are its outputs, with the
tolerance of any other int8 kernel (LiteRT's fast kernels differ from the reference ones by one step here and there).
Sources: ethos-u-vela's README, "TensorFlow Support"; tensorflow issue 99072 (one step in 0.16 % of the values).
"""

import hashlib
from dataclasses import dataclass, field, replace

import msgspec

from compiler.placement.layout import channels_last
from compiler.placement.ledger import Ledger
from compiler.placement.tflite_graph import read_graph
from compiler.placement.vela import NpuResult, compile_for_npu, vela_tool
from compiler.placement.vela_report import Estimate
from edge.environments import RKNN
from edge.errors import BadModelError
from edge.manifest import RuntimeName, Variant
from edge.target import Target

VARIANT_FILE = "model-int8-ethos-u.tflite"
CPU_RUNTIMES: tuple[RuntimeName, ...] = ("litert", "onnxruntime")


@dataclass(frozen=True, slots=True)
class Placed:
    """A model for the CPU that stands in, the same for the NPU, and where each operator went."""

    reference: bytes = field(repr=False)
    """int8 .tflite: run this on LiteRT for accuracy and golden outputs."""
    content: bytes = field(repr=False)
    """What the device gets."""
    ledger: Ledger
    estimate: Estimate
    changes: tuple[str, ...]
    """What was rewritten before the NPU's compiler, for people."""
    input_moved: bool
    """The input came as [1, channels, height, width] and is now [1, height, width, channels], in both files."""
    tool: str


def place(content: bytes, target: Target, *, move_input: bool) -> Placed:
    """Compile an int8 .tflite for the target's NPU in each allowed layout, and keep the one that suits it best.

    Best is: the fewest operators left to the CPU, then the fewest cycles by the compiler's own estimate, then the
    fewest rewrites. Vela takes a third of a second for MobileNetV2, so trying beats a rule: without the input's
    transpose it estimates 6 % fewer cycles for an Ethos-U85-256, and 24 % more for a U65-256.

    Args:
        content: full-integer, as a plan with precision int8 makes it.
        target: one with `npu_compiler` vela.
        move_input: whether the input may become NHWC. A picture's contract can say so, a tensor's cannot.

    Raises: BadModelError, if nothing runs on the NPU or it does not fit; TargetUnsupportedError; MissingExtraError.
    """
    read_graph(content)  # refuses what is broken before anything is rewritten
    tried = [_compile(content, target)]
    for moves in (False, True) if move_input else (False,):
        rewritten = channels_last(content, move_input=moves)
        if rewritten.changes and all(one.changes != rewritten.changes for one in tried):
            made = _compile(rewritten.content, target)
            tried.append(replace(made, changes=rewritten.changes, input_moved=rewritten.input_moved))
    best = min(tried, key=_cost)
    check_runs(best, target)
    return best


def is_simulated(target: Target) -> bool:
    """Whether what an NPU's compiler makes can be measured here, so that its files are candidates like any other.

    An Ethos-U's cannot: its file is made of the int8 file that was chosen, which stands in for it.
    """
    return target.npu_compiler == "rknn-toolkit2"


def stand_in(target: Target) -> Target:
    """Return the target as its candidates are searched for here: of an NPU without the NPU, of a CPU as it is.

    For an Ethos-U the int8 files on LiteRT stand in for it. The RK3588's toolkit makes its own of the float file, and
    the float files are what its CPU can run.
    """
    if target.npu_compiler is None:
        return target
    if is_simulated(target):
        return msgspec.structs.replace(target, runtimes=CPU_RUNTIMES, dtypes=("float32",))
    return msgspec.structs.replace(target, runtimes=("litert",))


def chooses_from(target: Target) -> Target:
    """Return the target as its candidates are chosen: with the NPU's runtime where its files can be measured here."""
    return target if is_simulated(target) else stand_in(target)


def npu_tool(target: Target) -> str | None:
    """Name the NPU's compiler and its version; None where the CPU runs the model.

    Raises: MissingExtraError.
    """
    if target.npu_compiler is None:
        return None
    return RKNN.title if is_simulated(target) else vela_tool()


def npu_variant(placed: Placed) -> Variant:
    """Say of the NPU's file what a manifest must; input and outputs are those of the reference.

    Raises: BadModelError.
    """
    from compiler.export.tflite_format import describe

    ends = describe(placed.reference)
    return Variant(
        runtime="ethos-u",
        dtype="int8",
        file=VARIANT_FILE,
        sha256=hashlib.sha256(placed.content).hexdigest(),
        size_bytes=len(placed.content),
        input=ends.input,
        outputs=ends.outputs,
        state=ends.state,
    )


def _compile(content: bytes, target: Target) -> Placed:
    made: NpuResult = compile_for_npu(content, target)
    return Placed(content, made.content, made.ledger, made.estimate, (), False, made.tool)


def _cost(placed: Placed) -> tuple[int, int, int]:
    left = sum(row.device == "cpu" for row in placed.ledger.rows)
    return left, placed.estimate.cycles, len(placed.changes)


def check_runs(placed: Placed, target: Target) -> None:
    """Hold that the NPU has something to do, and memory for it.

    Raises: BadModelError.
    """
    if placed.ledger.npu_share == 0:
        why = placed.ledger.rows[0].reason if placed.ledger.rows else "it has no operators"
        problem = f"no operator of this model runs on {target.npu}: {why}"
        raise BadModelError(problem, remedy="quantize it to full int8, or choose a CPU target")
    needed_kib = placed.estimate.sram_kib + placed.estimate.dram_kib
    if needed_kib > target.ram_mib * 1024:
        problem = f"this model needs {needed_kib:.0f} KiB beside the flash, {target.name} leaves {target.ram_mib} MiB"
        raise BadModelError(problem, remedy="give a smaller network, or smaller pictures")
