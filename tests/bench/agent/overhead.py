"""Lines 1 and 10: what the agent adds to a bare inference, beside its peers, in turns; and how fast the loop wakes."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import numpy as np
from fleet_side import fleet_side
from numpy.typing import NDArray
from peers import PEERS, CannotInstallError, environment
from prepare import CAMERA, NETWORKS, Things
from rig import Records, Setting, agent, placement, read_records
from store import Spread, cell, remembered, spread

HERE = Path(__file__).parent
FRAMES, ROUNDS, SKIP = 700, 9, 30
"""ROUNDS: of floor and agent, because a shared machine's own speed changes from one turn to the next."""
PEER_ROUNDS = 3
FPS = {96: 200.0, 224: 100.0}
"""By the side of the network's input."""
TURN_S = 300
AGENT, PLAIN, FLOOR = "agent", "agent-plain", "floor"
"""PLAIN: without anything in `loop`."""


class Case(msgspec.Struct, frozen=True):
    """A network and the pictures that the camera delivers."""

    network: str
    resized: bool

    @property
    def name(self) -> str:
        """For files."""
        return f"{self.network}-{'640x480' if self.resized else 'native'}"

    @property
    def side(self) -> int:
        """Of the network's input."""
        return NETWORKS[self.network][0]

    def frames(self, things: Things) -> Path:
        """The pictures."""
        return things.frames(*CAMERA) if self.resized else things.frames(self.side, self.side)


CASES = tuple(Case(network, resized) for network in NETWORKS for resized in (False, True))


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One way to run a model, for `FRAMES` frames."""

    taken_us: Spread
    """Frame at hand -> decision known, the model's time included; of the agent without its wake-up."""
    lost: int = 0


class AgentTurn(msgspec.Struct, frozen=True, kw_only=True):
    """The real agent, by its own stamps."""

    taken_us: Spread
    """Capture's work and the loop's."""
    whole_us: Spread
    """The same and the wake-up between: captured -> decision known."""
    loop_us: Spread
    """Frame read -> decision known, less inference."""
    capture_us: Spread
    """Captured -> published: resize, and copy into the ring."""
    wake_us: Spread
    invoke_us: Spread
    age_us: Spread
    """Captured -> applied by the guard."""
    messages_a_second: float
    rss_mib: dict[str, float]
    lost: int


class Why(msgspec.Struct, frozen=True):
    """A peer that does not run here."""

    reason: str


def measure(folder: Path, things: Things) -> None:
    """All turns that are not there yet; who begins changes from round to round."""
    names = [FLOOR, AGENT, PLAIN, *PEERS]
    for case in CASES:
        for number in range(ROUNDS):
            for at in range(len(names)):
                who = names[(at + number) % len(names)]
                path = folder / f"{case.name}-{number}-{who}.json"
                if who == AGENT or (who == PLAIN and number < PEER_ROUNDS):
                    more = placement() if who == AGENT else {}
                    cell(path, AgentTurn, lambda case=case, more=more: agent_turn(case, things, more))  # type: ignore[misc]
                elif who == FLOOR or (
                    who in PEERS and number < PEERS[who].rounds and not reason_of(folder, who).exists()
                ):
                    peer_turn(path, folder, who, case, things)


def peer_turn(path: Path, folder: Path, who: str, case: Case, things: Things) -> None:
    """One turn of a peer in an environment of its own, or why it does not run."""
    try:
        python = Path(sys.executable) if who == FLOOR else environment(PEERS[who], folder.parent / "env")
        cell(path, Turn, lambda: run_peer(python, who, case, things))
    except (CannotInstallError, subprocess.SubprocessError) as exc:
        reason_of(folder, who).write_bytes(msgspec.json.encode(Why(why(exc))))


def reason_of(folder: Path, who: str) -> Path:
    """Where it stands why a peer does not run here."""
    return folder / f"{who}.why.json"


def why(exc: Exception) -> str:
    """In a line, and without a path."""
    if isinstance(exc, subprocess.TimeoutExpired):
        return f"not done after {exc.timeout:g} s"
    words = exc.stderr.decode(errors="replace") if isinstance(exc, subprocess.CalledProcessError) else str(exc)
    last = [line for line in words.splitlines() if line.strip()] or ["ended without a word"]
    return re.sub(r"(/[\w.+-]+){2,}", "...", last[-1].strip())[:200]


def run_peer(python: Path, who: str, case: Case, things: Things) -> Turn:
    """Run its script."""
    with tempfile.TemporaryDirectory(prefix="edge-bench-") as scratch:
        out = Path(scratch) / "out.json"
        frames = FRAMES * PEER_ROUNDS // (PEERS[who].rounds if who in PEERS else PEER_ROUNDS)
        words = (things.model(case.network), case.frames(things), FPS[case.side], frames, case.side, out)
        command = [str(python), str(HERE / f"peer_{who}.py"), *map(str, words)]
        alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
        subprocess.run(
            command, check=True, capture_output=True, timeout=TURN_S, env=alone, cwd=scratch, stdin=subprocess.DEVNULL
        )
        found = json.loads(out.read_text())
    return Turn(taken_us=spread(found["taken_ns"], 1e3), lost=found.get("lost", 0))


