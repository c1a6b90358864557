"""`.pt2`, as written by torch.export.save -> SourceModel.

A .pt2 of unknown origin is checked for pickled parts, which could run code, before torch opens it.
"""

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from compiler.load.source import SourceModel
from compiler.load.torch_module import from_module, import_torch
from compiler.quiet import quiet
from edge.errors import BadModelError

_PICKLED = ("opaque_obj", "custom_obj")
_WRITE_ONE = "write it with torch.export.save(torch.export.export(network.eval(), (example,)), 'model.pt2')"


def load_exported_program(path: Path, *, sha256: str) -> SourceModel:
    """Open an exported program with one float32 input.

    Raises: BadModelError if it is not one, holds pickled objects, or has open dimensions other than the batch.
    """
    torch = import_torch()
    _refuse_pickles(path)
    try:
        with quiet(), _weights_only():
            program = torch.export.load(path)
    except Exception as exc:  # torch raises many types for a file that it cannot read
        raise BadModelError(f"{path.name} is not an exported program: {_first_line(exc)}", remedy=_WRITE_ONE) from exc
    shape = _input_shape(torch, program, path.name)
    return from_module(program.module(check_guards=False), shape, name=path.stem, sha256=sha256)


def _refuse_pickles(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as exc:
        raise BadModelError(f"{path.name} is not a .pt2 archive", remedy=_WRITE_ONE) from exc
    if any(part.startswith(_PICKLED) for name in names for part in name.split("/")):
        problem = f"{path.name} holds pickled Python objects, which could run any code when opened"
        raise BadModelError(problem, remedy="export a network that is made of tensors and functions only")


@contextmanager
def _weights_only() -> Iterator[None]:
    """Make every torch.load inside refuse anything but tensors.

    Source: torch.serialization reads TORCH_FORCE_WEIGHTS_ONLY_LOAD at each call.
    """
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _input_shape(torch: Any, program: Any, name: str) -> tuple[int, ...]:  # noqa: ANN401
    """Return the one input's shape; an open batch is 1.

    Raises: BadModelError.
    """
    values = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
    inputs = [values[item] for item in program.graph_signature.user_inputs if item in values]
    if len(inputs) != 1:
        problem = f"{name} has {len(inputs)} inputs; this release compiles networks with one"
        raise BadModelError(problem, remedy="join the inputs into one tensor in a wrapper network")
    if inputs[0].dtype != torch.float32:
        raise BadModelError(f"the input of {name} is {inputs[0].dtype}", remedy="export it with a float32 example")
    open_sizes = [i for i, size in enumerate(inputs[0].shape) if i > 0 and not isinstance(size, int)]
    if open_sizes:
        problem = f"{name} leaves dimensions {open_sizes} of its input open"
        raise BadModelError(problem, remedy="export it with fixed sizes; only the batch may be dynamic")
    return (1, *(int(size) for size in inputs[0].shape[1:]))


def _first_line(exc: Exception) -> str:
    return f"{type(exc).__name__}: {str(exc).strip().splitlines()[0] if str(exc).strip() else 'no message'}"
