"""`.tflite` -> SourceModel."""

import re
from typing import Any, cast

import numpy as np

from compiler.load.source import Floats, Outputs, SourceModel, guess_layout
from compiler.load.tflite_check import check_tflite
from compiler.load.tflite_weights import expand_weights
from compiler.quiet import quiet
from edge.errors import BadModelError, MissingExtraError
from edge.manifest import Dtype, TensorSpec
from edge.quantization import dequantize, quantize

_DTYPES: dict[type, Dtype] = {np.float32: "float32", np.int8: "int8", np.uint8: "uint8"}
_INTEGER_OPS = {"int8", "uint8", "int16"}


def load_tflite(content: bytes, *, name: str, sha256: str) -> SourceModel:
    """Open a TFLite file with one input, float or already quantized.

    Raises: BadModelError; MissingExtraError.
    """
    open_interpreter(content, f"{name}.tflite")  # refuses what is broken before anything is rewritten
    check_tflite(content, f"{name}.tflite")
    content, expanded = expand_weights(content)
    interpreter = open_interpreter(content, f"{name}.tflite")
    spec = input_spec(interpreter, f"{name}.tflite")

    def reference(x: Floats, _none: Outputs) -> tuple[Outputs, Outputs]:
        batch = quantize(np.asarray(x, np.float32).reshape(spec.shape), spec)
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], batch)
        _invoke(interpreter, name)
        details = interpreter.get_output_details()
        return tuple(dequantize(interpreter.get_tensor(one["index"]), tensor_spec(one)) for one in details), ()

    declared = [tensor_spec(detail).shape for detail in interpreter.get_output_details()]
    outputs = reference(np.zeros(spec.shape, np.float32), ())[0][0].size
    _hold_shapes(interpreter, declared, name)
    return SourceModel(
        kind="tflite",
        name=name,
        input_shape=spec.shape,
        input_dtype=spec.dtype,
        outputs=outputs,
        sha256=sha256,
        payload=content,
        reference=reference,
        layout=guess_layout(spec.shape),
        quantized=_is_quantized(interpreter),
        note=f"{expanded} weights that were kept in 8 or 16 bits were expanded to float32" if expanded else "",
    )


def _invoke(interpreter: Any, name: str) -> None:  # noqa: ANN401
    """Run once.

    Raises: BadModelError for a file whose operators do not go together.
    """
    try:
        interpreter.invoke()
    except (ValueError, RuntimeError) as exc:
        problem = f"{name}.tflite can be opened, but not run: {_first_line(str(exc))}"
        raise BadModelError(problem, remedy="convert the model anew; the file may be damaged") from exc


def open_interpreter(content: bytes, name: str) -> Any:  # noqa: ANN401  LiteRT ships no types
    """Return an allocated LiteRT interpreter.

    Raises: BadModelError naming the operator that it does not have; MissingExtraError.
    """
    try:
        with quiet():
            from ai_edge_litert.interpreter import Interpreter
    except ImportError as exc:
        raise MissingExtraError("ai-edge-litert is not installed", remedy="pip install 'edgewright[tflite]'") from exc
    if content[4:8] != b"TFL3":
        raise BadModelError(f"{name} is not a TFLite model", remedy="convert the model anew; the file may be truncated")
    try:
        with quiet():
            interpreter = Interpreter(model_content=content, num_threads=1)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as exc:
        raise _cannot_open(name, str(exc)) from exc
    return interpreter


def input_spec(interpreter: Any, name: str) -> TensorSpec:  # noqa: ANN401
    """Describe the one input.

    Raises: BadModelError.
    """
    details = interpreter.get_input_details()
    if len(details) != 1:
        names = ", ".join(detail["name"] for detail in details)
        problem = f"{name} has {len(details)} inputs ({names}); this release compiles models with one"
        raise BadModelError(problem, remedy="join the inputs into one tensor before converting")
    if details[0]["dtype"] not in _DTYPES:
        kind = np.dtype(details[0]["dtype"]).name
        raise BadModelError(f"the input of {name} is {kind}", remedy="convert it with a float32, int8 or uint8 input")
    open_sizes = [i for i, size in enumerate(details[0]["shape_signature"]) if i > 0 and size < 1]
    if open_sizes or details[0]["shape"][0] != 1:
        shape = [int(size) for size in details[0]["shape_signature"]]
        problem = f"the input of {name} has the shape {shape} (-1: open)"
        raise BadModelError(problem, remedy="convert it with fixed sizes and a batch of 1")
    return tensor_spec(details[0])


def tensor_spec(detail: dict[str, Any]) -> TensorSpec:
    """Describe one input or output from the interpreter's own details."""
    dtype = _DTYPES.get(detail["dtype"])
    if dtype is None:
        kind = np.dtype(detail["dtype"]).name
        raise BadModelError(f"the tensor {detail['name']} is {kind}", remedy="outputs must be float32, int8 or uint8")
    scale, zero_point = detail["quantization"]
    integer = dtype != "float32"
    if integer and not (0 < scale < np.inf and np.iinfo(dtype).min <= zero_point <= np.iinfo(dtype).max):
        problem = f"the tensor {detail['name']} has the scale {scale:g}, zero point {zero_point}, no {dtype}"
        raise BadModelError(problem, remedy="quantize the model anew; the file may be damaged")
    return TensorSpec(
        name=detail["name"],
        shape=cast(tuple[int, ...], tuple(int(size) for size in detail["shape"])),
        dtype=dtype,
        scale=float(scale) if integer else None,
        zero_point=int(zero_point) if integer else None,
    )


def _hold_shapes(interpreter: Any, declared: list[tuple[int, ...]], name: str) -> None:  # noqa: ANN401
    """Hold that a run left the outputs as they are declared: a device sets its buffers up by that.

    Raises: BadModelError naming the output.
    """
    for detail, before in zip(interpreter.get_output_details(), declared, strict=True):
        after = tuple(int(size) for size in detail["shape"])
        if after != before:
            raise BadModelError(
                f"the output {detail['name']} of {name}.tflite is declared as {list(before)}, and is {list(after)} "
                "when it runs",
                remedy="convert it with fixed sizes, outputs included",
            )


def _is_quantized(interpreter: Any) -> bool:  # noqa: ANN401
    """Weights or activations are int8: a tensor of at least two dimensions has a scale."""
    details = interpreter.get_tensor_details()
    return any(len(one["shape"]) > 1 and np.dtype(one["dtype"]).name in _INTEGER_OPS for one in details)


def _cannot_open(name: str, said: str) -> BadModelError:
    custom = re.search(r"unresolved custom op: (\w+)", said)
    if custom:
        node = re.search(r"Node number (\d+)", said)
        where = f" (node {node[1]})" if node else ""
        problem = f"{name} uses the operator {custom[1]}{where}, which LiteRT does not have"
        return BadModelError(problem, remedy="convert the model with built-in operators only, without SELECT_TF_OPS")
    return BadModelError(
        f"{name} cannot be opened: {_first_line(said)}", remedy="convert the model anew; the file may be truncated"
    )


def _first_line(said: str) -> str:
    return said.strip().splitlines()[0] if said.strip() else "no message"
