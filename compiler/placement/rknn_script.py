"""Runs inside the environment that has rknn-toolkit2: ONNX in, .rknn and what the toolkit's simulator computes out.

Nothing of this project can be imported there. Usage: python rknn_script.py FOLDER, which holds

- model.onnx; calibration/*.npy, one input each; samples/*.npy, inputs to simulate, all as the model takes them (NCHW);
- platform.txt, the chip's name;

and gets model.rknn, outputs.npy ([samples, outputs], float32) and, last of all, done.txt.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rknn.api import RKNN


def main(folder: Path) -> None:
    """Load, quantize, export, simulate; a step that fails ends the process, whatever the toolkit returns."""
    calibration = folder / "calibration.txt"
    calibration.write_text("".join(f"{path}\n" for path in sorted(folder.glob("calibration/*.npy"))))
    rknn = RKNN(verbose=True)
    _must(rknn.config(target_platform=(folder / "platform.txt").read_text().strip()), "config")
    _must(rknn.load_onnx(model=str(folder / "model.onnx")), "load_onnx")
    _must(rknn.build(do_quantization=True, dataset=str(calibration)), "build")
    _must(rknn.export_rknn(str(folder / "model.rknn")), "export_rknn")
    _must(rknn.init_runtime(), "init_runtime")
    found = [_simulate(rknn, np.load(path)) for path in sorted(folder.glob("samples/*.npy"))]
    np.save(folder / "outputs.npy", np.stack(found))
    (folder / "done.txt").touch()


def _simulate(rknn: RKNN, sample: NDArray[np.float32]) -> NDArray[np.float32]:
    outputs = rknn.inference(inputs=[sample], data_format="nchw" if sample.ndim == 4 else None)
    if not outputs:
        sys.exit("inference failed")
    return np.asarray(outputs[0], np.float32).ravel()


def _must(returned: object, step: str) -> None:
    if returned not in {None, 0}:
        sys.exit(f"{step} failed: it returned {returned}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
