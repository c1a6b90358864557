"""A Pi 4 and a Pi 5, each a machine of its own on the network, and one real fleet: an update, a cut link, recovery."""

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from boards import ON_BOARD, Board
from colour_bundles import MODEL, pictures
from namespaces import FLEET, Cable, Site, missing
from whole_fleet import Fleet, wait_for

from edge_agent.actuators.recorder import Line, read_lines
from fleet.store import open_store

PI_4, PI_5 = "pi-4", "pi-5"
CPUS = {PI_4: "cortex-a72", PI_5: "cortex-a76"}
ENDS_WITH_US = ("setpriv", "--pdeathsig", "TERM")
"""A service whose tests are killed ends, too, as the boards do."""
CUT_S = 60.0
SECOND_NS = 1_000_000_000
PLAN = {
    "waves": [1, 1.0],
    "soak_s": 1.0,
    "wave_timeout_s": 200.0,
    "min_scores": 20,
    "min_decisions": 20,
    "max_score_drift": 5.0,
    "max_label_shift": 5.0,
    "max_latency_ratio": 100.0,
}
"""One board first, then the other; of quality only what a few seconds of decisions can tell."""


@dataclass(frozen=True, slots=True)
class Town:
    """The fleet, and two boards that are wired to it."""

    fleet: Fleet
    boards: dict[str, Board]
    cables: dict[str, Cable]

    def model(self, device: str) -> tuple[int, str]:
        """Version and state, as the fleet knows them."""
        found = self.fleet.model(device)
        return found["version"], found["state"]

    def online(self, device: str) -> bool:
        """Whether the fleet believes that it can be reached."""
        return any(each["id"] == device and each["online"] for each in self.fleet.status()["devices"])

    def seen(self) -> str:
        """For a test that failed."""
        status = self.fleet.status()
        return json.dumps([status["devices"], status["rollouts"], [board.uplink() for board in self.boards.values()]])

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Both boards must be running, too."""

        def holds() -> bool:
            ended = [name for name, board in self.boards.items() if not board.runs]
            assert not ended, f"the agent has ended on {ended}"
            return condition()

        wait_for(holds, timeout_s=240, what=what, seen=self.seen)

    def roll_out(self, version: int) -> None:
        """Returns when every board has committed it."""
        plan = self.fleet.folder / "plan.yaml"
        plan.write_text(yaml.safe_dump(PLAN))
        words = ["rollout", "start", MODEL, str(version), "--plan", str(plan), "--dir", str(self.fleet.dir)]
        self.fleet.edge("fleet", *words)
        self.wait(lambda: self.fleet.status()["rollouts"][-1]["state"] == "DONE", f"the rollout of version {version}")
        assert {self.model(name) for name in CPUS} == {(version, "COMMITTED")}


def settings(device: str) -> dict[str, Any]:
    """What an agent on a board is configured with: an emulated one is slow, and that is no fault."""
    record = {"path": str(ON_BOARD / "record.txt"), "max_age_ms": 10_000, "safe_state": "stop"}
    return {
        "device": device,
        "model": MODEL,
        "state_dir": str(ON_BOARD / "state"),
        "source": {"kind": "frames", "path": str(ON_BOARD / "frames.npy"), "fps": 5, "hang_s": 60.0},
        "decider": {"kind": "classify", "go": ["green"], "floor": 0.5, "hold_s": 0.2, "max_gap_s": 10.0},
        "actuators": [{"kind": "recorder", **record}],
        "guard": {"hang_s": 60.0},
        "loop": {"hang_s": 60.0, "start_s": 150.0},
        "fleet": {
            "enrol": str(ON_BOARD / "device.enrol"),
            "target": "raspberrypi4",
            "probation_s": 3.0,
            "quiet_s": 30.0,
        },
    }


def enrol(fleet: Fleet, device: str, folder: Path) -> None:
    """Put into its folder what a board needs."""
    folder.mkdir()
    fleet.edge("fleet", "enrol", device, "-o", str(folder / "device.enrol"), "--dir", str(fleet.dir))
    (folder / "agent.yaml").write_text(yaml.safe_dump(settings(device)))
    frames, _ = pictures(60, np.random.default_rng(9))
    np.save(folder / "frames.npy", frames[..., ::-1])


@pytest.fixture
def town(device_root: Path, tmp_path: Path) -> Iterator[Town]:
    if reason := missing():
        pytest.skip(reason)
    site = Site()
    boards: dict[str, Board] = {}
    fleet = None
    try:
        fleet = Fleet(tmp_path, host=FLEET, within=(*site.fleet.within, *ENDS_WITH_US))
        cables = {}
        for name, cpu in CPUS.items():
            enrol(fleet, name, tmp_path / name)
            machine, cables[name] = site.add_machine()
            boards[name] = Board(device_root, cpu, tmp_path / name, within=machine.within)
        yield Town(fleet, boards, cables)
    finally:
        for board in boards.values():
            board.stop()
        if fleet is not None:
            fleet.stop()
        site.close()
        for log in [*sorted(tmp_path.glob("log-*.txt")), *sorted(tmp_path.glob("pi-*/log.txt"))]:
            print(f"--- {log}\n{log.read_text()[-4000:]}")


def decisions(board: Board, since_ns: int, until_ns: int) -> list[Line]:
    """What the guard applied in between because of a frame, not for want of one."""
    lines = read_lines(board.record)
    return [line for line in lines if since_ns <= line.applied_ns < until_ns and line.frame and not line.safe]


def stored(fleet: Fleet, device: str) -> Counter[tuple[str, int]]:
    """Identities of all rows of one device that the fleet has."""
    store = open_store(f"sqlite:///{fleet.dir / 'telemetry.db'}")
    kinds = ("windows", "decisions", "events", "quarantine")
    found = Counter(row for kind in kinds for row in store.identities(kind, device))
    store.close()
    return found


def steps(fleet: Fleet, device: str, version: int) -> set[str]:
    """What a device has told of its update to `version`."""
    store = open_store(f"sqlite:///{fleet.dir / 'telemetry.db'}")
    found = {each.state for each in store.updates(1000, device) if each.version == version}
    store.close()
    return found


def ask(fleet: Fleet, query: str, *values: object) -> list[tuple[Any, ...]]:
    """What only the tables tell: times of the device's own clock."""
    with closing(sqlite3.connect(f"file:{fleet.dir / 'telemetry.db'}?mode=ro", uri=True)) as database:
        return database.execute(query, values).fetchall()


