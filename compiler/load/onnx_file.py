"""`.onnx` -> SourceModel."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from compiler.load.onnx_ends import arrange_ends
from compiler.load.source import Floats, Outputs, Reference, SourceModel, guess_layout
from compiler.load.state import StatePair
from compiler.passes import simplify
from compiler.quiet import quiet
from edge.errors import BadModelError, EdgeError, MissingExtraError


def load_onnx(path: Path, states: Sequence[StatePair] = ()) -> SourceModel:
    """Open an ONNX file with one float32 input, or more where they are states; weights in the file or beside it.

    Raises: BadModelError; MissingExtraError; BadArgumentError for a state that it does not have.
    """
    proto, sha256 = _read(path)
    shape, *state_shapes = arrange_ends(proto, states, path.name)
    try:
        payload = simplify(proto.SerializeToString(deterministic=True))
    except EdgeError:
        raise
    except Exception as exc:  # the rewriter raises many types for graphs that break ONNX's rules
        problem = f"{path.name} breaks the rules of ONNX: {_first_line(exc)}"
        raise BadModelError(problem, remedy="check it with onnx.checker, or export it anew") from exc
    reference = onnx_reference(payload, path.name)
    start = tuple(np.zeros(one, np.float32) for one in state_shapes)
    return SourceModel(
        kind="onnx",
        name=path.stem,
        input_shape=shape,
        input_dtype="float32",
        outputs=reference(np.zeros(shape, np.float32), start)[0][0].size,
        sha256=sha256,
        payload=payload,
        reference=reference,
        layout=guess_layout(shape),
        state=tuple(state_shapes),
        pairs=tuple(states),
        quantized=any(node.op_type in {"DequantizeLinear", "QLinearConv"} for node in proto.graph.node),
    )


def onnx_reference(content: bytes, name: str) -> Reference:
    """Open with ONNX Runtime and return the function (x, states) -> (all answers, new states).

    Raises: BadModelError naming the operator and node that cannot run.
    """
    with quiet():
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
    try:
        with quiet():
            session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            feeds = session.get_inputs()
            session.run(None, {feed.name: np.zeros(feed.shape, np.float32) for feed in feeds})
    except Exception as exc:  # ONNX Runtime's own exception types have no common base
        raise _cannot_run(content, name, exc) from exc

    def run(x: Floats, states: Outputs) -> tuple[Outputs, Outputs]:
        batch = np.ascontiguousarray(x, np.float32).reshape(feeds[0].shape)
        given = dict(zip((feed.name for feed in feeds), (batch, *states), strict=True))
        found = tuple(np.asarray(output, np.float32) for output in session.run(None, given))
        answers = len(found) - len(states)
        return found[:answers], found[answers:]

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
