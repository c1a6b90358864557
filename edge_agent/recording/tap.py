"""The loop's end of its lines to processes that want to see its turns: the recorder, the keeper, the view.

Each has a ring of messages of its own. The loop never waits: a reader that falls more than a ring of turns behind
loses turns, and sees how many.
"""

import os
import platform

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.bundle import Bundle
from edge.errors import AgentError
from edge.manifest import Head
from edge.runtimes import Session
from edge_agent.channels import Publication, send
from edge_agent.deciders import Decision, Inputs
from edge_agent.recording.messages import Array, FromLoop, Heard, Life, Turn
from edge_agent.ring import RingWriter
from edge_agent.ring_memory import RingMemory
from edge_agent.specs import LoopSpec, TapSpec

Data = NDArray[np.generic]
NO_ARRAY = Array.of(np.empty(0, np.uint8))


class Taps:
    """All lines of one loop."""

    def __init__(self, specs: tuple[TapSpec, ...], life: Life) -> None:
        """Say who decides from now on."""
        self._taps = [Tap(spec) for spec in specs]
        self._life, self._taken = life, NO_ARRAY
        self._with_input = any(spec.with_input for spec in specs)
        for tap in self._taps:
            tap.hand(life)

    def take(self, buffer: Data) -> None:
        """Keep the input before the model runs, which may use its memory for something else."""
        if self._with_input:
            self._taken = Array.of(buffer)

    def turn(
        self,
        seen: Publication,
        picture: Data,
        inputs: Inputs,
        decision: Decision,
        dropped: int,
        times_ns: tuple[int, int],
        floor: float,
        *,
        fresh: bool = False,
    ) -> None:
        """Hand one turn to those who want it, after its command is on its way. `times_ns`: read, handed over.

        `fresh`: the model's state was zero before it.
        """
        read_ns, handed_ns = times_ns
        unsure = not decision.score >= floor  # "not >=" so that NaN is unsure
        wanted = [tap for tap in self._taps if tap.wants(handed_ns, unsure=unsure)]
        if not wanted:
            return
        turn = Turn(
            life=self._life.life,
            epoch=seen.epoch,
            frame=seen.frame,
            captured_ns=seen.captured_ns,
            dropped=dropped,
            read_ns=read_ns,
            handed_ns=handed_ns,
            picture=Array.of(picture),
            taken=self._taken,
            output=Array.of(inputs.output),
            others=tuple(Array.of(one) for one in inputs.others),
            action=int(decision.action),
            label=int(decision.label),
            score=float(decision.score),
            readings={
                name: Heard(captured_ns=one.captured_ns, values=Array.of(one.values))
                for name, one in inputs.readings.items()
            },
            fresh=fresh,
            sample=None if inputs.sample is None else Array.of(inputs.sample),
        )
        for tap in wanted:
            if tap.forgetful:
                tap.hand(self._life)
            tap.hand(turn)


class Tap:
    """One line."""

    def __init__(self, spec: TapSpec) -> None:
        self._writer = RingWriter(RingMemory(spec.ring_fd, bytes.fromhex(spec.token)))
        self._pipe, self._sequence = spec.publications_fd, self._writer.last_frame
        self._unsure_only, self._gap_ns, self._next_ns = spec.unsure_only, round(spec.gap_s * 1e9), 0

    @property
    def forgetful(self) -> bool:
        """Its reader keeps no file of all lives, and may have been started again since this one began."""
        return self._gap_ns > 0

    def wants(self, now_ns: int, *, unsure: bool) -> bool:
        """Whether its reader shall see the turn of now."""
        if now_ns < self._next_ns or (self._unsure_only and not unsure):
            return False
        self._next_ns = now_ns + self._gap_ns
        return True

    def hand(self, item: FromLoop) -> None:
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


def open_taps(spec: LoopSpec, bundle: Bundle, session: Session) -> Taps | None:
    """The lines of this loop; None where nobody wants to see its turns."""
    if not spec.taps:
        return None
    manifest, variant = bundle.manifest, session.variant
    life = Life(
        life=os.getpid(),
        version=manifest.version,
        bundle=bundle.path.name,
        sha256=bundle.sha256,
        runtime=variant.runtime,
        dtype=variant.dtype,
        threads=spec.threads,
        machine=platform.machine(),
        labels=manifest.labels,
        head=manifest.head if isinstance(manifest.head, Head) else None,
        actions=spec.actions,
        decider=spec.decider.kind,
        options=spec.decider.options,
        folder=spec.decider.folder,
    )
    return Taps(spec.taps, life)
