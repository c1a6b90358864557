# ruff: noqa: E501 - it holds the lines of a page
"""Writes agent.json for programs, and agent.md, a page that answers the acceptance lines in plain words."""

from pathlib import Path
from statistics import median

import msgspec
from ages import Ages
from deadman import FPS as FAULT_FPS
from deadman import LIMIT_MS, DeadMan
from jitter import LIMIT, JitterResult
from overhead import AGENT, PLAIN, CaseResult, Overhead
from peers import PEERS
from prepare import SLOW_SIDE
from rig import PRIORITY, REHEARSE_MS
from swaps import FPS as SWAP_FPS
from swaps import GUARD_MIB, LOOP_MIB, SWAPS, Swaps
from turns import Machine

NATIVE_SHARE, NATIVE_US, WAKE_US = 0.05, 10.0, 150.0
RESIZED_US = {96: 100.0, 224: 250.0}
"""Side of the network's input to the overhead that a resize from 640x480 may bring."""


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """All of agent.json."""

    machine: Machine
    overhead: Overhead
    ages: tuple[Ages, ...]
    jitter: JitterResult | None
    deadman: tuple[DeadMan, ...]
    swaps: Swaps | None

    def over(self, known: "Results | None") -> "Results":
        """These results, and of the parts that nobody measured what was known before, if it is of such a machine."""
        if known is None or not self.machine.is_like(known.machine):
            return self
        names = ("ages", "jitter", "deadman", "swaps")
        parts = {name: getattr(self, name) or getattr(known, name) for name in names}
        overhead = self.overhead if self.overhead.cases else known.overhead
        return msgspec.structs.replace(self, overhead=overhead, **parts)


def known(folder: Path) -> Results | None:
    """What the page in `folder` says. Raises msgspec.ValidationError if it is of another shape: then remove agent.json."""
    path = folder / "agent.json"
    return msgspec.json.decode(path.read_bytes(), type=Results) if path.exists() else None


def write(results: Results, folder: Path) -> None:
    """Write both."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "agent.json").write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    (folder / "agent.md").write_text(page(results), encoding="utf-8")


def page(results: Results) -> str:
    """The page."""
    machine = results.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    parts = (
        _overhead(results.overhead),
        _ages(results.ages),
        _jitter(results.jitter),
        _deadman(results.deadman),
        _swaps(results.swaps),
    )
    return f"""# Benchmarks: the agent

