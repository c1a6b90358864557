"""A torch network in memory -> SourceModel."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.load.source import Outputs, SourceModel, guess_layout
from compiler.quiet import quiet
from edge.errors import BadModelError, MissingExtraError


def import_torch() -> Any:  # noqa: ANN401  torch's own types are not followed (pyproject.toml)
    """Return the module torch.

    Raises: MissingExtraError.
    """
    try:
        with quiet():
            import torch
    except ImportError as exc:
        problem = f"torch cannot be imported: {exc}"
        raise MissingExtraError(problem, remedy="pip install 'edgewright[compiler]'") from exc
    torch.set_num_threads(1)  # one sample at a time: a second thread gains nothing, and on a busy machine it only spins
    return torch


def from_module(module: Any, shape: Sequence[int], *, name: str, sha256: str) -> SourceModel:  # noqa: ANN401
    """Wrap an `nn.Module` with one float32 input of `shape`; a batch other than 1 becomes 1.

    Raises: BadModelError if the network does not run, or returns something else than tensors.
    """
    torch = import_torch()
    batch_of_one = (1, *(int(size) for size in shape[1:]))

    def every(x: NDArray[np.float32]) -> Outputs:
        with torch.inference_mode():
            found = _outputs(module(torch.from_numpy(np.ascontiguousarray(x, np.float32).reshape(batch_of_one))))
        return tuple(output.detach().to(torch.float32).numpy() for output in found)

    outputs = _try_out(torch, module, batch_of_one)
    return SourceModel(
        kind="torch",
        name=name,
        input_shape=batch_of_one,
        input_dtype="float32",
        outputs=outputs,
        sha256=sha256,
        payload=module,
        reference=lambda x: every(x)[0].reshape(-1),
        every=every,
        layout=guess_layout(batch_of_one),
    )


def _try_out(torch: Any, module: Any, shape: tuple[int, ...]) -> int:  # noqa: ANN401
    """Run once on zeros; return the size of the first output."""
    try:
        with torch.inference_mode(), quiet():
            outputs = _outputs(module(torch.zeros(shape)))
    except Exception as exc:  # anything may come out of a user's network
        problem = f"the network does not run on an input of shape {shape}: {type(exc).__name__}: {exc}"
        raise BadModelError(problem, remedy="give an example input that fits, with the batch first") from exc
    if not outputs or not all(isinstance(item, torch.Tensor) for item in outputs):
        kinds = ", ".join(type(item).__name__ for item in outputs) or "nothing"
        raise BadModelError(f"the network returns {kinds}", remedy="return one tensor, or a tuple of tensors")
    return int(outputs[0].numel())


def _outputs(result: Any) -> tuple[Any, ...]:  # noqa: ANN401
    return tuple(result) if isinstance(result, tuple | list) else (result,)
