"""Which settings of the loop pay on this machine: step by step, each against the best so far, in turns with it.

One step changes one setting. Both are timed round by round, A B B A, so that a machine that becomes slower or warmer
slows both alike. A step is faster where every round with it is faster than every round without it, but for the one
round that fits least: something else ran meanwhile. Of six rounds and six that differ by chance only, one in 77 comes
out so (12 of the 12! / (6! 6!) = 924 orders). So nobody need know the noise of the machine: the rounds bring it with
them. Pure: whoever calls brings the clock.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import msgspec

from edge.console import Advance
from edge_agent.config import LoopConfig

ROUNDS = 6
"""Of each setting, at most: a step that cannot pay any more is given up."""
FREE, COSTLY = 0.02, 0.1
"""Least gain, as a share of a frame's age: of a step that only arranges things, and of one that costs energy in every
frame (another processor at work, a rehearsal)."""
ALWAYS_BUSY = 0.95
"""Share of the time from which the kernel holds up a real-time loop. Source: sched(7), sched_rt_runtime_us 950000 of
1000000."""
ROOM_FOR_TWO = 0.4
"""Share of the time that inference may take where a second one for each frame is to be over in time."""
PRIORITY, REHEARSE_MS = 50, 0.8


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of `loop` that are chosen here; the others are left as they are. None: not set."""

    threads: int
    cpu: int | None
    priority: int | None
    rehearse_ms: float
    rehearse_inference: bool


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of the agent showed."""

    age_p50_ms: float
    age_p99_ms: float
    """Of the frame when its decision was applied, since it was captured."""
    loop_p50_ms: float
    """Newest frame read to decision handed over."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table. `without` and `within` are the middle of the rounds without the step and with it."""

    setting: str
    without: Round | None = None
    within: Round | None = None
    """None: not tried."""
    rounds: int = 0
    kept: bool = False
    verdict: str


@dataclass(frozen=True, slots=True)
class Machine:
    """What this process may use."""

    processors: tuple[int, ...]
    may_be_urgent: bool
    """Whether this user may have a real-time priority."""


@dataclass(frozen=True, slots=True)
class Step:
    """One change that may pay."""

    name: str
    changes: dict[str, Any] = field(default_factory=dict)
    """Keys of `LoopConfig` with their new values."""
    margin: float = COSTLY
    builds_on: str = ""
    """Name of the step that must have been kept before."""
    most_busy: float = float("inf")
    """Not tried where the loop takes a larger share of a frame's period, with what it is awake besides."""
    awake_ms: float = 0.0
    """Before and behind the time when a frame is due."""
    hindrance: str = ""
    """Why it cannot be tried at all."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What came out."""

    loop: LoopConfig
    start: Round
    """With nothing chosen."""
    outcomes: tuple[Outcome, ...]


Measure = Callable[[LoopConfig], Round]


def settings_of(loop: LoopConfig) -> Settings:
    """The part of `loop` that is chosen here."""
    return Settings(**{key: getattr(loop, key) for key in Settings.__struct_fields__})


def make_steps(machine: Machine, own: LoopConfig, hindrance: str = "") -> tuple[Step, ...]:
    """Steps in their order; the last one goes to what the file says now, `own`, which has a `hindrance` here or not."""
    last, alone = machine.processors[-1], "" if len(machine.processors) > 1 else "there is no other processor"
    forbidden = "" if machine.may_be_urgent else "this user may not have a real-time priority"
    awake = Step(
        f"rehearse_ms {REHEARSE_MS:g}",
        {"rehearse_ms": REHEARSE_MS},
        most_busy=ALWAYS_BUSY,
        awake_ms=2 * REHEARSE_MS,
    )
    return (
        *_thread_steps(len(machine.processors)),
        Step(f"cpu {last}", {"cpu": last}, FREE, hindrance=alone),
        Step(f"priority {PRIORITY}", {"priority": PRIORITY}, FREE, most_busy=ALWAYS_BUSY, hindrance=forbidden),
        awake,
        Step("rehearse_inference", {"rehearse_inference": True}, builds_on=awake.name, most_busy=ROOM_FOR_TWO),
        *_own_step(settings_of(own), hindrance),
    )


def _own_step(own: Settings, hindrance: str) -> list[Step]:
    if own == settings_of(LoopConfig()):
        return []
    most_busy = float("inf")
    if own.rehearse_inference:
        most_busy = ROOM_FOR_TWO
    elif own.priority or own.rehearse_ms:
        most_busy = ALWAYS_BUSY
    changes, awake_ms = msgspec.structs.asdict(own), 2 * own.rehearse_ms
    return [Step("as the file has it", changes, most_busy=most_busy, awake_ms=awake_ms, hindrance=hindrance)]


