"""The loop process: newest frame -> model -> decision -> guard, and nothing else in it.

The GIL is the largest source of jitter, so telemetry, updates and the network live in other processes.
"""

import gc
import os
import select
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.bundle import Bundle, open_bundle
from edge.errors import BadBundleError
from edge.manifest import Head, Variant
from edge.preprocess import Preprocessor
from edge.quantization import dequantize
from edge.runtimes import Session, check_golden, open_session, outputs_of
from edge_agent.board import Board
from edge_agent.channels import Announced, Command, Publication, send
from edge_agent.deciders import Decider, Inputs, check_reads, make_decider
from edge_agent.link import BEAT_S, Beat, Link, LoopReady, die_with, start_child
from edge_agent.memory import Memory, memory_of
from edge_agent.recording.tap import Taps, open_taps
from edge_agent.records import Decided
from edge_agent.ring import RingReader
from edge_agent.ring_memory import RingMemory
from edge_agent.specs import LoopSpec


def decide_forever(spec: LoopSpec, link: Link, parts: "Parts") -> None:
    """Main path: one turn for each frame that is announced while this loop is the active one.

    The newest frame wins; but a model with a state takes every one in order, for each is a step of its sequence.
    """
    now, session, decider, ring, board = time.monotonic_ns, parts.session, parts.decider, parts.ring, parts.board
    taps, memory = parts.taps, parts.memory
    announced, fresh = Announced(spec.publications_fd, in_order=memory is not None), False
    poll, max_age_ns, last_frame, lost = _poll(spec, link), round(spec.max_age_ms * 1e6), 0, 0
    while link.open:
        poll.poll(0 if announced.waiting else BEAT_S * 1000)
        if link.beat_due():
            link.orders()
            link.say(Beat())
        packet = announced.take()
        if packet is None:
            link.orders()
            continue
        seen = Publication.unpack(packet)
        if seen.active != spec.index:
            last_frame = seen.frame
            continue
        picture = ring.claim(seen.slot, seen.frame)
        if picture is None:  # overtaken: a newer frame is about to be announced
            continue
        read_ns = now()
        if read_ns - seen.captured_ns > max_age_ns:
            ring.release(seen.slot)
            continue
        if memory is not None:
            fresh = memory.follow(seen)
        parts.preprocessor.into(picture, session.input_buffer())
        if taps is None:
            ring.release(seen.slot)
        else:  # they need the picture until the decision is made
            taps.take(session.input_buffer())
        sample = parts.sample()
        invoke_start_ns = now()
        session.invoke()
        invoke_end_ns = now()
        inputs = Inputs(
            session.output(), board.fresh(read_ns), seen.captured_ns / 1e9, sample, parts.others(), parts.head
        )
        decision = decider.decide(inputs)
        send(spec.commands_fd, Command(seen.epoch, decision.action, seen.frame, seen.captured_ns, now()).pack())
        handed_ns = now()
        dropped = min(max(0, seen.frame - last_frame - 1 if last_frame else 0) + lost, 65535)
        last_frame = seen.frame
        if spec.records_fd >= 0:
            record = Decided(
                dropped, seen.epoch, seen.frame, seen.captured_ns, seen.published_ns, read_ns, invoke_start_ns,
                invoke_end_ns, handed_ns, decision.score, decider.floor, decision.label, decision.action,
            )  # fmt: skip
            lost = 0 if send(spec.records_fd, record.pack()) else dropped
        if taps is not None:
            taps.turn(seen, picture, inputs, decision, dropped, (read_ns, handed_ns), decider.floor, fresh=fresh)
            ring.release(seen.slot)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a turn needs, made once."""

    session: Session
    preprocessor: Preprocessor
    decider: Decider
    ring: RingReader
    board: Board
    memory: Memory | None
    """None: the model has no state."""
    taps: Taps | None
    """None: nobody else wants to see its turns."""
    head: Head | None
    """Of a detector."""

    def others(self) -> tuple[NDArray[np.float32], ...]:
        """A detector's further outputs."""
        return () if self.head is None else outputs_of(self.session)[1:]

    def sample(self) -> NDArray[np.float32] | None:
        """A copy of what the model is about to see, for a decider that needs it: a runtime may reuse the buffer."""
        if not self.decider.needs_sample:
            return None
        return dequantize(self.session.input_buffer(), self.session.variant.input).copy()


def run(spec: LoopSpec, link: Link) -> None:
    """Load, check on the golden samples, warm up, say so, and decide until told to stop."""
    die_with(spec.parent)
    if spec.cpu is not None:
        os.sched_setaffinity(0, {spec.cpu})
    bundle = open_named(Path(spec.bundle), spec.model)
    session = open_session(bundle, variant=smallest(bundle) if spec.small else None, threads=spec.threads)
    report = check_golden(bundle, session)
    chosen = spec.decider
    head = bundle.manifest.head if isinstance(bundle.manifest.head, Head) else None
    parts = Parts(
        session,
        Preprocessor(bundle.manifest.input, session.variant.input),
        make_decider(chosen.kind, chosen.options, Path(chosen.folder), bundle.manifest.labels, spec.actions),
        RingReader(RingMemory(spec.ring_fd, bytes.fromhex(spec.token))),
        Board(spec.sensors),
        memory_of(session, bundle.manifest.input, max_age_ms=spec.max_age_ms, period_ms=spec.period_ms),
        open_taps(spec, bundle, session),
        head,
    )
    check_reads(parts.decider, head)
    gc.collect()
    gc.freeze()  # what is alive now stays: later collections need not look at it (98.7 -> 16.6 ms at 90k objects)
    manifest = bundle.manifest
    link.say(
        LoopReady(
            version=manifest.version,
            p95_us=report.p95_us,
            contract=manifest.input,
            labels=manifest.labels,
            has_smaller=smallest(bundle).size_bytes < session.variant.size_bytes,
        )
    )
    decide_forever(spec, link, parts)
    session.close()


def smallest(bundle: Bundle) -> Variant:
    """The variant with the fewest bytes, whether or not its runtime works here."""
    return min(bundle.manifest.variants, key=lambda variant: variant.size_bytes)


def open_named(path: Path, model: str) -> Bundle:
    """Open a bundle, and refuse one of another model."""
    bundle = open_bundle(path)
    if bundle.manifest.name != model:
        raise BadBundleError(
            f"{path.name} is a bundle of {bundle.manifest.name!r}, this device runs {model!r}",
            remedy="correct `model` in the configuration, or take another bundle",
        )
    return bundle


def _poll(spec: LoopSpec, link: Link) -> select.poll:
    poll = select.poll()
    poll.register(spec.publications_fd, select.POLLIN)
    poll.register(link.fileno(), select.POLLIN)
    return poll


if __name__ == "__main__":
    start_child(LoopSpec, run)
