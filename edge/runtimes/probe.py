"""Does a runtime really work here? It must compute a tiny model, y = relu(x), and get it right.

Importing proves nothing: tflite-runtime 2.14 imports under numpy 2, and fails at the first interpreter. Of Rockchip's
runtime we can only look for the parts; the bundle's golden samples prove the rest.
"""

import base64
import ctypes
import importlib.util
from functools import cache

import numpy as np

from edge.manifest import RuntimeName, TensorSpec, Variant

_TFLITE = base64.b64decode(
    "GAAAAFRGTDMAAA4AFAAQAAwACAAAAAQADgAAABAAAAAcAAAA2AAAAAMAAAABAAAACAAAAAQABAAEAAAAAQAAABAAAAAMABQAEAAMAAgABAAMAAAA"
    "EAAAADwAAABAAAAARAAAAAEAAAAQAAAAAAAKAAwAAAAIAAQACgAAAAgAAAAMAAAAAQAAAAEAAAABAAAAAAAAAAEAAAABAAAAAQAAAAAAAAACAAAA"
    "NAAAAAQAAADg////CAAAAAwAAAABAAAAeQAAAAIAAAABAAAAAgAAAAwADAAIAAAAAAAEAAwAAAAIAAAADAAAAAEAAAB4AAAAAgAAAAEAAAACAAAA"
    "AQAAABAAAAAMAAwACwAAAAAABAAMAAAAEwAAAAAAABM="
)
"""One operator, RELU, from x[1, 2] to y[1, 2]; made with LiteRT's own schema classes."""
_ONNX = (
    b'\x08\x08:;\n\x0c\n\x01x\x12\x01y"\x04Relu\x12\x01gZ\x13\n\x01x\x12\x0e\n\x0c\x08\x01\x12\x08\n\x02\x08\x01\n\x02\x08\x02'
    b"b\x13\n\x01y\x12\x0e\n\x0c\x08\x01\x12\x08\n\x02\x08\x01\n\x02\x08\x02B\x04\n\x00\x10\r"
)
"""The same in ONNX: IR version 8, opset 13."""


def tiny_model(runtime: RuntimeName) -> tuple[bytes, Variant]:
    """The function relu(x) on two floats, for one runtime."""
    data = _ONNX if runtime == "onnxruntime" else _TFLITE
    x, y = (TensorSpec(name=name, shape=(1, 2), dtype="float32") for name in "xy")
    variant = Variant(
        runtime=runtime, dtype="float32", file="relu", sha256="0" * 64, size_bytes=len(data), input=x, outputs=(y,)
    )
    return data, variant


@cache
def works(runtime: RuntimeName) -> str | None:
    """Try a runtime: None if it works, else why not, in a few words."""
    try:
        if runtime == "ethos-u" and not _has_ethos_u():
            return "the Ethos-U delegate is not installed"
        if runtime == "rknn":  # an NPU's file is made for one chip: there is no tiny one for all of them
            return _lacks_rknn()
        found = _relu(runtime)
    except ModuleNotFoundError as exc:
        return f"{exc.name} is not installed"
    except Exception as exc:  # noqa: BLE001 - whatever a half-installed native library raises is the answer
        return f"{type(exc).__name__}: {str(exc).splitlines()[0] if str(exc) else ''}"
    return None if found == [0.0, 2.0] else f"it computed relu(-1, 2) = {found}"


def _has_ethos_u() -> bool:
    """Whether the system's loader finds the NPU's delegate: an untried library may print, or end the process."""
    from edge.runtimes.tflite import ETHOS_U_DELEGATE

    try:
        ctypes.CDLL(ETHOS_U_DELEGATE)
    except OSError:
        return False
    return True


def _lacks_rknn() -> str | None:
    """Say what is missing for Rockchip's NPU, if anything: the package, the system's library, or the chip."""
    from edge.runtimes.rknn import LIBRARY, has_rockchip_npu

    if importlib.util.find_spec("rknnlite") is None:
        return "rknnlite is not installed"
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return f"{LIBRARY} is not installed"
    return None if has_rockchip_npu() else "this machine has no Rockchip NPU"


def _relu(runtime: RuntimeName) -> list[float]:
    data, variant = tiny_model(runtime)
    if runtime == "onnxruntime":
        from edge.runtimes.ort import OrtSession

        ort = OrtSession(data, variant)
        ort.set_input(np.array([[-1, 2]], np.float32))
        ort.invoke()
        return [float(y) for y in ort.output().ravel()]
    from edge.runtimes.tflite import TfliteSession

    tflite = TfliteSession(data, variant)
    tflite.set_input(np.array([[-1, 2]], np.float32))
    tflite.invoke()
    return [float(y) for y in tflite.output().ravel()]
