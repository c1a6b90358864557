"""Program -> network: fold what is known, try out the rest once on zeros, and collect what is refused."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from compiler.importer.fold import fold_shape, fold_step, is_foldable
from compiler.importer.network import OnnxNetwork
from compiler.importer.node import Constant
from compiler.importer.program import Program, Step
from compiler.importer.refusal import Refusal, RefusedError, not_claimed
from compiler.importer.table import find_operator

MOST_DIMENSIONS = 6
"""Measured: litert-torch 0.10 writes additions and transpositions of six dimensions, not of seven."""


@dataclass(slots=True, eq=False)
class Build:
    """A network that grows step by step."""

    network: OnnxNetwork
    tensors: dict[str, Tensor]
    """Inputs of zeros, and what the steps so far computed from them: they tell the sizes."""
    refusals: list[Refusal] = field(default_factory=list)
    _lost: set[str] = field(default_factory=set)
    """Outputs of steps that were refused, and all that follows from them."""

    def add(self, step: Step) -> None:
        """Fold the step, or keep it for run time, or note why it is refused."""
        try:
            if self._lost.isdisjoint(step.inputs):
                if not self._fold(step):
                    self._keep(step)
                return
            if find_operator(step.kind, step.domain, self.network.program.opset) is None:
                raise not_claimed(step.kind)
        except RefusedError as exc:
            self.refusals.append(step.refusal(exc.reason, exc.remedy))
        except (RuntimeError, ValueError, IndexError, TypeError) as exc:  # what torch and numpy say of sizes
            reason = f"its inputs do not fit together: {exc}".splitlines()[0]
            self.refusals.append(step.refusal(reason, "check the file with onnx.checker and onnxruntime"))
        self._lost.update(step.outputs)

    def _fold(self, step: Step) -> bool:
        """Compute the step now, if all its inputs are known."""
        known = self.network.known
        arrays = None
        if step.inputs and step.inputs[0] in self.tensors:
            arrays = fold_shape(step, tuple(self.tensors[step.inputs[0]].shape))
        if arrays is None:
            if not all(name in known for name in step.inputs if name) or not is_foldable(step):
                return False
            inputs = [known[name].array if name else None for name in step.inputs]
            arrays = fold_step(self.network.program, step, inputs)
        names = (name for name in step.outputs if name)
        known.update({name: Constant(name, array) for name, array in zip(names, arrays, strict=False)})
        return True

    def _keep(self, step: Step) -> None:
        """Run the step on what the zeros have become so far."""
        results = self.network.run_step(step, {**self.network.known, **self.tensors})
        ranks = [result.dim() for result in results.values()]
        if max(ranks, default=0) > MOST_DIMENSIONS:
            reason = f"it computes in {max(ranks)} dimensions, and TFLite stops at {MOST_DIMENSIONS}"
            raise RefusedError(reason, remedy="merge dimensions with Reshape before this layer")
        self.tensors.update(results)
        self.network.steps.append(step)

    def finish(self) -> None:
        """Run the whole network once, which also registers constant outputs; TFLite has no outputs without values."""
        program = self.network.program
        results = self.network(*(torch.from_numpy(item.zeros()) for item in program.inputs))
        outputs = results if isinstance(results, tuple) else (results,)
        for name, output in zip(program.outputs, outputs, strict=True):
            if output.numel() == 0:
                remedy = "take it out of the network"
                self.refusals.append(Refusal("the output", name, "it holds no values", remedy))


def build_network(program: Program) -> tuple[OnnxNetwork, tuple[Refusal, ...]]:
    """Return the network in eval mode, complete if nothing was refused."""
    build = Build(OnnxNetwork(program), {item.name: torch.from_numpy(item.zeros()) for item in program.inputs})
    with torch.no_grad():
        for step in program.steps:
            build.add(step)
        if not build.refusals:
            build.finish()
    return build.network.eval(), tuple(build.refusals)