def told_twice(fleet: Fleet) -> int:
    """Windows that say the same under two identities."""
    query = "SELECT 1 FROM windows GROUP BY device, mono_ns, model, version HAVING count(*) > 1"
    return len(ask(fleet, query))


def told_decisions(fleet: Fleet, device: str, since_ns: int, until_ns: int) -> int:
    """How many decisions the fleet was told of, in windows that closed in between."""
    query = "SELECT sum(decisions) FROM windows WHERE device = ? AND mono_ns BETWEEN ? AND ?"
    return int(ask(fleet, query, device, since_ns, until_ns)[0][0] or 0)


@pytest.mark.timeout(1800)
def test_two_boards_take_an_update_and_lose_no_row_though_a_link_is_cut_for_a_minute(
    town: Town, bundle: Path, next_bundle: Path
) -> None:
    town.wait(lambda: all(town.online(name) for name in CPUS), "the boards to enrol")
    town.fleet.publish(bundle)
    town.roll_out(1)
    town.fleet.publish(next_bundle)
    town.roll_out(2)
    for name in CPUS:
        assert {"DOWNLOADING", "VERIFYING", "SELFTEST", "SWITCHED", "PROBATION"} <= steps(town.fleet, name, 2)

    board, cable = town.boards[PI_4], town.cables[PI_4]
    outbox, _ = board.rows_made()
    cable.pull()
    cut_ns = time.monotonic_ns()
    town.wait(lambda: not town.online(PI_4) and time.monotonic_ns() - cut_ns >= CUT_S * 1e9, "the cut to be noticed")
    assert town.online(PI_5)
    assert told_decisions(town.fleet, PI_4, cut_ns + SECOND_NS, time.monotonic_ns()) == 0
    waiting = board.uplink()["outbox_rows"]
    cable.plug_in()
    back_ns = time.monotonic_ns()
    decided = decisions(board, cut_ns, back_ns)
    assert {line.action for line in decided} == {"go", "stop"}
    assert len({line.frame for line in decided}) > CUT_S

    town.wait(lambda: town.online(PI_4), f"{PI_4} to come back")
    for name, each in town.boards.items():
        identity, made = each.rows_made()
        numbers = {(identity, number) for number in range(1, made + 1)}
        town.wait(lambda name=name, numbers=numbers: numbers <= stored(town.fleet, name).keys(), f"all rows of {name}")
        rows = stored(town.fleet, name)
        assert set(rows.values()) == {1}
        assert {each for each, _ in rows} == {identity}
        print(f"{name}: {made} rows made, each of them stored once")
        assert each.uplink()["outbox_dropped"] == 0
    assert board.rows_made()[0] == outbox
    assert told_twice(town.fleet) == 0
    told = told_decisions(town.fleet, PI_4, cut_ns, back_ns)
    print(f"cut for {(back_ns - cut_ns) / 1e9:.0f} s: {waiting} rows waited, {len(decided)} decisions, {told} told of")
    assert told == pytest.approx(len(decided), rel=0.1)
    assert {town.model(name) for name in CPUS} == {(2, "COMMITTED")}

    town.roll_out(1)  # the one that was cut off obeys again
    assert [each.stop() for each in town.boards.values()] == [0, 0]