def agent_turn(case: Case, things: Things, more: dict[str, Any]) -> AgentTurn:
    """The agent as it is, with a fleet that takes its telemetry. `more`: of its configuration."""
    setting = Setting(things.bundle(case.network), case.frames(things), FPS[case.side], more=more)
    with tempfile.TemporaryDirectory(prefix="edge-bench-", dir="/dev/shm") as name:
        folder = Path(name)
        with fleet_side(folder) as fleet, agent(folder / "agent", setting, fleet.enrolment) as running:
            running.until(lambda: fleet.messages()[1], "telemetry")
            began_s, before = fleet.messages()
            first = running.decisions()
            running.until(lambda: running.decisions() - first > 2 * (FRAMES + SKIP), "decisions")
            ended_s, after = fleet.messages()
            rss = running.rss_mib()
        records = read_records(folder / "agent" / "records.bin", skip=first // 2 + SKIP)
    return sum_up(records, (after - before) / max(1e-9, ended_s - began_s), rss)


def sum_up(records: Records, messages_a_second: float, rss: dict[str, float]) -> AgentTurn:
    """Of decisions that the guard carried out, for its record says when the decision was known."""
    known_ns = {one.frame: one.handed_ns for one in records.applied}
    kept = Records(tuple(one for one in records.decided if one.frame in known_ns)[:FRAMES], records.applied[:FRAMES])
    known: NDArray[np.int64] = np.array([known_ns[one.frame] for one in kept.decided])
    read, captured = (np.array([getattr(one, name) for one in kept.decided]) for name in ("read_ns", "captured_ns"))
    return AgentTurn(
        taken_us=spread(kept.capture_ns() + known - read, 1e3),
        whole_us=spread(known - captured, 1e3),
        loop_us=spread(known - read - kept.invoke_ns(), 1e3),
        capture_us=spread(kept.capture_ns(), 1e3),
        wake_us=spread(kept.wake_ns(), 1e3),
        invoke_us=spread(kept.invoke_ns(), 1e3),
        age_us=spread(kept.age_ns(), 1e3),
        messages_a_second=round(messages_a_second, 1),
        rss_mib=rss,
        lost=sum(one.dropped for one in kept.decided),
    )


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One way to run one case: medians over its rounds."""

    who: str
    frames: int
    p50_us: float
    p99_us: float
    over_floor_us: float
    """p50 less that of the floor in the same round."""
    ratio_to_agent: float
    """Its p50 divided by the agent's of the same round; above 1 the agent is faster."""
    lost: int


class CaseResult(msgspec.Struct, frozen=True, kw_only=True):
    """One case."""

    case: str
    side: int
    fps: float
    resized: bool
    rounds: int
    floor_p50_us: float
    floor_p99_us: float
    rows: tuple[Row, ...]
    agents: tuple[AgentTurn, ...]
    loads: tuple[float, ...]


class Overhead(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of this part."""

    cases: tuple[CaseResult, ...]
    missing: dict[str, str]


def collect(folder: Path) -> Overhead:
    """What there is."""
    missing = {
        who: msgspec.json.decode(path.read_bytes(), type=Why).reason
        for who in PEERS
        if (path := reason_of(folder, who)).exists()
    }
    return Overhead(cases=tuple(filter(None, (_case(folder, case) for case in CASES))), missing=missing)


def _case(folder: Path, case: Case) -> CaseResult | None:
    rounds = list(_rounds(folder, case))
    if not rounds:
        return None
    floors = [one[FLOOR] for _, _, one in rounds]
    names = [name for name in (AGENT, PLAIN, *PEERS) if any(name in one for _, _, one in rounds)]
    return CaseResult(
        case=case.name, side=case.side, fps=FPS[case.side], resized=case.resized, rounds=len(rounds),
        floor_p50_us=median(one.p50 for one in floors), floor_p99_us=median(one.p99 for one in floors),
        rows=tuple(_row(name, [(one, lost) for _, lost, one in rounds if name in one]) for name in names),
        agents=tuple(turn for turn, _, _ in rounds), loads=tuple(_loads(folder, case)),
    )  # fmt: skip


def _rounds(folder: Path, case: Case) -> Iterator[tuple[AgentTurn, dict[str, int], dict[str, Spread]]]:
    """Rounds in which floor and agent were measured: the agent's own turn, what was lost, and everybody's times."""
    for number in range(ROUNDS):
        ours = remembered(folder / f"{case.name}-{number}-{AGENT}.json", AgentTurn)
        plain = remembered(folder / f"{case.name}-{number}-{PLAIN}.json", AgentTurn)
        others = {who: remembered(folder / f"{case.name}-{number}-{who}.json", Turn) for who in (FLOOR, *PEERS)}
        if ours is not None and others[FLOOR] is not None:
            found = {AGENT: ours[1]} | ({} if plain is None else {PLAIN: plain[1]})
            found |= {who: one[1] for who, one in others.items() if one is not None}
            yield (
                ours[1],
                {who: one.lost for who, one in found.items()},
                {who: one.taken_us for who, one in found.items()},
            )


def _loads(folder: Path, case: Case) -> Iterator[float]:
    for number in range(ROUNDS):
        if (found := remembered(folder / f"{case.name}-{number}-{AGENT}.json", AgentTurn)) is not None:
            yield found[0]


def _row(who: str, rounds: list[tuple[dict[str, Spread], dict[str, int]]]) -> Row:
    over = [one[who].p50 - one[FLOOR].p50 for one, _ in rounds]
    return Row(
        who=who,
        frames=sum(one[who].count for one, _ in rounds),
        p50_us=round(median(one[who].p50 for one, _ in rounds), 1),
        p99_us=round(median(one[who].p99 for one, _ in rounds), 1),
        over_floor_us=round(median(over), 1),
        ratio_to_agent=round(median(one[who].p50 / one[AGENT].p50 for one, _ in rounds), 2),
        lost=sum(lost[who] for _, lost in rounds),
    )
