"""`.pt2`, as written by torch.export.save -> SourceModel.

A .pt2 of unknown origin is checked for pickled parts, which could run code, before torch opens it.
"""

import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from compiler.load.source import SourceModel
from compiler.load.state import Port, StatePair
from compiler.load.torch_module import from_module, import_torch
from compiler.quiet import quiet
from edge.errors import BadModelError

_PICKLED = ("opaque_obj", "custom_obj")
_WRITE_ONE = "write it with torch.export.save(torch.export.export(network.eval(), (example,)), 'model.pt2')"


def load_exported_program(path: Path, *, sha256: str, states: Sequence[StatePair] = ()) -> SourceModel:
    """Open an exported program with one float32 input, or more where they are states.

    Raises: BadModelError if it is not one, holds pickled objects, or has open dimensions other than the batch.
    """
    torch = import_torch()
    _refuse_pickles(path)
    try:
        with quiet(), _weights_only():
            program = torch.export.load(path)
    except Exception as exc:  # torch raises many types for a file that it cannot read
        raise BadModelError(f"{path.name} is not an exported program: {_first_line(exc)}", remedy=_WRITE_ONE) from exc
    inputs = _inputs(torch, program, path.name)
    return from_module(program.module(check_guards=False), inputs, name=path.stem, sha256=sha256, states=states)


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


def _inputs(torch: Any, program: Any, name: str) -> list[Port]:  # noqa: ANN401
    """Return the inputs' names and shapes; an open batch is 1.

    Raises: BadModelError.
    """
    values = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
    found = [item for item in program.graph_signature.user_inputs if item in values]
    for item in found:
        if values[item].dtype != torch.float32:
            raise BadModelError(
                f"the input of {name} is {values[item].dtype}", remedy="export it with a float32 example"
            )
    first = list(values[found[0]].shape) if found else []
    batch = first[0] if first and not isinstance(first[0], int) else None
    return [Port(item, _fixed(values[item].shape, batch, name)) for item in found]


def _fixed(shape: Sequence[Any], batch: Any, name: str) -> tuple[int, ...]:  # noqa: ANN401  torch's symbolic sizes
    """Return a shape in which the open batch is 1, wherever it stands."""
    sizes = [1 if not isinstance(size, int) and (at == 0 or size is batch or size == batch) else size
             for at, size in enumerate(shape)]  # fmt: skip
    open_sizes = [at for at, size in enumerate(sizes) if not isinstance(size, int)]
    if open_sizes:
        problem = f"{name} leaves dimensions {open_sizes} of its input open"
        raise BadModelError(problem, remedy="export it with fixed sizes; only the batch may be dynamic")
    return tuple(sizes)


def _first_line(exc: Exception) -> str:
    return f"{type(exc).__name__}: {str(exc).strip().splitlines()[0] if str(exc).strip() else 'no message'}"
