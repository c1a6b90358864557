"""Vela, Arm's compiler for Ethos-U: an int8 .tflite in, one with the NPU's commands out.

It is called as the program `vela`, in a folder of its own: `python -m ethosu.vela.vela` exits 0 and does nothing.
"""

import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from compiler.outside import call, last_line
from compiler.placement.from_tflite import read_tflite
from compiler.placement.ledger import Ledger, on_npu
from compiler.placement.tflite_graph import Graph, read_graph
from compiler.placement.vela_report import Estimate, Refusal, read_refusals, read_summary, reason_for
from edge.errors import BadModelError, MissingExtraError, TargetUnsupportedError
from edge.target import Target

CONFIG = "Arm/vela.ini"
"""Ships with Vela; the target's system_config and memory_mode are names in it."""
NPU_OPERATOR = "ethos-u"
"""Vela puts everything that the NPU computes into custom operators of this name."""


@dataclass(frozen=True, slots=True)
class NpuResult:
    """A model as the NPU runs it."""

    content: bytes = field(repr=False)
    ledger: Ledger
    """Of the operators that went in."""
    estimate: Estimate
    tool: str
    """Name and version of the compiler, for the bundle's provenance."""


@dataclass(frozen=True, slots=True)
class _Run:
    """What one call of the program left."""

    content: bytes
    summary: str
    said: str


def compile_for_npu(content: bytes, target: Target) -> NpuResult:
    """Compile an int8 .tflite for an Ethos-U; the same bytes in give the same bytes out.

    Operators that the NPU cannot run stay in the file as they were, for the CPU beside it.

    Raises: TargetUnsupportedError, if Vela is not this target's compiler; BadModelError; MissingExtraError.
    """
    if target.npu_compiler != "vela" or not (target.npu and target.system_config and target.memory_mode):
        problem = f"{target.name} has no Ethos-U that Vela could compile for"
        raise TargetUnsupportedError(problem, remedy="`edge targets` lists the ethos-u ones")
    before = read_tflite(content, target)
    program, tool = find_vela(), vela_tool()
    run = _run(program, content, target)
    left = _left_on_cpu(read_graph(content), read_graph(run.content), read_refusals(run.said))
    return NpuResult(run.content, on_npu(before, left, tool="Vela"), read_summary(run.summary, tool=tool), tool)


def find_vela() -> str:
    """Find the program beside this Python, else on the PATH.

    Raises: MissingExtraError.
    """
    found = shutil.which("vela", path=str(Path(sys.executable).parent)) or shutil.which("vela")
    if found is None:
        raise MissingExtraError("ethos-u-vela is not installed", remedy="pip install 'edgewright[ethos-u]'")
    return found


def vela_tool() -> str:
    """Name the program and its version.

    Raises: MissingExtraError.
    """
    return f"ethos-u-vela {_say([find_vela(), '--version']).strip()}"


def _run(program: str, content: bytes, target: Target) -> _Run:
    """Call Vela in a folder of its own, by relative names: nothing of this machine's paths can get into the file."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "model.tflite").write_bytes(content)
        command = [program, "model.tflite", "--output-dir", "out", "--config", CONFIG]
        command += ["--accelerator-config", str(target.npu), "--system-config", str(target.system_config)]
        command += ["--memory-mode", str(target.memory_mode)]
        said = _say(command, folder=folder)
        made, table = Path(folder, "out", "model_vela.tflite"), sorted(Path(folder, "out").glob("*_summary_*.csv"))
        if not made.exists() or not table:
            problem = f"Vela made no model: {last_line(said) or 'it printed nothing'}"
            raise BadModelError(problem, remedy="give a full-integer .tflite with fixed shapes")
        return _Run(made.read_bytes(), table[0].read_text(encoding="utf-8"), said)


def _say(command: list[str], *, folder: str | None = None) -> str:
    """Run and return what was printed, on both streams."""
    said = call(command, tool="Vela", folder=None if folder is None else Path(folder))
    if said.code != 0:
        problem = f"Vela cannot compile this model: {said.last_line}"
        raise BadModelError(problem, remedy="give a full-integer .tflite with fixed shapes")
    return said.both


def _left_on_cpu(before: Graph, after: Graph, refusals: tuple[Refusal, ...]) -> dict[int, str | None]:
    """Map the operators that are still there after compiling to Vela's reasons.

    The file that will run is the evidence, not what was printed. An operator keeps its kind and its output's name.
    """
    remaining = Counter((op.kind, op.name) for op in after.operators if op.kind != NPU_OPERATOR)
    left: dict[int, str | None] = {}
    for op in before.operators:
        if remaining[op.kind, op.name] > 0:
            remaining[op.kind, op.name] -= 1
            left[op.index] = reason_for(refusals, op.kind, op.name)
    strangers = [f"{kind} {name}" for (kind, name), count in remaining.items() if count > 0]
    if strangers:
        problem = f"Vela put operators on the CPU that the model does not have: {', '.join(strangers)}"
        raise BadModelError(problem, remedy="report this model: the ledger would be wrong")
    return left
