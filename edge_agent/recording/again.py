"""A bundle's model on the frames of a recording."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.bundle import open_bundle
from edge.errors import BadBundleError, BadDataError
from edge.manifest import Head, Variant
from edge.preprocess import Preprocessor
from edge.runtimes import open_session, outputs_of
from edge_agent.recording.messages import Array, Life, Turn
from edge_agent.recording.replay import Difference, ModelReplay

Outputs = Sequence[NDArray[np.float32]]
Tell = Callable[[Difference], None]


class Model:
    """The recorded variant of the bundle that was recorded, or the first one that runs here of another."""

    def __init__(self, path: Path, life: Life) -> None:
        """Raises: what opening a bundle raises; `BadBundleError` if the recorded variant is not in it."""
        bundle = open_bundle(path)
        self._name, self._same = path.name, bundle.sha256 == life.sha256
        variant = _variant(bundle.manifest.variants, life) if self._same else None
        self._session = open_session(bundle, variant=variant, threads=life.threads)
        self._preprocessor = Preprocessor(bundle.manifest.input, self._session.variant.input)
        self.labels = bundle.manifest.labels
        self.head = bundle.manifest.head if isinstance(bundle.manifest.head, Head) else None
        self.stateful = bool(self._session.variant.state)
        self._known = not self.stateful
        """Whether the state is the one that the recorded model had."""
        self._compared = self._uncompared = self._inputs = self._outputs = 0
        self._largest = 0.0

    def outputs(self, turn: Turn, tell: Tell) -> tuple[NDArray[np.float32], ...]:
        """Prepare the picture, run the model on the recorded input (of another bundle: on the prepared one).

        Returns the first output; of a detector all.
        """
        if turn.fresh:
            self._session.reset()
            self._known = True
        buffer = self._session.input_buffer()
        try:
            self._preprocessor.into(turn.picture.array(), buffer)
        except ValueError as exc:
            raise BadDataError(
                f"frame {turn.frame} does not fit this model: {exc}", remedy="name another bundle"
            ) from exc
        if self._same:
            if Array.of(buffer) != turn.taken:
                self._inputs += 1
                tell(Difference(frame=turn.frame, what="input", recorded="", replayed="another one"))
            np.copyto(buffer, turn.taken.array())
        del buffer  # a runtime refuses to run while it is looked at
        self._session.invoke()
        found = outputs_of(self._session) if self.head is not None else (self._session.output(),)
        recorded = tuple(one.array() for one in (turn.output, *turn.others))
        if not self._known:
            self._uncompared += 1
            return recorded if self._same else found
        self._compared += 1
        self._compare(turn, recorded, found, tell)
        return found

    def forget(self) -> None:
        """Turns are missing: what a state was after them is not known until it begins anew."""
        if self.stateful:
            self._session.reset()
            self._known = False

    def _compare(self, turn: Turn, recorded: Outputs, found: Outputs, tell: Tell) -> None:
        by = difference(recorded, found)
        if by is None:
            return
        self._outputs += 1
        self._largest = max(self._largest, by)
        old, new = next(
            (pair for pair in zip(recorded, found, strict=False) if _apart(*pair) is not None), (recorded[0], found[0])
        )
        tell(Difference(frame=turn.frame, what="output", recorded=_short(old), replayed=_short(new)))

    def result(self) -> ModelReplay:
        """What was seen."""
        return ModelReplay(
            bundle=self._name,
            same_bundle=self._same,
            compared=self._compared,
            uncompared=self._uncompared,
            inputs_differ=self._inputs,
            outputs_differ=self._outputs,
            largest=self._largest,
        )


def _variant(variants: tuple[Variant, ...], life: Life) -> Variant:
    for variant in variants:
        if (variant.runtime, variant.dtype) == (life.runtime, life.dtype):
            return variant
    raise BadBundleError(
        f"the bundle has no {life.dtype} variant for {life.runtime}", remedy="name the bundle that was recorded"
    )


def difference(recorded: Outputs, found: Outputs) -> float | None:
    """None: all outputs are the same, bit for bit; else by how much any of them differs at most."""
    if len(recorded) != len(found):
        return float("inf")
    apart = [_apart(*pair) for pair in zip(recorded, found, strict=True)]
    return max((by for by in apart if by is not None), default=None)


def _apart(recorded: NDArray[np.float32], found: NDArray[np.float32]) -> float | None:
    if recorded.shape != found.shape:
        return float("inf")
    if recorded.tobytes() == found.tobytes():
        return None
    return float(np.abs(recorded - found).max())


def _short(values: NDArray[np.generic]) -> str:
    return np.array2string(values.reshape(-1)[:4], precision=6)
