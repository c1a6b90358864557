"""`python peer_onnx2tf.py FLOAT CALIBRATE SETTING OUT`: onnx2tf, in an environment of its own with Python 3.12.

default: -oiqt, full-integer int8 per channel. best: -qt per-tensor, the other type that it offers. Calibration data go
in with channels last, as it turns every input of three or four dimensions, with mean 0 and deviation 1, since they are
normalised already.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx


def main(source: str, calibrate: str, setting: str, out: str) -> None:
    """Convert and quantize."""
    name, x = onnx.load(source).graph.input[0].name, np.load(calibrate)
    x = np.moveaxis(x, 1, -1) if x.ndim > 2 else x
    wrapped = ["[" * x.ndim + number + "]" * x.ndim for number in "01"]
    with tempfile.TemporaryDirectory() as scratch:
        data, made = Path(scratch) / "x.npy", Path(scratch) / "made"
        np.save(data, x)
        words = [str(Path(sys.executable).with_name("onnx2tf")), "-i", source, "-o", str(made), "-oiqt", "-n"]
        words += ["-cind", name, str(data), *wrapped] + ([] if setting == "default" else ["-qt", "per-tensor"])
        done = subprocess.run(words, check=False, cwd=scratch, capture_output=True, text=True)
        files = list(made.glob("*_full_integer_quant.tflite"))
        if not files:  # where it fails behind that, at the 16-bit files that it makes as well, this one stands
            raise SystemExit(first_error(done.stdout + done.stderr))
        shutil.copy(files[0], out)


def first_error(log: str) -> str:
    """The cause: later errors only wrap it."""
    found = re.findall(r"^(?:\w+\.)*\w+Error: .*$", log, re.MULTILINE)
    return found[0] if found else "RuntimeError: no full-integer file was written"


if __name__ == "__main__":
    main(*sys.argv[1:5])
