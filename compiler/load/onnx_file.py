"""`.onnx` -> SourceModel."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.load.source import Outputs, SourceModel, guess_layout
from compiler.passes import simplify
from compiler.quiet import quiet
from edge.errors import BadModelError, EdgeError, MissingExtraError

_FIXED = "export it with fixed sizes; only the batch (the first dimension) may stay open"


def load_onnx(path: Path) -> SourceModel:
    """Open an ONNX file with one float32 input, weights in the file or beside it.

    Raises: BadModelError; MissingExtraError.
    """
    proto, sha256 = _read(path)
    shape = _input_shape(proto, path.name)
    try:
        payload = simplify(proto.SerializeToString(deterministic=True))
    except EdgeError:
        raise
    except Exception as exc:  # the rewriter raises many types for graphs that break ONNX's rules
        problem = f"{path.name} breaks the rules of ONNX: {_first_line(exc)}"
        raise BadModelError(problem, remedy="check it with onnx.checker, or export it anew") from exc
    every = onnx_reference(payload, path.name)
    return SourceModel(
        kind="onnx",
        name=path.stem,
        input_shape=shape,
        input_dtype="float32",
        outputs=every(np.zeros(shape, np.float32))[0].size,
        sha256=sha256,
        payload=payload,
        reference=lambda x: every(x)[0].reshape(-1),
        every=every,
        layout=guess_layout(shape),
        quantized=any(node.op_type in {"DequantizeLinear", "QLinearConv"} for node in proto.graph.node),
    )


def onnx_reference(content: bytes, name: str) -> Callable[[NDArray[np.float32]], Outputs]:
    """Open with ONNX Runtime and return the function x -> all outputs.

    Raises: BadModelError naming the operator and node that cannot run.
    """
    with quiet():
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
    try:
        with quiet():
            session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            feed = session.get_inputs()[0]
            session.run(None, {feed.name: np.zeros(feed.shape, np.float32)})
    except Exception as exc:  # ONNX Runtime's own exception types have no common base
        raise _cannot_run(content, name, exc) from exc

    def run(x: NDArray[np.float32]) -> Outputs:
        batch = np.ascontiguousarray(x, np.float32).reshape(feed.shape)
        return tuple(np.asarray(output, np.float32) for output in session.run(None, {feed.name: batch}))

    return run


def _read(path: Path) -> tuple[Any, str]:
    """Parse the file and what lies beside it; hash the content of all of them."""
    try:
        import onnx
    except ImportError as exc:
        raise MissingExtraError("onnx is not installed", remedy="pip install 'edgewright[compiler]'") from exc
    digest = hashlib.sha256(path.read_bytes())
    try:
        with quiet():
            proto = onnx.load(path, load_external_data=False)
            for name in _external_files(proto):
                digest.update((path.parent / name).read_bytes())
            onnx.load_external_data_for_model(proto, str(path.parent))
            onnx.checker.check_model(proto)
    except FileNotFoundError as exc:
        problem = f"{path.name} keeps its weights in a file beside it that is not there: {exc.filename}"
        raise BadModelError(problem, remedy="copy that file next to the model") from exc
    except Exception as exc:  # protobuf, onnx.checker and the C++ parser each raise their own
        problem = f"{path.name} is not an ONNX model: {_first_line(exc)}"
        raise BadModelError(problem, remedy="export it anew; onnx.checker.check_model must accept it") from exc
    return proto, digest.hexdigest()


def files_of(path: Path) -> list[Path]:
    """List the files that an ONNX file keeps its weights in; none if it cannot be read."""
    import onnx

    try:
        with quiet():
            names = _external_files(onnx.load(path, load_external_data=False))
    except Exception:  # noqa: BLE001 - loading says what is wrong with it; each of three parsers raises its own
        return []
    return [path.parent / name for name in names]


def _external_files(proto: Any) -> list[str]:  # noqa: ANN401  an onnx.ModelProto
    entries = (entry for tensor in proto.graph.initializer for entry in tensor.external_data)
    return sorted({entry.value for entry in entries if entry.key == "location"})


def _input_shape(proto: Any, name: str) -> tuple[int, ...]:  # noqa: ANN401  an onnx.ModelProto
    """Return the shape of the one real input, batch 1.

    Raises: BadModelError.
    """
    import onnx

    weights = {tensor.name for tensor in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in weights]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        problem = f"{name} has {len(inputs)} inputs ({names}); this release compiles models with one"
        raise BadModelError(problem, remedy="join the inputs into one tensor before exporting")
    tensor = inputs[0].type.tensor_type
    if tensor.elem_type != onnx.TensorProto.FLOAT:
        kind = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
        raise BadModelError(f"the input {inputs[0].name} of {name} is {kind}", remedy="export it with a float32 input")
    dims = list(tensor.shape.dim)
    if len(dims) < 2:
        raise BadModelError(f"the input {inputs[0].name} of {name} has no batch dimension", remedy=_FIXED)
    open_dims = [dim.dim_param or "?" for dim in dims[1:] if dim.dim_value < 1]
    if open_dims:
        problem = f"the input {inputs[0].name} of {name} leaves dimensions open: {', '.join(open_dims)}"
        raise BadModelError(problem, remedy=_FIXED)
    if dims[0].HasField("dim_value") and dims[0].dim_value not in {-1, 1}:
        problem = f"the input {inputs[0].name} of {name} has a fixed batch of {dims[0].dim_value}"
        raise BadModelError(problem, remedy="export it with a batch of 1, or with an open batch")
    return (1, *(dim.dim_value for dim in dims[1:]))


def _cannot_run(content: bytes, name: str, exc: Exception) -> BadModelError:
    """Find the node with an operator that neither ONNX nor ONNX Runtime defines, and name it."""
    import onnx

    for node in onnx.load_model_from_string(content).graph.node:
        known = node.domain in {"com.microsoft"} or onnx.defs.has(node.op_type, node.domain)
        if not known:
            operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            return BadModelError(
                f"{name} uses the operator {operator} (node {node.name}), which no runtime of ours has",
                remedy="replace this layer with standard operators, and export again",
            )
    return BadModelError(f"{name} does not run: {_first_line(exc)}", remedy="try it with onnxruntime on the desk first")


def _first_line(exc: Exception) -> str:
    text = str(exc).strip()
    return f"{type(exc).__name__}: {text.splitlines()[0] if text else 'no message'}"
