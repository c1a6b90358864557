"""What a torch network computes, as a hash: one run, operator by operator, with all that each of them is given.

Two networks with the same tape are exported to the same computation, wherever their code, weights or settings came
from: a network whose operators depend on its input's values cannot be exported at all. The names of its parts, which
end up in exported files, and the code of its classes, which those follow from, are hashed with it.
"""

import hashlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


def fingerprint(module: torch.nn.Module, shapes: Sequence[Sequence[int]]) -> str:
    """Hash what `module` computes of inputs of these shapes, and what it is made of."""
    digest = hashlib.sha256()
    for name, part in module.named_modules():
        kind = type(part)
        digest.update(f"{name} {kind.__module__}.{kind.__qualname__}\n".encode())
    for file in sorted(_sources(module)):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        digest.update(f"{name} {_content(tensor)}\n".encode())
    for line in _tape(module, [torch.zeros(tuple(shape)) for shape in shapes]):
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()


def _sources(module: torch.nn.Module) -> Iterator[Path]:
    """Yield the files with the classes of all parts, and their base classes, of torch's own, too."""
    kinds = {kind for part in module.modules() for kind in type(part).__mro__}
    names = {sys.modules[kind.__module__] for kind in kinds if kind.__module__ in sys.modules}
    files = {Path(file) for name in names if (file := getattr(name, "__file__", None))}
    yield from (file for file in files if file.is_file())


def _tape(module: torch.nn.Module, inputs: Sequence[torch.Tensor]) -> list[str]:
    with torch.no_grad(), _Recorder(inputs) as recorder:
        result = module(*inputs)
    outputs = result if isinstance(result, tuple | list) else (result,)
    return [*recorder.lines, f"returns {recorder.write(outputs)}"]


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes a line for each operator; a tensor is the number of the operator that made it, else its content."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Say no: nothing is compiled while this listens, so torch need not load its compiler (4 s) to keep it out."""
        return False

    def __init__(self, inputs: Sequence[torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lines: list[str] = []
        self._made: dict[int, str] = {id(one): f"input {at}" for at, one in enumerate(inputs)}
        self._alive: list[torch.Tensor] = [*inputs]
        """So that no id is given twice."""

    def __torch_dispatch__(  # torch states no types for it
        self,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        line = f"{func} {self.write(args)} {self.write(kwargs or {})}"
        result = func(*args, **(kwargs or {}))
        for index, one in enumerate(result if isinstance(result, tuple | list) else (result,)):
            if isinstance(one, torch.Tensor):
                self._made[id(one)] = f"{len(self.lines)}.{index}"
                self._alive.append(one)
        self.lines.append(line)
        return result

    def write(self, value: Any) -> str:  # noqa: ANN401 - whatever an operator takes
        """Write an argument down; what has no stable form makes a line that no other run will write."""
        match value:
            case torch.Tensor():
                return self._made.get(id(value)) or _content(value)
            case tuple() | list():
                return f"[{', '.join(self.write(one) for one in value)}]"
            case dict():
                return f"{{{', '.join(f'{name}: {self.write(one)}' for name, one in value.items())}}}"
        return repr(value)


def _content(tensor: torch.Tensor) -> str:
    """Type, shape and a hash of the values."""
    values = tensor.detach().cpu().contiguous().flatten().view(dtype=torch.uint8).numpy().tobytes()
    return f"{tensor.dtype} {tuple(tensor.shape)} {hashlib.sha256(values).hexdigest()}"
