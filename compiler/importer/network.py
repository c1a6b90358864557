"""An ONNX graph as a torch module: it walks the steps, and torch.export follows it."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from compiler.importer.node import Constant, Node
from compiler.importer.program import Program, Step
from compiler.importer.refusal import RefusedError, not_claimed
from compiler.importer.table import find_operator

Value = Tensor | Constant


class OnnxNetwork(torch.nn.Module):
    """Steps in the order of the file; float constants are parameters, others buffers, named as in the file."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program
        self.steps: list[Step] = []
        """What depends on the input; the rest is in `known`."""
        self.known: dict[str, Constant] = {name: Constant(name, array) for name, array in program.constants.items()}
        self._attribute_of: dict[str, str] = {}

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Compute the outputs in the order of the file; a single one is not wrapped in a tuple."""
        values: dict[str, Value] = {**self.known}
        values.update(zip((item.name for item in self.program.inputs), inputs, strict=True))
        for step in self.steps:
            values.update(self.run_step(step, values))
        outputs = tuple(self._output(values[name]) for name in self.program.outputs)
        return outputs[0] if len(outputs) == 1 else outputs

    def run_step(self, step: Step, values: Mapping[str, Value]) -> dict[str, Tensor]:
        """Compute the outputs of one step, by name.

        Raises: RefusedError.
        """
        operator = find_operator(step.kind, step.domain, self.program.opset)
        if operator is None:
            raise not_claimed(step.kind)
        node = Node(
            kind=step.kind,
            name=step.name,
            opset=self.program.opset,
            inputs=tuple(values[name] if name else None for name in step.inputs),
            attributes=step.attributes,
            outputs=max((i for i, name in enumerate(step.outputs, start=1) if name), default=0),
            weight=self.weight,
        )
        result = operator.translate(node)
        results = result if isinstance(result, tuple) else (result,)
        if len(results) < node.outputs:
            problem = f"its output {len(results)} is used, which TFLite cannot compute"
            raise RefusedError(problem, remedy="use the first output only")
        return {name: item for name, item in zip(step.outputs, results, strict=False) if name}

    def weight(self, constant: Constant) -> Tensor:
        """Return the parameter or buffer that holds a constant; the first call makes it."""
        if constant.name not in self._attribute_of:
            self._register(constant)
        held: Tensor = getattr(self, self._attribute_of[constant.name])
        return held

    def _register(self, constant: Constant) -> None:
        tensor = _to_tensor(constant.array)
        attribute = self._free_attribute(constant.name)
        if tensor.dtype == torch.float32:
            self.register_parameter(attribute, torch.nn.Parameter(tensor, requires_grad=False))
        else:
            self.register_buffer(attribute, tensor)
        self._attribute_of[constant.name] = attribute

    def _free_attribute(self, name: str) -> str:
        """Return base_net.0.weight as constant_base_net_0_weight, numbered if that is taken."""
        plain = "constant_" + re.sub(r"\W", "_", name)
        taken = {*self._attribute_of.values()}
        return next(one for one in (plain, *(f"{plain}_{i}" for i in range(len(taken) + 1))) if one not in taken)

    def _output(self, value: Value) -> Tensor:
        return self.weight(value).clone() if isinstance(value, Constant) else value


def _to_tensor(array: np.ndarray[Any, Any]) -> Tensor:
    try:
        return torch.from_numpy(np.array(array))  # a copy: torch wants memory that may be written
    except TypeError as exc:
        remedy = "export the network in float32"
        raise RefusedError(f"it has a constant of type {array.dtype}, which torch lacks", remedy=remedy) from exc
