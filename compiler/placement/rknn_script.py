"""Runs inside the environment that has rknn-toolkit2: ONNX in, .rknn out, then the toolkit's simulator on request.

Nothing of this project can be imported there. Usage: python rknn_script.py FOLDER ANSWERS_FD. FOLDER holds

- model.onnx; calibration/*.npy, one input each, as the model takes them (NCHW);
- platform.txt, the chip's name; way.txt: normal, mmse or float16;

and gets model.rknn. Then one byte goes to the pipe ANSWERS_FD. For each input on the standard input (float32, of the
model's own shape, without any header) all outputs follow there, float32, one after the other, without a header too.
"""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rknn.api import RKNN

FLOAT = "float16"


def main(folder: Path, answers: int) -> None:
    """Load, quantize, export, simulate; a step that fails ends the process, whatever the toolkit returns."""
    calibration = folder / "calibration.txt"
    samples = sorted(folder.glob("calibration/*.npy"))
    calibration.write_text("".join(f"{path}\n" for path in samples))
    way = (folder / "way.txt").read_text().strip()
    how = {} if way == FLOAT else {"quantized_algorithm": way}
    rknn = RKNN(verbose=True)
    _must(rknn.config(target_platform=(folder / "platform.txt").read_text().strip(), **how), "config")
    _must(rknn.load_onnx(model=str(folder / "model.onnx")), "load_onnx")
    _must(rknn.build(do_quantization=way != FLOAT, dataset=str(calibration)), "build")
    _must(rknn.export_rknn(str(folder / "model.rknn")), "export_rknn")
    _must(rknn.init_runtime(), "init_runtime")
    sys.stdout.flush()
    os.write(answers, b"!")
    _serve(rknn, np.load(samples[0]).shape, answers)


def _serve(rknn: Any, shape: tuple[int, ...], answers: int) -> None:  # noqa: ANN401  the toolkit ships no types
    """Answer until the other side closes the standard input."""
    size = 4 * int(np.prod(shape))
    with os.fdopen(answers, "wb") as pipe:
        while len(read := sys.stdin.buffer.read(size)) == size:
            pipe.write(_simulate(rknn, np.frombuffer(read, np.float32).reshape(shape)))
            pipe.flush()


def _simulate(rknn: Any, sample: NDArray[np.float32]) -> bytes:  # noqa: ANN401
    outputs = rknn.inference(inputs=[sample], data_format=["nchw"] if sample.ndim == 4 else None)
    if not outputs:
        sys.exit("inference failed")
    return b"".join(np.asarray(output, np.float32).tobytes() for output in outputs)


def _must(returned: object, step: str) -> None:
    if returned not in {None, 0}:
        sys.exit(f"{step} failed: it returned {returned}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
