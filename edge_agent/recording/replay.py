"""Decides a recording again: the decider bit for bit always, the model on the same runtime and kind of CPU.

A decider without its whole past (turns were lost, or the recorder was started again) cannot be compared until the next
loop begins; such turns are counted, not guessed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge.errors import BadConfigError, BadDataError, FileMissingError
from edge_agent.deciders import Inputs, Reading, make_decider
from edge_agent.recording.chunks import ChunkReader
from edge_agent.recording.messages import Closing, Items, Life, Lost, Opening, Turn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge.manifest import Head
    from edge_agent.deciders import Decider, Decision
    from edge_agent.recording.again import Model

SHOWN = 10


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One turn that came out otherwise."""

    frame: int
    what: str
    """"decision", "input" or "output"."""
    recorded: str
    replayed: str


class ModelReplay(msgspec.Struct, frozen=True, kw_only=True):
    """What the model made of the recorded frames."""

    bundle: str
    same_bundle: bool
    """Whether it is the very bundle that was recorded."""
    compared: int
    uncompared: int
    """Turns on which a model with a state had lost its past."""
    inputs_differ: int
    """Turns whose picture is prepared to another input."""
    outputs_differ: int
    """Turns whose recorded input leads to another output."""
    largest: float
    """Largest absolute difference between two outputs."""


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What `edge replay --json` prints."""

    file: str
    device: str
    model: str
    turns: int
    span_s: float
    decisions_compared: int
    decisions_differ: int
    uncompared: int
    """Turns whose decider had lost its past."""
    lost: int
    """Turns that the recorder missed."""
    torn_bytes: int
    """At the end of the file, after a power cut."""
    ended: str
    """Why the recording ended; empty if it did not end in order."""
    again: ModelReplay | None
    """None unless a bundle was given."""
    differences: tuple[Difference, ...]
    """The first ones."""

    @property
    def same(self) -> bool:
        """Whether everything that was compared came out as recorded."""
        return not (self.decisions_differ or (self.again and (self.again.inputs_differ or self.again.outputs_differ)))


def replay(path: Path, bundle: Path | None = None) -> Replayed:
    """Decide everything again, and compare.

    Args:
        path: recording.
        bundle: also run this bundle's model on the recorded frames, and decide on its outputs.

    Raises: `FileMissingError`; `BadDataError` if it is no recording; what bundle and decider raise.
    """
    if bundle is not None and not bundle.is_file():
        raise FileMissingError(f"no bundle {bundle}", remedy="name the bundle that was recorded")
    chunks = ChunkReader(path)
    run = _Run(bundle)
    for item in read_items(chunks, path.name):
        run.take(item)
    return run.result(path.name, chunks.torn_bytes)


def read_items(chunks: ChunkReader, name: str) -> Iterator[Items]:
    """Decode every chunk. Raises: `BadDataError`."""
    decoder = msgspec.msgpack.Decoder(Items)
    for data in chunks:
        try:
            yield decoder.decode(data)
        except msgspec.MsgspecError as exc:
            raise BadDataError(f"{name}: {exc}", remedy="replay it with the release that recorded it") from exc


@dataclass(slots=True)
class _Run:
    bundle: Path | None
    opening: Opening | None = None
    life: Life | None = None
    decider: Decider | None = None
    """None while its past is not known."""
    again: Model | None = None
    turns: int = 0
    compared: int = 0
    differ: int = 0
    lost: int = 0
    first_ns: int = 0
    last_ns: int = 0
    ended: str = ""
    differences: list[Difference] = field(default_factory=list)

    def take(self, item: Items) -> None:
        match item:
            case Opening():
                self.opening = self.opening or item
                self._forget()
            case Life():
                self._begin(item)
            case Turn():
                self._turn(item)
            case Lost():
                self.lost += item.turns
                self._forget()
            case Closing():
                self.ended = item.reason

    def _begin(self, life: Life) -> None:
        self.life = life
        if self.bundle is not None:
            from edge_agent.recording.again import Model

            self.again = self.again or Model(self.bundle, life)
        self.decider = _make_decider(life, self.again.labels if self.again else life.labels)

    def _forget(self) -> None:
        self.decider = None
        if self.again is not None:
            self.again.forget()

    def _outputs(self, turn: Turn) -> tuple[NDArray[np.float32], ...]:
        """What the model says; a state follows the turns of one loop only, so it is not asked about another one's."""
        if self.again is None:
            return _recorded(turn)
        if self.again.stateful and (self.life is None or turn.life != self.life.life):
            return _recorded(turn)
        return self.again.outputs(turn, self._differs)

    def _turn(self, turn: Turn) -> None:
        self.turns += 1
        self.first_ns, self.last_ns = self.first_ns or turn.captured_ns, turn.captured_ns
        outputs = self._outputs(turn)
        if self.decider is None or self.life is None or turn.life != self.life.life:
            return
        head = self.again.head if self.again else self.life.head
        decision = self.decider.decide(_inputs(turn, outputs, head))
        self.compared += 1
        if not _same(turn, decision):
            self.differ += 1
            old = f"{turn.action} (label {turn.label}, {turn.score!r})"
            new = f"{decision.action} (label {decision.label}, {float(decision.score)!r})"
            self._differs(Difference(frame=turn.frame, what="decision", recorded=old, replayed=new))

    def _differs(self, difference: Difference) -> None:
        if len(self.differences) < SHOWN:
            self.differences.append(difference)

    def result(self, name: str, torn_bytes: int) -> Replayed:
        if self.opening is None:
            raise BadDataError(f"{name} holds nothing", remedy="record again")
        return Replayed(
            file=name,
            device=self.opening.device,
            model=self.opening.model,
            turns=self.turns,
            span_s=(self.last_ns - self.first_ns) / 1e9,
            decisions_compared=self.compared,
            decisions_differ=self.differ,
            uncompared=self.turns - self.compared,
            lost=self.lost,
            torn_bytes=torn_bytes,
            ended=self.ended,
            again=self.again.result() if self.again else None,
            differences=tuple(self.differences),
        )


