"""A bundle's model on the frames of a recording."""

from collections.abc import Callable
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
        self._compared = self._inputs = self._outputs = 0
        self._largest = 0.0

    def outputs(self, turn: Turn, tell: Tell) -> tuple[NDArray[np.float32], ...]:
        """Prepare the picture, run the model on the recorded input (of another bundle: on the prepared one).

        Returns the first output; of a detector all.
        """
        self._compared += 1
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
        self._compare(turn, found[0], tell)
        return found

    def _compare(self, turn: Turn, output: NDArray[np.float32], tell: Tell) -> None:
        recorded = turn.output.array()
        if recorded.shape == output.shape and recorded.tobytes() == output.tobytes():
            return
        self._outputs += 1
        apart = float(np.abs(recorded - output).max()) if recorded.shape == output.shape else float("inf")
        self._largest = max(self._largest, apart)
        tell(Difference(frame=turn.frame, what="output", recorded=_short(recorded), replayed=_short(output)))

    def result(self) -> ModelReplay:
        """What was seen."""
        return ModelReplay(
            bundle=self._name,
            same_bundle=self._same,
            compared=self._compared,
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


def _short(values: NDArray[np.generic]) -> str:
    return np.array2string(values.reshape(-1)[:4], precision=6)
