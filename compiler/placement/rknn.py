"""RK3588: rknn-toolkit2, called as a program in an environment of its own, makes the .rknn and simulates it.

The simulator stands in for the chip: accuracy and golden outputs are what it computes. It needs the network that it
has just built, and cannot open an .rknn file again; so the program that compiled a file lives on to simulate it.
"""

import os
import platform
import selectors
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from compiler.outside import call, cannot_start, last_line, plain_environment
from compiler.own_environment import make_environment
from compiler.placement.rknn_report import find_failure, read_layers
from edge.environments import RKNN
from edge.errors import BadModelError, TargetUnsupportedError
from edge.target import Target

Way = Literal["normal", "mmse", "float16"]
"""The toolkit's own names: ranges from minima and maxima, or with the least squared error; or nothing quantized."""
MOST_OPSET = 19
"""rknn-toolkit2 2.5.0 says of 20: "Unsupport onnx opset 20, need <= 19!"."""
MOST_IR_VERSION = 9
"""What came with opset 19."""
SCRIPT = Path(__file__).with_name("rknn_script.py")
TIMEOUT_S = 1800
"""For compiling, and then for one sample; mmse took 57 s for ResNet-20 where normal took 2."""
REMEDY = "export the network for ONNX opset 19 with operators that the RK3588 has, or choose a CPU target"


class Simulator:
    """A network as the RK3588 runs it: its file, where its layers run, and who simulates it. Close it after use."""

    def __init__(
        self, process: subprocess.Popen[bytes], answers: int, folder: Path, *, target: str, quantized: bool
    ) -> None:
        """Wait until the program has compiled the file; raises `BadModelError` with what it said."""
        self._process, self._answers, self._folder = process, answers, folder
        try:
            self._read(1)
            self.content = (folder / "model.rknn").read_bytes()
            self.ledger = read_layers(self._said(), target, quantized=quantized)
            _raise_failure(find_failure(self._said()))
        except BaseException:
            self.close()
            raise

    def run(self, x: NDArray[np.float32], outputs: int) -> NDArray[np.float32]:
        """Simulate one input, of the model's own shape, and return the `outputs` numbers of all outputs, in order.

        Raises: BadModelError; ValueError after `close`.
        """
        if self._process.stdin is None or self._answers < 0:
            raise ValueError("the simulator is closed")
        try:
            self._process.stdin.write(np.ascontiguousarray(x, np.float32).tobytes())
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it ended: reading says why
        return np.frombuffer(self._read(4 * outputs), np.float32)

    def close(self) -> None:
        """End the program and remove its folder. Calling it twice is harmless."""
        self._process.kill()  # it keeps nothing that would have to be put away
        self._process.communicate()
        if self._answers >= 0:
            os.close(self._answers)
            self._answers = -1
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _read(self, size: int) -> bytes:
        """Read exactly so many bytes of its answers."""
        found = b""
        with selectors.DefaultSelector() as ready:
            ready.register(self._answers, selectors.EVENT_READ)
            while len(found) < size:
                if not ready.select(TIMEOUT_S):
                    raise BadModelError(f"{RKNN.tool} gave no answer within {TIMEOUT_S} s", remedy=REMEDY)
                read = os.read(self._answers, size - len(found))
                if not read:
                    said = self._said()
                    _raise_failure(find_failure(said) or last_line(said) or "it printed nothing")
                found += read
        return found

    def _said(self) -> str:
        return (self._folder / "said.txt").read_text(errors="replace")


def compile_for_rknn(
    content: bytes,
    target: Target,
    *,
    calibration: Iterable[NDArray[np.float32]],
    way: Way = "normal",
    progress: Callable[[str], None],
) -> Simulator:
    """Quantize and compile a float ONNX file; what comes back can simulate it, too.

    Args:
        content: float, one input, fixed shapes; an opset above 19 is lowered.
        target: one with `npu_compiler` rknn-toolkit2.
        calibration: real inputs of the model's own shape, pictures as NCHW; at least one.
        way: how to quantize, if at all.
        progress: is told when the environment has to be made, which takes minutes.

    Raises: TargetUnsupportedError, if the toolkit is not this target's compiler; BadModelError; MissingExtraError.
    """
    if target.npu_compiler != "rknn-toolkit2" or not target.npu:
        problem = f"{target.name} has no NPU that rknn-toolkit2 could compile for"
        raise TargetUnsupportedError(problem, remedy="`edge targets` lists rk3588")
    lowered = lower_opset(content)
    python = make_environment(RKNN, progress)
    folder = Path(tempfile.mkdtemp())
    try:
        (folder / "model.onnx").write_bytes(lowered)
        (folder / "platform.txt").write_text(target.npu)
        (folder / "way.txt").write_text(way)
        shutil.copy(SCRIPT, folder)  # from its own folder it would import our rknn.py as the toolkit
        _save(folder / "calibration", calibration)
        process, answers = _start(python, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Simulator(process, answers, folder, target=target.name, quantized=way != "float16")


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


def _start(python: Path, folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Start the script; returns it and the pipe that it answers by. What it prints goes to said.txt."""
    answers, theirs = os.pipe()
    command = [*_same_addresses(), str(python), str(folder / SCRIPT.name), str(folder), str(theirs)]
    try:
        with (folder / "said.txt").open("wb") as said:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=plain_environment(),
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs],
            )
    except OSError as exc:
        os.close(answers)
        raise cannot_start(RKNN.tool, exc) from exc
    finally:
        os.close(theirs)
    return process, answers


def _raise_failure(failure: str | None) -> None:
    """Believe the lines, not what the toolkit returns."""
    if failure is not None:
        raise BadModelError(f"{RKNN.tool} cannot compile this model: {failure}", remedy=REMEDY)


@cache
def _same_addresses() -> tuple[str, ...]:
    """Start a program at the same addresses each time, where that is allowed: the toolkit writes some to its file."""
    command = ("setarch", platform.machine(), "-R")
    found = shutil.which(command[0])
    return command if found and call([*command, "true"], tool="setarch").code == 0 else ()