def _make_decider(life: Life, labels: tuple[str, ...]) -> Decider:
    """The decider as the loop made it, without a past."""
    try:
        return make_decider(life.decider, life.options, Path(life.folder), labels, life.actions)
    except BadConfigError as exc:
        raise BadConfigError(exc.problem, remedy="give a bundle with the labels that the decider knows") from exc


def _recorded(turn: Turn) -> tuple[NDArray[np.float32], ...]:
    return tuple(one.array() for one in (turn.output, *turn.others))


def _inputs(turn: Turn, outputs: tuple[NDArray[np.float32], ...], head: Head | None) -> Inputs:
    """What the decider was handed, with another model's outputs if there are."""
    readings = {name: Reading(one.values.array(), one.captured_ns) for name, one in turn.readings.items()}
    sample = None if turn.sample is None else turn.sample.array()
    return Inputs(outputs[0], readings, turn.captured_ns / 1e9, sample, outputs[1:], head)


def _same(turn: Turn, decision: Decision) -> bool:
    score = float(decision.score)
    same_score = score == turn.score or (math.isnan(score) and math.isnan(turn.score))
    return (turn.action, turn.label) == (decision.action, decision.label) and same_score


def describe(result: Replayed) -> str:
    """For people."""
    lines = [
        f"recording  {result.file} of {result.device}, model {result.model}",
        f"turns      {result.turns} in {result.span_s:.1f} s",
        f"decisions  {result.decisions_differ} of {result.decisions_compared} differ",
    ]
    if result.uncompared or result.lost:
        lines.append(f"unproven   {result.uncompared} turns, because {result.lost} before them were lost, or more")
    if result.again is not None:
        again = result.again
        which = "the bundle that was recorded" if again.same_bundle else "another bundle than was recorded"
        lines += [
            f"model      {again.bundle}, {which}",
            f"inputs     {again.inputs_differ} of {again.compared} differ",
            f"outputs    {again.outputs_differ} of {again.compared} differ, by {again.largest:.3g} at most",
        ]
        if again.uncompared:
            lines.append(f"unproven   {again.uncompared} turns, before which the model's state is not known")
    if result.torn_bytes:
        lines.append(f"end        torn: {result.torn_bytes} bytes are no whole chunk")
    elif not result.ended:
        lines.append("end        not in order")
    lines += [f"frame {one.frame}: {one.what} was {one.recorded}, is {one.replayed}" for one in result.differences]
    return "\n".join(lines)
