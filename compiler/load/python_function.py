"""`file.py:function` -> SourceModel: the function returns (nn.Module, example input)."""

import hashlib
import importlib.util
import inspect
import sys
import traceback
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from compiler.load.source import SourceModel
from compiler.load.state import Port, StatePair
from compiler.load.torch_module import from_module, import_torch
from compiler.quiet import stdout_to_stderr
from edge.errors import BadModelError

_POSITIONAL = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}


def load_function(path: Path, function: str, states: Sequence[StatePair] = ()) -> SourceModel:
    """Import `path`, call `function` without arguments, and take the network that it returns.

    Raises: BadModelError, with the line of the user's file where it failed.
    """
    torch = import_torch()
    with stdout_to_stderr(), _siblings_importable(path):
        maker = _find(_import(path), path, function)
        torch.manual_seed(0)  # a network without trained weights is at least the same one every time
        returned = _call(maker, path, function)
    module, examples = _network_and_examples(torch, returned, f"{path.name}:{function}")
    shapes = [tuple(int(size) for size in example.shape) for example in examples]
    inputs = [Port(*one) for one in zip(_input_names(module, len(shapes)), shapes, strict=True)]
    model = from_module(module, inputs, name=path.stem, sha256=_digest(path, module), states=states)
    seen = shapes if states else [model.input_shape]
    return replace(model, behaviour=f"{model.sha256} {_behaviour(module, seen)}")


def _input_names(module: Any, count: int) -> list[str]:  # noqa: ANN401
    """Name the inputs as `forward` does; by number, from 0, where it does not."""
    named = [one.name for one in inspect.signature(module.forward).parameters.values() if one.kind in _POSITIONAL]
    return [*named[:count], *(str(at) for at in range(len(named), count))]


def _import(path: Path) -> ModuleType:
    """Import under a name that depends only on the file's: class names end up in the exported files."""
    name = f"source_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # noqa: S101  a .py ending always has a loader
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up here
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as exc:  # the user's code may raise anything
        raise _their_error(exc, path, f"importing {path.name}") from exc
    return module


def _find(module: ModuleType, path: Path, function: str) -> Callable[[], Any]:
    found = getattr(module, function, None)
    if not callable(found):
        names = sorted(
            name
            for name, value in vars(module).items()
            if callable(value) and not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
        )
        remedy = f"functions and classes there: {', '.join(names) or 'none'}"
        raise BadModelError(f"{path.name} has no function {function}", remedy=remedy)
    maker: Callable[[], Any] = found
    return maker


def _call(maker: Callable[[], Any], path: Path, function: str) -> Any:  # noqa: ANN401  whatever the user returns
    try:
        return maker()
    except (Exception, SystemExit) as exc:  # the user's code may raise anything
        raise _their_error(exc, path, f"{path.name}:{function}") from exc


def _their_error(exc: BaseException, path: Path, doing: str) -> BadModelError:
    """Name the innermost line of the user's own file, or the line that Python could not read."""
    where = ""
    frames = [frame for frame in traceback.extract_tb(exc.__traceback__) if frame.filename == str(path)]
    if isinstance(exc, SyntaxError) and exc.lineno:
        where = f" (line {exc.lineno}: {(exc.text or '').strip()})"
    elif frames:
        where = f" (line {frames[-1].lineno}: {frames[-1].line})"
    problem = f"{doing} failed: {type(exc).__name__}: {exc}{where}"
    return BadModelError(problem, remedy=f"make `python {path.name}` with a call of the function run first")


def _network_and_examples(torch: Any, returned: Any, spec: str) -> tuple[Any, list[Any]]:  # noqa: ANN401
    """Accept (module, tensor) and (module, (tensor, state ...)).

    Raises: BadModelError.
    """
    remedy = "return (network, example_input), for example: return net.eval(), torch.zeros(1, 3, 32, 32)"
    pair = isinstance(returned, tuple | list) and len(returned) == 2
    if not pair or not isinstance(returned[0], torch.nn.Module):
        kind = type(returned).__name__
        raise BadModelError(f"{spec} returned {kind}, not a network and an example input", remedy=remedy)
    module, examples = returned
    if not isinstance(examples, tuple | list):
        examples = (examples,)
    tensors = [torch.as_tensor(example) for example in examples]
    for example in tensors:
        if example.dtype != torch.float32 or example.ndim < 2:
            problem = f"the example input of {spec} is {example.dtype} of shape {tuple(example.shape)}"
            raise BadModelError(problem, remedy="give a float32 tensor whose first dimension is the batch")
    return module.eval().to("cpu"), tensors


def _digest(path: Path, module: Any) -> str:  # noqa: ANN401
    """Hash the file's text and every weight by name: what the function reads from elsewhere is in the weights."""
    digest = hashlib.sha256(path.read_bytes())
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(dtype=_bytes_type()).numpy().tobytes())
    return digest.hexdigest()


def _behaviour(module: Any, shapes: Sequence[tuple[int, ...]]) -> str:  # noqa: ANN401
    """Hash what the network computes: code that the file imports, settings and random numbers may change it, too."""
    from compiler.load.tape import fingerprint

    try:
        return fingerprint(module, shapes)
    except Exception:  # noqa: BLE001 - what cannot be recorded, for whatever reason, is never known again
        return uuid.uuid4().hex


def _bytes_type() -> Any:  # noqa: ANN401
    return import_torch().uint8


@contextmanager
def _siblings_importable(path: Path) -> Iterator[None]:
    """Let the user's file import its neighbours, as it can when started by hand."""
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
