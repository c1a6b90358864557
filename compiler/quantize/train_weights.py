"""Float ONNX file -> the same file with weights that were trained to be integers: short quantization-aware training.

Needs: layers with constant weights of their own, operators that our importer knows, and calibration samples. Leaves:
weights on the int8 grid. No labels: the float model is the teacher, and the loss is the share of noise in the outputs,
before a soft-max. Every weight and every activation is rounded on the way forward, as the integer model does, and
passed as it is on the way back (straight-through estimator: Bengio et al. 2013; Jacob et al. 2018, section 3.1).

Weights are trained in units of their own step, whose size stays: the rate is then a share of a code in every layer.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.importer import import_onnx
from compiler.load.torch_module import import_torch
from compiler.observe.ranges import Range
from compiler.quantize.kernels import Kernel
from compiler.quantize.layers import Constants, Network, along, per_channel_max
from compiler.quantize.round_weights import LARGEST

BATCH, STEPS, LEAST_STEPS = 16, 300, 40
NUMBERS = 5e9
"""Activations of all steps: a MobileNetV2 of 224 pixels gets 46 steps, which bounds the time to minutes."""
RATE = 0.03
"""Of a code, the first step; then falling as half a cosine."""
SEED = 20
LEAST_SAMPLES = 24
"""To learn from. Fewer would be learned by heart."""


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What is trained, and towards what."""

    content: bytes = field(repr=False)
    """The simplified float file."""
    kernels: Sequence[Kernel]
    constants: Constants = field(repr=False)
    ranges: Mapping[str, Range] = field(repr=False)
    """Of every activation that the integer model rounds."""
    outputs: tuple[str, ...]
    """The activations that should stay."""
    samples: NDArray[np.float32] = field(repr=False)
    """[samples, *input shape with its batch of 1]."""
    taught: Sequence[NDArray[np.float32]] = field(repr=False)
    """[samples, numbers] of each of the outputs, from the teacher."""
    size: int
    """Numbers in all activations of one sample."""


def hidden(network: Network) -> frozenset[str]:
    """Name the activations that a runtime never rounds: what a ReLU or Clip reads from a layer, and alone reads."""
    readers = Counter(name for layer in network.layers for name in layer.inputs)
    clipped = {layer.inputs[0] for layer in network.layers if layer.op in {"Relu", "Clip"} and layer.inputs}
    made = {layer.outputs[0] for layer in network.layers if layer.op in {"Conv", "Gemm", "MatMul", "Add"}}
    return frozenset(name for name in clipped & made if readers[name] == 1)


def train_weights(lesson: Lesson) -> Constants:
    """Return the kernels' new weights and biases; the same lesson gives the same ones.

    Raises: BadModelError for an operator that cannot be imported; RuntimeError for one that cannot be trained.
    """
    torch = import_torch()
    network: Any = import_onnx(lesson.content)
    feed = network.program.inputs[0].name
    moving = {**_weights(torch, lesson), **_biases(torch, lesson)}

    def student(x: Any) -> list[Any]:  # noqa: ANN401  tensors
        values = {**network.known, **{name: one.real() for name, one in moving.items()}}
        values[feed] = _round(torch, x, lesson.ranges.get(feed))
        for step in network.steps:
            for name, found in network.run_step(step, values).items():
                values[name] = _round(torch, found, lesson.ranges.get(name))
        return [values[name].reshape(-1) for name in lesson.outputs]

    x, taught = torch.from_numpy(lesson.samples), [torch.from_numpy(one) for one in lesson.taught]
    power = [(one**2).mean().clamp(min=1e-12) for one in taught]
    steps = int(np.clip(NUMBERS // (lesson.size * BATCH), LEAST_STEPS, STEPS))
    together = torch.func.vmap(student)  # the file knows no other batch than 1
    optimizer = torch.optim.Adam([one.value for one in moving.values()], lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for batch in _batches(torch, len(x), steps):
        found = together(x[batch])
        loss = sum(((a - b[batch]) ** 2).mean() / p for a, b, p in zip(found, taught, power, strict=True))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return {name: one.real().numpy() for name, one in moving.items()}


def _batches(torch: Any, count: int, steps: int) -> Iterator[Any]:  # noqa: ANN401
    """Yield the samples of each step: every sample once before any comes again."""
    generator = torch.Generator().manual_seed(SEED)
    order = torch.cat([torch.randperm(count, generator=generator) for _ in range(-(-steps * BATCH // count))])
    for step in range(steps):
        yield order[step * BATCH : (step + 1) * BATCH]


@dataclass(frozen=True, slots=True, eq=False)
class _Parameter:
    """What the optimizer moves, in steps, and what it stands for."""

    value: Any
    step: Any
    start: Any
    free: Any
    """1 where it may move; 0 for the largest weight of each channel, which pins the step."""
    whole: bool
    """Only whole steps count."""

    def real(self) -> Any:  # noqa: ANN401
        """The real values, with gradients."""
        moved = self.start + (self.value - self.start) * self.free
        if self.whole:
            moved = _straight(moved.clamp(-LARGEST, LARGEST))
        return moved * self.step


def _weights(torch: Any, lesson: Lesson) -> dict[str, _Parameter]:  # noqa: ANN401
    found = {}
    for kernel in lesson.kernels:
        weight = lesson.constants[kernel.weight]
        axis = kernel.order[0]
        step = np.maximum(along(per_channel_max(weight, axis) / LARGEST, axis, weight.ndim), 1e-30).astype(np.float32)
        start = torch.from_numpy(weight / step)
        free = (start.round().abs() < LARGEST).float()
        found[kernel.weight] = _Parameter(
            start.clone().requires_grad_(), torch.from_numpy(step), start, free, whole=True
        )
    return found


def _biases(torch: Any, lesson: Lesson) -> dict[str, _Parameter]:  # noqa: ANN401
    """A bias moves in hundredths of its own largest value."""
    found = {}
    for kernel in lesson.kernels:
        if kernel.bias:
            bias = lesson.constants[kernel.bias]
            step = torch.tensor(max(float(np.abs(bias).max()) / 100, 1e-6))
            start = torch.from_numpy(bias.copy()) / step
            found[kernel.bias] = _Parameter(start.clone().requires_grad_(), step, start, torch.ones(()), whole=False)
    return found


def _round(torch: Any, x: Any, span: Range | None) -> Any:  # noqa: ANN401
    """Round an activation to 255 steps over its range; without one it is left alone."""
    if span is None or span[1] <= span[0] or x.dtype != torch.float32:
        return x
    step = (span[1] - span[0]) / 255
    low = round(span[0] / step) * step  # so that zero is a code
    return _straight(x.clamp(low, low + 255 * step) / step) * step


def _straight(x: Any) -> Any:  # noqa: ANN401
    """Round on the way forward, and pass on the way back."""
    return x + (x.round() - x).detach()