Written by `make bench-agent` from `agent.json` beside it; do not edit. The agent is the real one: supervisor, capture, ring, loop, guard, and where
it says so the uplink, which sends telemetry {_messages(results.overhead)} times a second over TLS to a real mosquitto. All times are the stamps that
the agent writes for each frame anyway. It is configured for [the lowest latency](../agent.md#the-lowest-latency):
`loop: {{cpu: 1, priority: {PRIORITY}, rehearse_ms: {REHEARSE_MS:g}, rehearse_inference: true}}`, as far as the machine allows it.

Machine: {machine.processor}, {machine.cores} cores, {machine.memory_gib:g} GiB. {versions}. The load average
before each part stands beside its figures: an idle machine has 0, and where it is several processes a core, the machine was shared with other work,
which lengthens everybody's times. Only what ran in turns can be compared.

## Answers

| what | wanted | found | |
| --- | --- | --- | --- |
{_answers(results)}
{"".join(parts)}"""


# ---- answers


def _answers(results: Results) -> str:
    rows: list[tuple[str, str, str, bool]] = []
    for case in results.overhead.cases:
        rows += _case_answers(case)
    rows += [_age_answer(one) for one in results.ages]
    if (jitter := results.jitter) is not None:
        rows.append((
            "p99 / p50 of the loop beside uplink and a busy process, against the machine without them",
            f"<= {LIMIT:g}x", f"{jitter.ratio:.2f}x ({jitter.beside:.2f} against {jitter.alone:.2f})", jitter.kept,
        ))  # fmt: skip
    rows += [_deadman_answer(one) for one in results.deadman]
    if results.swaps is not None:
        rows += _swap_answers(results.swaps)
    return (
        "\n".join(
            f"| {what} | {wanted} | {found} | {'kept' if kept else '**missed**'} |"
            for what, wanted, found, kept in rows
        )
        + "\n"
    )


def _case_answers(case: CaseResult) -> list[tuple[str, str, str, bool]]:
    ours = next(row for row in case.rows if row.who == AGENT)
    limit = RESIZED_US[case.side] if case.resized else max(NATIVE_SHARE * case.floor_p50_us, NATIVE_US)
    peers = (row for row in case.rows if row.who not in {AGENT, PLAIN})
    fastest = min(peers, key=lambda row: row.over_floor_us, default=None)
    rows = [
        (
            f"overhead over the floor, {_named(case)}",
            f"<= {limit:.0f} us",
            f"{ours.over_floor_us:.0f} us",
            ours.over_floor_us <= limit,
        )
    ]
    if fastest is not None:
        found = f"{fastest.who}: {fastest.over_floor_us:.0f} us over the floor, in all {fastest.ratio_to_agent:.2f}x the agent's"
        rows.append((f"fastest peer, {_named(case)}", "> 1x the agent's time", found, fastest.ratio_to_agent > 1))
    if not case.resized:
        wake_us = median(turn.wake_us.p50 for turn in case.agents)
        rows.append(
            (
                f"wake-up of the loop, p50, {_named(case)}",
                f"<= {WAKE_US:.0f} us",
                f"{wake_us:.0f} us",
                wake_us <= WAKE_US,
            )
        )
    return rows


def _age_answer(ages: Ages) -> tuple[str, str, str, bool]:
    what = (
        f"age at the actuator, p99, {ages.fps:g} fps, inference {ages.invoke_ms.p50:.0f} ms, {ages.seconds / 60:g} min"
    )
    return (
        what,
        f"<= {ages.limit_ms:.0f} ms, no growth",
        f"{ages.age_ms.p99:.1f} ms, {ages.growth_ms:+.1f} ms",
        ages.kept,
    )


def _deadman_answer(one: DeadMan) -> tuple[str, str, str, bool]:
    within = LIMIT_MS + 5
    wanted = f"p99 <= {within + one.late_ms.p99:.0f}, max <= {within + one.late_ms.max:.0f} ms"
    found = f"{one.safe_ms.p99:.1f}, {one.safe_ms.max:.1f} ms; {one.missed} of {one.repetitions} missed"
    return f"dead-man at {LIMIT_MS:g} ms: {one.fault}", wanted, found, one.kept


def _swap_answers(swaps: Swaps) -> list[tuple[str, str, str, bool]]:
    one, steady = swaps.swapping, swaps.steady
    loop, guard = (max(run.rss_mib.get(name, 0.0) for run in (one, steady)) for name in ("loop", "guard"))
    late = f"{one.late} of {one.decisions:,}; {steady.late} of {steady.decisions:,} without"
    expected = steady.late / max(1e-9, steady.seconds) * one.seconds + 1
    return [
        (f"frames dropped in {SWAPS} swaps at {SWAP_FPS:g} Hz", "0", f"{one.dropped} ({steady.dropped} without swaps)", not one.dropped),
        ("frames later than one period in them", f"<= {expected:.0f}", late, one.late <= expected),
        ("a late command of the old loop", "refused by its epoch", "refused" if one.refused_epoch == 1 else "not refused", one.refused_epoch == 1),
        ("memory of the loop, of the guard", f"<= {LOOP_MIB:.0f}, <= {GUARD_MIB:.0f} MiB", f"{loop:.1f}, {guard:.1f} MiB", loop <= LOOP_MIB and guard <= GUARD_MIB),
    ]  # fmt: skip


def _named(case: CaseResult) -> str:
    return f"{case.side} px, {'camera 640x480' if case.resized else 'camera at model size'}"


def _messages(overhead: Overhead) -> str:
    rates = [turn.messages_a_second for case in overhead.cases for turn in case.agents]
    return f"{median(rates):.0f}" if rates else "50"


# ---- details


def _overhead(overhead: Overhead) -> str:
    if not overhead.cases:
        return ""
    differs = "\n".join(f"- {peer.name}: {peer.differs}." for peer in PEERS.values())
    missing = "".join(f"- No figures of {who}: {why}.\n" for who, why in overhead.missing.items())
    return f"""
## What the agent adds to a bare inference

MobileNetV1 (width 0.25 at 96 px, 0.5 at 224 px), int8 inside, uint8 in and out, random weights; LiteRT with one thread; frames of noise in the
network's own colour order, 200 a second at 96 px and 100 at 224 px, the first 30 of a round not counted. Everybody has the same file, the same
frames and the same pace, in turns, who begins changes. A frame is written to memory just before its time begins, as a camera's driver or its
decoder does; the floor has none. Floor and peers run as they come, on any processor and with ordinary priority; they have no
fleet to report to. So on a machine shared with other work their p99 says less than their p50. *Floor*: a bare invoke when a frame would be due.

*Taken*: frame at hand until the decision is known. For the agent that is capture's work (resize, copy into the ring) and the loop's (input, inference,
decision), without the wake-up between the two processes, which the second table has. *Over the floor*: p50 less the floor's of the same round.
*Ratio*: its p50 divided by the agent's, median of the rounds; above 1 the agent is faster. A peer that takes long to start has all of its
frames in fewer rounds. *agent-plain*: the same agent without anything in `loop`, as it comes. Floor and agent have more rounds than the others, for the
machine's own speed changes from one turn to the next.

Most of every overhead here is cold code: after each wait for a frame, the code of a turn and the network's weights come from memory and not from the
processor's caches, and cost several times what they cost in a loop without waits; the floor pays that for its invoke, too. The agent rehearses against
it: capture its copying, the loop its turn and the inference, shortly before each frame is due. So it can lie *below* the floor, and pays for that
with a second inference for each frame. Its own costs, a copy into shared memory and a turn of Python in two processes, are in the second table.

{"".join(_case(case) for case in overhead.cases)}
{differs}
{missing}
The agent by its own stamps, p50 (p99), us; medians over the rounds:

| case | capture | wake-up | loop less inference | inference | captured to decision | captured to actuator |
| --- | --- | --- | --- | --- | --- | --- |
{"".join(_stamps(case) for case in overhead.cases)}
"""


def _case(case: CaseResult) -> str:
    head = f"**{_named(case)}**, {case.rounds} round{'s' * (case.rounds > 1)}, load {_range(case.loads)}; floor p50 {case.floor_p50_us:,.0f} us, p99 {case.floor_p99_us:,.0f} us.\n\n"
    rows = "".join(
        f"| {row.who} | {row.frames:,} | {row.p50_us:,.0f} | {row.p99_us:,.0f} | {row.over_floor_us:,.0f} | {'' if row.who == AGENT else f'{row.ratio_to_agent:.2f}'} | {row.lost} |\n"
        for row in case.rows
    )
    return f"{head}| | frames | taken p50, us | p99, us | over the floor, us | ratio | frames lost |\n| --- | --- | --- | --- | --- | --- | --- |\n{rows}\n"


def _stamps(case: CaseResult) -> str:
    names = ("capture_us", "wake_us", "loop_us", "invoke_us", "whole_us", "age_us")
    cells = [
        f"{median(getattr(turn, name).p50 for turn in case.agents):,.0f} ({median(getattr(turn, name).p99 for turn in case.agents):,.0f})"
        for name in names
    ]
    return f"| {_named(case)} | {' | '.join(cells)} |\n"


def _ages(ages: tuple[Ages, ...]) -> str:
    if not ages:
        return ""
    rows = "".join(
        f"| {one.fps:g} | {one.seconds / 60:g} min | {one.decisions:,} | {one.invoke_ms.p50:.1f} | {one.age_ms.p50:.1f} | {one.age_ms.p99:.1f} | {one.age_ms.max:.1f} | {one.limit_ms:.1f} | {one.growth_ms:+.2f} | {one.load:g} |\n"
        for one in ages
    )
    return f"""
## Age of the frame when the actuator moves

A network that is slower than the camera: MobileNetV1 at {SLOW_SIDE} px, full width, one thread. It keeps its processor busy all the time, so the loop has
one to itself but no real-time priority. The limit of p99 is one period + 1.2 x inference (its median here) + 5 ms; growth is the median of the last quarter
of the run less that of the first.

| fps | run | decisions | inference p50, ms | age p50, ms | p99 | max | limit of p99 | growth, ms | load |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
{rows}"""


def _jitter(jitter: JitterResult | None) -> str:
    if jitter is None:
        return ""
    return f"""
## Jitter beside a busy machine

The loop (frame read until the decision is handed on) at 100 frames a second, {jitter.rounds} rounds in turns: without a fleet; and with the uplink and a
Python process that computes without end. Load before the quiet turns {_range(jitter.loads)}.

| | p50, us | p99, us | max, us | p99 / p50, median of the rounds |
| --- | --- | --- | --- | --- |
| alone | {jitter.alone_us.p50:,.0f} | {jitter.alone_us.p99:,.0f} | {jitter.alone_us.max:,.0f} | {jitter.alone:.2f} |
| beside both | {jitter.beside_us.p50:,.0f} | {jitter.beside_us.p99:,.0f} | {jitter.beside_us.max:,.0f} | {jitter.beside:.2f} |
"""


def _deadman(faults: tuple[DeadMan, ...]) -> str:
    if not faults:
        return ""
    rows = "".join(
        f"| {one.fault} | {one.repetitions} | {one.missed} | {one.safe_ms.p50:.1f} | {one.safe_ms.p99:.1f} | {one.safe_ms.max:.1f} | {one.late_ms.p99:.1f} | {one.late_ms.max:.1f} | {one.stale} | {one.load:g} |\n"
        for one in faults
    )
    return f"""
## Dead-man

Limit {LIMIT_MS:g} ms, {FAULT_FPS:g} frames a second. Each fault strikes the running agent at a random moment of a period. *Safe after*: from the capture of
the last frame in force until the guard chooses the safe state. *Late*: how much too late the machine woke a control process that has nothing else to do
than to wake every 20 ms, with the guard's priority, in the same run. *Stale*: commands carried out after their limit. The stalls are made in the decider, the camera in the source;
for the ring, a stranger claims every slot and writes garbage over their headers.

| fault | times | missed | safe after p50, ms | p99 | max | late p99, ms | max | stale | load |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
{rows}"""


def _swaps(swaps: Swaps | None) -> str:
    if swaps is None:
        return ""
    rows = "".join(
        f"| {name} | {run.swaps} | {run.seconds:g} | {run.decisions:,} | {run.dropped} | {run.twice} | {run.late} | {run.age_ms.p50:.2f} | {run.age_ms.p99:.2f} | {run.age_ms.max:.1f} | {load:g} |\n"
        for name, run, load in (("swapping", swaps.swapping, swaps.loads[0]), ("steady", swaps.steady, swaps.loads[1]))
    )
    memory = ", ".join(f"{name} {mib:g}" for name, mib in swaps.steady.rss_mib.items() if not name.endswith("uplink"))
    return f"""
## Hot swap

At {SWAP_FPS:g} frames a second, a version is loaded, checked and warmed in the second loop, the index is flipped, and the old loop is ended; then the same time
without swaps. *Late*: the decision came more than one period after the capture. Resident memory, shared pages included, MiB: {memory}.

| | swaps | seconds | decisions | dropped | decided twice | late | age p50, ms | p99 | max | load |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
{rows}"""


def _range(loads: tuple[float, ...]) -> str:
    return f"{min(loads):g} to {max(loads):g}" if loads else "not known"
