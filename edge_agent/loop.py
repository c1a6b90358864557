"""The loop process: newest frame -> model -> decision -> guard, and nothing else in it.

The GIL is the largest source of jitter, so telemetry, updates and the network live in other processes.
"""

import gc
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.bundle import Bundle, open_bundle
from edge.errors import BadBundleError
from edge.manifest import Head, Variant
from edge.preprocess import Preprocessor, empty_sample
from edge.quantization import dequantize
from edge.runtimes import Session, check_golden, open_session, outputs_of
from edge.score import Scorer, make_scorer
from edge_agent.board import NOTHING, Board
from edge_agent.channels import Announced, Command, Publication, send
from edge_agent.cores import Placement
from edge_agent.deciders import TOP1, Decider, Inputs, check_reads, make_decider
from edge_agent.link import Beat, Link, LoopReady, die_with, start_child
from edge_agent.memory import Memory, memory_of
from edge_agent.recording.tap import Taps, open_taps
from edge_agent.records import NO_SCORE, Decided
from edge_agent.rehearsal import BetweenTurns, Rehearsal
from edge_agent.ring import RingReader
from edge_agent.ring_memory import RingMemory
from edge_agent.specs import LoopSpec


def decide_forever(spec: LoopSpec, link: Link, parts: "Parts") -> None:
    """Main path: one turn for each frame that is announced while this loop is the active one.

    The newest frame wins; but a model with a state takes every one in order, for each is a step of its sequence.
    """
    now, session, decider, ring, board = time.monotonic_ns, parts.session, parts.decider, parts.ring, parts.board
    taps, placement, scorer = parts.taps, parts.placement, parts.scorer
    announced = Announced(spec.publications_fd, in_order=parts.memory is not None)
    between = BetweenTurns(
        Rehearsal(spec.rehearse_ms, (spec.publications_fd, link.fileno()), on=spec.rehearse_now), parts.rehearse,
        inference=spec.rehearse_inference and parts.memory is None,
    )  # fmt: skip
    max_age_ns, last_frame, lost = round(spec.max_age_ms * 1e6), 0, 0
    while link.open:
        if not announced.waiting:
            between.wait()
        if link.beat_due():
            between.obey(link.orders())
            link.say(Beat())
        packet = announced.take()
        if packet is None:
            between.obey(link.orders())
            continue
        seen = Publication.unpack(packet)
        if seen.active != spec.index:
            last_frame = seen.frame
            placement.follow()
            continue
        placement.lead()
        picture = ring.claim(seen.slot, seen.frame)
        if picture is None:  # overtaken: a newer frame is about to be announced
            continue
        read_ns = now()
        if read_ns - seen.captured_ns > max_age_ns:
            ring.release(seen.slot)
            continue
        fresh = parts.follow(seen)
        parts.preprocessor.into(picture, session.input_buffer())
        if taps is not None:
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
                NO_SCORE if scorer is None else scorer((inputs.output, *inputs.others), sample),
            )  # fmt: skip
            lost = 0 if send(spec.records_fd, record.pack()) else dropped
        if taps is not None:
            taps.turn(seen, picture, inputs, decision, dropped, (read_ns, handed_ns), decider.floor, fresh=fresh)
        ring.release(seen.slot)  # only now: it costs a call into the kernel, and there is a slot for each loop
        between.saw(seen, invoke_end_ns - invoke_start_ns)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a turn needs, made once."""

    session: Session
    preprocessor: Preprocessor
    decider: Decider
    twin: Decider
    """Decides in rehearsals, so that they leave no trace in the memory of the other one."""
    ring: RingReader
    board: Board
    memory: Memory | None
    """None: the model has no state."""
    taps: Taps | None
    """None: nobody else wants to see its turns."""
    head: Head | None
    """Of a detector."""
    scorer: Scorer | None
    """None: the decider's score is the model's own."""
    placement: Placement

    def follow(self, seen: Publication) -> bool:
        """Before a step on this frame; returns whether a model with a state begins anew with it."""
        return self.memory is not None and self.memory.follow(seen)

    def others(self) -> tuple[NDArray[np.float32], ...]:
        """A detector's further outputs."""
        return () if self.head is None else outputs_of(self.session)[1:]

    def sample(self) -> NDArray[np.float32] | None:
        """A copy of what the model is about to see, for who needs it: a runtime may reuse the buffer."""
        if not (self.decider.needs_sample or (self.scorer is not None and self.scorer.needs_sample)):
            return None
        return dequantize(self.session.input_buffer(), self.session.variant.input).copy()

    def rehearse(self, *, inference: bool = False) -> None:
        """A turn on an empty picture, whose decision goes nowhere. `inference` would move a state on."""
        self.preprocessor.into(empty_sample(self.preprocessor.contract), self.session.input_buffer())
        sample, now_ns = self.sample(), time.monotonic_ns()
        if inference:
            self.session.invoke()
        inputs = Inputs(self.session.output(), NOTHING, now_ns / 1e9, sample, self.others(), self.head)
        decision = self.twin.decide(inputs)
        Command(0, decision.action, 0, now_ns, now_ns).pack()


def run(spec: LoopSpec, link: Link) -> None:
    """Load, check on the golden samples, warm up, say so, and decide until told to stop."""
    die_with(spec.parent)
    placement = Placement(spec.cpu, spec.priority)
    bundle = open_named(Path(spec.bundle), spec.model)
    session = open_session(bundle, variant=smallest(bundle) if spec.small else None, threads=spec.threads)
    report = check_golden(bundle, session)
    head = bundle.manifest.head if isinstance(bundle.manifest.head, Head) else None
    decider = _decider(spec, bundle.manifest.labels)
    parts = Parts(
        session,
        Preprocessor(bundle.manifest.input, session.variant.input),
        decider,
        _decider(spec, bundle.manifest.labels),
        RingReader(RingMemory(spec.ring_fd, bytes.fromhex(spec.token), writable=False)),
        Board(spec.sensors),
        memory_of(session, bundle.manifest.input, max_age_ms=spec.max_age_ms, period_ms=spec.period_ms),
        open_taps(spec, bundle, session),
        head,
        _scorer(bundle, decider, session.variant),
        placement,
    )
    check_reads(parts.decider, head)
    parts.rehearse()  # all that the first turn would have to load is loaded now
    gc.collect()
    gc.freeze()  # what is alive now stays: later collections need not look at it (98.7 -> 16.6 ms at 90k objects)
    placement.follow()  # not before: a model that loads must not disturb the one that decides
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
    placement.leave()
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


def _decider(spec: LoopSpec, labels: tuple[str, ...]) -> Decider:
    chosen = spec.decider
    return make_decider(chosen.kind, chosen.options, Path(chosen.folder), labels, spec.actions)


def _scorer(bundle: Bundle, decider: Decider, variant: Variant) -> Scorer | None:
    """None where the decider scores as the bundle's baseline does, which costs nothing."""
    if bundle.manifest.task == "classify" and getattr(decider, "score_of", "") == TOP1:
        return None
    return make_scorer(bundle.manifest, variant)


if __name__ == "__main__":
    start_child(LoopSpec, run)