def _thread_steps(processors: int) -> list[Step]:
    steps: list[Step] = []
    threads, before = 2, ""
    while threads <= min(processors, 64):
        steps.append(Step(f"threads {threads}", {"threads": threads}, builds_on=before))
        threads, before = threads * 2, steps[-1].name
    return steps


def choose(base: LoopConfig, steps: Sequence[Step], period_ms: float, measure: Measure, advance: Advance) -> Choice:
    """Try each step on the best so far, beginning with `base`; `advance` moves by one for each.

    Args:
        base: nothing chosen yet.
        steps: in the order in which they are tried.
        period_ms: between two frames, as the device will run.
        measure: runs the agent once.
        advance: is told how far this is.

    """
    best, outcomes, kept = base, list[Outcome](), set[str]()
    start = now = measure(base)
    for step in steps:
        changed = msgspec.structs.replace(best, **step.changes)
        reason = _why_not(step, kept, (now.loop_p50_ms + step.awake_ms) / period_ms, changed == best)
        outcome = Outcome(setting=step.name, verdict=f"not tried: {reason}") if reason else None
        if outcome is None:
            outcome = contest(step, best, changed, measure, lambda: advance(1 / ROUNDS))
        advance(1 - outcome.rounds / ROUNDS)
        outcomes.append(outcome)
        if outcome.kept and outcome.within is not None:
            best, now = changed, outcome.within
            kept.add(step.name)
    return Choice(best, start, tuple(outcomes))


def _why_not(step: Step, kept: set[str], busy: float, same: bool) -> str:
    if step.hindrance:
        return step.hindrance
    if step.builds_on and step.builds_on not in kept:
        return f"{step.builds_on} was not kept"
    if busy > step.most_busy:
        return (
            f"the loop would be awake for {busy:.0%} of the time"
            if step.awake_ms
            else f"the loop takes {busy:.0%} of the time"
        )
    return "that is what was chosen" if same else ""


def contest(step: Step, best: LoopConfig, changed: LoopConfig, measure: Measure, done: Callable[[], None]) -> Outcome:
    """Time both in turns, until it is plain that the step does not pay, or for `ROUNDS` rounds."""
    without, within = list[Round](), list[Round]()
    while len(without) < ROUNDS and not is_lost(without, within):
        turns = [(best, without), (changed, within)]
        for loop, rounds in turns if len(without) % 2 == 0 else reversed(turns):
            rounds.append(measure(loop))
        done()
    kept, verdict = judge(without, within, step.margin)
    return Outcome(
        setting=step.name,
        without=middle(without),
        within=middle(within),
        rounds=len(within),
        kept=kept,
        verdict=verdict,
    )


def judge(without: Sequence[Round], within: Sequence[Round], margin: float) -> tuple[bool, str]:
    """Whether a step is kept, and why.

    It must be faster at p50 or at p99, by at least `margin`, and at neither be worse: there the middle of the rounds
    with it must not lie above the slowest round but one without it.
    """
    gains, worse = list[tuple[str, float]](), list[str]()
    for name, before, after in _ages(without, within):
        if _is_below(after, before):
            gains.append((name, 1 - median(after) / median(before)))
        if median(after) > sorted(before)[-2:][0]:
            worse.append(name)
    if not gains:
        return False, "no: not faster in every round but one"
    told = " and ".join(f"{gain:.0%} less at {name}" for name, gain in gains)
    if worse:
        return False, f"no: {told}, but more at {' and '.join(worse)}"
    if max(gain for _, gain in gains) < margin:
        return False, f"no: {told}, and it must save {margin:.0%}"
    return True, f"kept: {told}"


def is_lost(without: Sequence[Round], within: Sequence[Round]) -> bool:
    """No further round can make the step faster: what is amiss with some of the rounds is so with all."""
    return len(within) > 1 and not any(_is_below(after, before) for _, before, after in _ages(without, within))


def _is_below(lower: Sequence[float], upper: Sequence[float]) -> bool:
    """Whether all of `lower` are less than all of `upper`; of two and more, one of either may be left out."""
    low, high = sorted(lower), sorted(upper)
    if len(low) == 1:
        return low[0] < high[0]
    return low[-2] < high[0] or low[-1] < high[1]


def _ages(without: Sequence[Round], within: Sequence[Round]) -> list[tuple[str, list[float], list[float]]]:
    return [
        ("p50", [one.age_p50_ms for one in without], [one.age_p50_ms for one in within]),
        ("p99", [one.age_p99_ms for one in without], [one.age_p99_ms for one in within]),
    ]


def middle(rounds: Sequence[Round]) -> Round:
    """The median of each figure, to the thousandth."""
    return Round(**{name: round(median(getattr(one, name) for one in rounds), 3) for name in Round.__struct_fields__})
