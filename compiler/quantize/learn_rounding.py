"""weights -> weights on the int8 grid: layer by layer, each learned behind the integer form of those before it.

Needs: a layer with constant weights that nothing else reads, and calibration samples to learn from. Leaves: weights
that the quantizers round to exactly the learned codes, and biases that carry the mean error, so correcting biases
afterwards finds nothing to do. It must come after whatever changes weights.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from compiler.quantize.kernels import Kernel, count_positions, fold_weight, pick_rows, unfold_weight, windows
from compiler.quantize.layers import Constants
from compiler.quantize.round_weights import Problem, round_weights

ROWS = 4096
"""Windows that a layer learns from, evenly over the samples. Chosen: several times the taps of most layers."""
LEAST_SAMPLES = 24
"""To learn from. Fewer would be learned by heart."""

Tensors = Mapping[str, NDArray[np.float32]]
Runs = Callable[[Constants], Iterator[tuple[Tensors, Tensors]]]
"""Constants -> for each sample the activations of the float model and of the integer model with these constants."""


def learn_rounding(
    kernels: Sequence[Kernel], constants: Constants, runs: Runs, *, samples: int, stages: int
) -> Constants:
    """Return all constants, the kernels' weights on the grid.

    Args:
        kernels: in order of computation.
        constants: of the float model.
        runs: runs both models; it is called once a stage.
        samples: how many pairs it yields: of a network with a state one for each step of each sequence.
        stages: how often the integer model is made anew. Layers of one stage are learned side by side, and only the
            first of them makes up for errors before it: if each did, the same error would be made up for many times
            (MobileNetV2, 53 layers in 8 stages: 33.5 dB became -0.3, measured).
    """
    learned = dict(constants)
    for stage in np.array_split(np.arange(len(kernels)), min(stages, len(kernels))):
        here = [kernels[at] for at in stage]
        rows = _gather(here, constants, runs(learned), max(1, -(-ROWS // samples)))
        for at, (kernel, (exact, rounded)) in enumerate(zip(here, rows, strict=True)):
            if exact.size:
                learned |= _learn(kernel, constants, rounded if at else exact, rounded)
    return learned


def _learn(
    kernel: Kernel, constants: Constants, exact: NDArray[np.float32], rounded: NDArray[np.float32]
) -> dict[str, NDArray[np.float32]]:
    """Return the new weight of one layer, and its bias if it has one."""
    weight = constants[kernel.weight]
    found = round_weights(Problem(exact, rounded, unfold_weight(weight, kernel), bool(kernel.bias)))
    changed = {kernel.weight: fold_weight(found.weight, kernel, weight.shape)}
    if kernel.bias:
        bias = constants[kernel.bias]
        changed[kernel.bias] = (bias + found.shift.reshape(bias.shape)).astype(np.float32)
    return changed


def _gather(
    kernels: Sequence[Kernel], constants: Constants, pairs: Iterator[tuple[Tensors, Tensors]], each: int
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Pick `each` windows a sample, the same of both models; no rows where a model does not show what a layer reads."""
    rows: list[tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]] = [([], []) for _ in kernels]
    for number, pair in enumerate(pairs):
        rng = np.random.default_rng(number)
        for kernel, both in zip(kernels, rows, strict=True):
            if not all(kernel.source in tensors for tensors in pair):
                continue
            views = [windows(tensors[kernel.source], kernel, constants[kernel.weight].shape) for tensors in pair]
            positions = count_positions(views[0], kernel)
            picked = np.sort(rng.choice(positions, min(each, positions), replace=False))
            for view, kept in zip(views, both, strict=True):
                kept.append(pick_rows(view, kernel, picked))
    empty = np.zeros(0, np.float32)
    return [(np.concatenate(a), np.concatenate(b)) if a else (empty, empty) for a, b in rows]
