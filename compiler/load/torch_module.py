"""A torch network in memory -> SourceModel."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from compiler.load.source import Floats, Outputs, SourceModel, guess_layout
from compiler.load.state import Order, Port, Shape, StatePair, settle_order
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


def from_module(
    module: Any,  # noqa: ANN401
    inputs: Sequence[Port],
    *,
    name: str,
    sha256: str,
    states: Sequence[StatePair] = (),
) -> SourceModel:
    """Wrap an `nn.Module` with float32 inputs; without a state, a batch other than 1 becomes 1.

    Raises: BadModelError if the network does not run, returns something else than tensors, or has inputs that are
    neither its data nor a state; BadArgumentError for a state that it does not have.
    """
    torch = import_torch()
    if len(inputs) == 1:
        inputs = [Port(inputs[0].name, (1, *inputs[0].shape[1:]))]
    if len(inputs) > 1 + len(states) and not _runs(torch, module, inputs):
        settle_order(states, inputs, (), name)  # refuses it, with no outputs to propose
    tried = _try_out(torch, module, [one.shape for one in inputs])
    order = settle_order(states, inputs, [Port(str(at), shape) for at, shape in enumerate(tried)], name)
    if not order.kept:
        module = _arranged(torch, module, order)
    batch_of_one, *state_shapes = [inputs[at].shape for at in order.inputs]
    if state_shapes and batch_of_one[0] != 1:
        raise BadModelError(f"the example of {name} has a batch of {batch_of_one[0]}", remedy="give a batch of 1")

    def reference(x: Floats, before: Outputs) -> tuple[Outputs, Outputs]:
        given = (np.ascontiguousarray(x, np.float32).reshape(batch_of_one), *before)
        with torch.inference_mode():
            found = _outputs(module(*(torch.from_numpy(one) for one in given)))
        real = tuple(one.detach().to(torch.float32).numpy() for one in found)
        answers = len(real) - len(before)
        return real[:answers], real[answers:]

    return SourceModel(
        kind="torch",
        name=name,
        input_shape=batch_of_one,
        input_dtype="float32",
        outputs=prod(tried[order.outputs[0]]),
        sha256=sha256,
        payload=module,
        reference=reference,
        layout=guess_layout(batch_of_one),
        state=tuple(state_shapes),
        pairs=tuple(states),
    )


def _arranged(torch: Any, module: Any, order: Order) -> Any:  # noqa: ANN401
    """Wrap a network so that it has the one order of inputs and outputs."""

    class Arranged(torch.nn.Module):  # type: ignore[misc]  # torch is not followed
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, *given: Any) -> Any:  # noqa: ANN401
            placed = dict(zip(order.inputs, given, strict=True))
            found = _outputs(self.inner(*(placed[at] for at in range(len(given)))))
            return tuple(found[at] for at in order.outputs)

    return Arranged().eval()


def _runs(torch: Any, module: Any, inputs: Sequence[Port]) -> bool:  # noqa: ANN401
    try:
        _try_out(torch, module, [one.shape for one in inputs])
    except BadModelError:
        return False
    return True


def _try_out(torch: Any, module: Any, shapes: Sequence[Shape]) -> list[Shape]:  # noqa: ANN401
    """Run once on zeros; return the shapes of the outputs."""
    try:
        with torch.inference_mode(), quiet():
            outputs = _outputs(module(*(torch.zeros(shape) for shape in shapes)))
    except Exception as exc:  # anything may come out of a user's network
        said = " and ".join(str(shape) for shape in shapes)
        problem = f"the network does not run on an input of shape {said}: {type(exc).__name__}: {exc}"
        raise BadModelError(problem, remedy="give an example input that fits, with the batch first") from exc
    if not outputs or not all(isinstance(item, torch.Tensor) for item in outputs):
        kinds = ", ".join(type(item).__name__ for item in outputs) or "nothing"
        raise BadModelError(f"the network returns {kinds}", remedy="return one tensor, or a tuple of tensors")
    return [tuple(int(size) for size in item.shape) for item in outputs]


def _outputs(result: Any) -> tuple[Any, ...]:  # noqa: ANN401
    return tuple(result) if isinstance(result, tuple | list) else (result,)
