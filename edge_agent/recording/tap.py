"""The loop's end of a recording: each turn as one message in a ring of its own, from which the recorder takes it.

It never waits: a recorder that falls more than a ring of turns behind loses turns, and notes how many.
"""

import os
import platform

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.bundle import Bundle
from edge.errors import AgentError
from edge.runtimes import Session
from edge_agent.channels import Publication, send
from edge_agent.deciders import Decision
from edge_agent.recording.messages import Array, FromLoop, Life, Turn
from edge_agent.ring import RingWriter
from edge_agent.ring_memory import RingMemory
from edge_agent.specs import LoopSpec, TapSpec


class Tap:
    """Hands turns to the recorder."""

    def __init__(self, spec: TapSpec, life: int) -> None:
        """`life`: process id of this loop."""
        self._writer = RingWriter(RingMemory(spec.ring_fd, bytes.fromhex(spec.token)))
        self._pipe, self._life, self._sequence = spec.publications_fd, life, self._writer.last_frame
        self._taken: NDArray[np.generic] | None = None

    def begin(self, life: Life) -> None:
        """Say who decides from now on."""
        self._hand(life)

    def take(self, buffer: NDArray[np.generic]) -> None:
        """Keep the input before the model runs, which may use its memory for something else."""
        self._taken = buffer.copy()

    def turn(
        self,
        seen: Publication,
        picture: NDArray[np.generic],
        output: NDArray[np.float32],
        decision: Decision,
        dropped: int,
    ) -> None:
        """Hand over one turn, after its command is on its way."""
        assert self._taken is not None, "take() comes first"  # noqa: S101 - a mistake in our own code
        self._hand(
            Turn(
                life=self._life,
                epoch=seen.epoch,
                frame=seen.frame,
                captured_ns=seen.captured_ns,
                dropped=dropped,
                picture=Array.of(picture),
                taken=Array.of(self._taken),
                output=Array.of(output),
                action=int(decision.action),
                label=int(decision.label),
                score=float(decision.score),
            )
        )

    def _hand(self, item: FromLoop) -> None:
        """Put a message into the next slot; its number grows even if there is no room, so that the gap is seen."""
        self._sequence += 1
        message = np.frombuffer(msgspec.msgpack.encode(item), np.uint8)
        try:
            out = self._writer.begin(message.shape)
        except AgentError:  # larger than a slot
            return
        if out is None:
            return
        np.copyto(out, message)
        slot = self._writer.commit(self._sequence, 0)
        is_turn = int(isinstance(item, Turn))
        send(self._pipe, Publication(slot, is_turn, 0, self._sequence, 0, 0).pack())


def open_tap(spec: LoopSpec, bundle: Bundle, session: Session) -> Tap | None:
    """Where somebody records: say who decides, and be ready to hand over turns."""
    if spec.tap is None:
        return None
    tap = Tap(spec.tap, os.getpid())
    tap.begin(_life(spec, bundle, session, os.getpid()))
    return tap


def _life(spec: LoopSpec, bundle: Bundle, session: Session, pid: int) -> Life:
    manifest, variant = bundle.manifest, session.variant
    return Life(
        life=pid,
        version=manifest.version,
        bundle=bundle.path.name,
        sha256=bundle.sha256,
        runtime=variant.runtime,
        dtype=variant.dtype,
        threads=spec.threads,
        machine=platform.machine(),
        labels=manifest.labels,
        actions=spec.actions,
        decider=spec.decider.kind,
        options=spec.decider.options,
        folder=spec.decider.folder,
    )
