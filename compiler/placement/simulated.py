"""Opens what the RK3588's toolkit compiled in its simulator, where other files run on a runtime of ours.

Its outputs count on the select part to choose, on the report part to prove, and as golden outputs; each time the
simulator computes. Nothing of that was run on a chip.
"""

import hashlib
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from compiler.placement.ledger import Ledger
from compiler.placement.rknn import Simulator
from edge.manifest import Variant
from edge.runtimes import Session, open_model
from edge.runtimes.tensors import as_input


class SimulatedSession:
    """One model in the simulator, which this does not own. See `edge.runtimes.Session`."""

    def __init__(self, simulator: Simulator, variant: Variant) -> None:
        self.variant = variant
        self._simulator = simulator
        self._input: NDArray[np.float32] = np.zeros(variant.input.shape, np.float32)
        self._outputs = [np.zeros(spec.shape, np.float32) for spec in variant.outputs]

    def set_input(self, x: NDArray[np.generic]) -> None:
        """Copy `x` into the input."""
        np.copyto(self._input, as_input(x, self.variant.input))

    def input_buffer(self) -> NDArray[np.generic]:
        """The input itself."""
        return self._input

    def invoke(self) -> None:
        """Simulate."""
        found = self._simulator.run(self._input, sum(one.size for one in self._outputs))
        ends = np.cumsum([one.size for one in self._outputs])[:-1]
        for buffer, values in zip(self._outputs, np.split(found, ends), strict=True):
            buffer[...] = values.reshape(buffer.shape)

    def reset(self) -> None:
        """Do nothing: what the toolkit compiles has no state (`compiler.checks.check_memory`)."""

    def output(self, index: int = 0) -> NDArray[np.float32]:
        """One output."""
        return self._outputs[index]

    def close(self) -> None:
        """Do nothing: the simulator is asked again."""


class Simulators:
    """Everything that the toolkit compiled in one compile. Leaving the context ends its programs."""

    def __init__(self) -> None:
        self._running: dict[str, Simulator] = {}
        self._stack = ExitStack()

    def add(self, simulator: Simulator) -> str:
        """Take a simulator over; returns the sha256 of its file, by which it is known from now on."""
        digest = hashlib.sha256(simulator.content).hexdigest()
        self._stack.enter_context(simulator)
        self._running[digest] = simulator
        return digest

    def open(self, data: bytes, variant: Variant) -> Session:
        """Open a file of ours in the simulator, any other on its runtime, as `edge.runtimes.open_model` does."""
        simulator = self._running.get(variant.sha256)
        return open_model(data, variant) if simulator is None else SimulatedSession(simulator, variant)

    @property
    def ledgers(self) -> dict[str, Ledger]:
        """Where the layers of each file run, by its sha256."""
        return {digest: one.ledger for digest, one in self._running.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()
