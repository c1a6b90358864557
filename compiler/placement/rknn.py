"""RK3588: rknn-toolkit2, called as a subprocess in an environment of its own, makes the .rknn and simulates it.

The simulator stands in for the chip: accuracy and golden outputs are what it computes.
"""

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compiler.placement.ledger import Ledger
from compiler.placement.rknn_environment import TOOLKIT, make_environment
from compiler.placement.rknn_report import find_failure, read_layers
from edge.errors import BadModelError, MissingExtraError, TargetUnsupportedError
from edge.target import Target

MOST_OPSET = 19
"""rknn-toolkit2 2.5.0 says of 20: "Unsupport onnx opset 20, need <= 19!"."""
MOST_IR_VERSION = 9
"""What came with opset 19."""
SCRIPT = Path(__file__).with_name("rknn_script.py")
TIMEOUT_S = 1800
REMEDY = "export the network for ONNX opset 19 with operators that the RK3588 has, or choose a CPU target"


@dataclass(frozen=True, slots=True)
class RknnResult:
    """A model as the RK3588 runs it."""

    content: bytes = field(repr=False)
    outputs: NDArray[np.float32] = field(repr=False)
    """[samples, outputs]: what the toolkit's simulator computes of the given samples, the first output flattened."""
    ledger: Ledger
    """Of the chip's own layers."""
    tool: str = TOOLKIT.replace("==", " ")


def compile_for_rknn(
    content: bytes,
    target: Target,
    *,
    calibration: Iterable[NDArray[np.float32]],
    samples: Iterable[NDArray[np.float32]],
    progress: Callable[[str], None],
) -> RknnResult:
    """Quantize and compile a float ONNX file.

    Args:
        content: float, one input, fixed shapes; an opset above 19 is lowered.
        target: one with `npu_compiler` rknn-toolkit2.
        calibration: real inputs of the model's own shape, pictures as NCHW.
        samples: inputs to simulate, of the same shape; at least one.
        progress: is told when the environment has to be made, which takes minutes.

    Raises: TargetUnsupportedError, if the toolkit is not this target's compiler; BadModelError; MissingExtraError.
    """
    if target.npu_compiler != "rknn-toolkit2" or not target.npu:
        problem = f"{target.name} has no NPU that rknn-toolkit2 could compile for"
        raise TargetUnsupportedError(problem, remedy="`edge targets` lists rk3588")
    lowered = lower_opset(content)
    python = make_environment(progress)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model.onnx").write_bytes(lowered)
        (folder / "platform.txt").write_text(target.npu)
        shutil.copy(SCRIPT, folder)  # from its own folder it would import our rknn.py as the toolkit
        for kind, arrays in (("calibration", calibration), ("samples", samples)):
            _save(folder / kind, arrays)
        said = _call(python, folder)
        outputs: NDArray[np.float32] = np.load(folder / "outputs.npy")
        return RknnResult((folder / "model.rknn").read_bytes(), outputs, read_layers(said, target.name))


def lower_opset(content: bytes) -> bytes:
    """Return the model with an opset that the toolkit reads.

    Raises: BadModelError.
    """
    import onnx

    try:
        model = onnx.load_model_from_string(content)
        if max(one.version for one in model.opset_import if one.domain == "") > MOST_OPSET:
            model = onnx.version_converter.convert_version(model, MOST_OPSET)
        model.ir_version = min(model.ir_version, MOST_IR_VERSION)
        lowered: bytes = model.SerializeToString(deterministic=True)
    except Exception as exc:  # protobuf and the converter raise types of their own
        problem = f"this ONNX file cannot be lowered to opset {MOST_OPSET}: {type(exc).__name__}: {exc}"
        raise BadModelError(problem, remedy=REMEDY) from exc
    return lowered


def _save(folder: Path, arrays: Iterable[NDArray[np.float32]]) -> None:
    folder.mkdir()
    for index, array in enumerate(arrays):
        np.save(folder / f"{index:06}.npy", np.ascontiguousarray(array, np.float32))


def _call(python: Path, folder: Path) -> str:
    """Run the script and return what was printed; believe the files and the lines, not the exit code alone."""
    command = [*_same_addresses(), str(python), str(folder / SCRIPT.name), str(folder)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"PYTHONHASHSEED": "0"}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as exc:
        raise BadModelError(f"{TOOLKIT} gave no answer within {TIMEOUT_S} s", remedy=REMEDY) from exc
    except OSError as exc:
        raise MissingExtraError(f"{TOOLKIT} cannot be started: {exc}", remedy=f"remove {python.parents[1]}") from exc
    failure = find_failure(done.stderr) or find_failure(done.stdout)
    if failure is None and (done.returncode != 0 or not (folder / "done.txt").exists()):
        failure = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "it printed nothing")
    if failure is not None:
        raise BadModelError(f"{TOOLKIT} cannot compile this model: {failure}", remedy=REMEDY)
    return done.stdout


@cache
def _same_addresses() -> tuple[str, ...]:
    """Start a program at the same addresses each time, where that is allowed: the toolkit writes some to its file."""
    command = ("setarch", platform.machine(), "-R")
    try:
        allowed = subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return ()
    return command if allowed else ()
