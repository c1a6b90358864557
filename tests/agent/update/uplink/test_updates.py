"""Updates through the real uplink process: every step is told, whatever is killed in the middle."""

import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from uplink_fleet import Fleet, until
from uplink_supervisor import STEPS, Supervisor

from edge.enrolment import read_enrolment, write_enrolment
from edge.messages import (
    ChunkRequest,
    EventRow,
    WindowRow,
)
from edge_agent.control import Fault, Request, Stage, Switch
from edge_agent.update.boot import choose_bundle

pytestmark = pytest.mark.skipif(shutil.which("mosquitto") is None, reason="mosquitto is not installed")


def test_a_wish_becomes_a_running_version_and_every_step_is_told(
    supervisor: Supervisor, fleet: Fleet, published: Any
) -> None:
    fleet.wish(1, 1)
    until(lambda: fleet.model == (1, "COMMITTED"), lambda: fleet.statuses)
    fleet.wish(2, 2)
    until(lambda: fleet.model == (2, "COMMITTED"), lambda: fleet.statuses)
    assert [status.state for status in fleet.statuses] == [*STEPS, "COMMITTED"] * 2
    assert [name for name in supervisor.asked if name != "Retire"] == ["Stage", "Switch"] * 2
    choice = choose_bundle(supervisor.state_dir, "light")
    assert choice.path is not None
    assert choice.path.read_bytes() == published.files["artifacts/light/light-2.edge"]
    until(lambda: {row.version for row in fleet.bodies(WindowRow)} >= {1, 2})
    labels = [row.labels for row in fleet.bodies(WindowRow) if row.version == 2]
    machine = next(row.machine for row in fleet.bodies(WindowRow) if row.machine)
    assert (machine.temperature_c, machine.memory_free_mib, machine.heat) == (76.5, 300, 1)
    assert set().union(*labels) <= {"go", "stop"}
    until(lambda: (found := supervisor.status()) and found.version == 2 and found.connected and found.drift is not None)
    assert [event.text for event in fleet.bodies(EventRow) if event.kind == "update" and event.version == 2][-1:] == [
        "COMMITTED"
    ]


def test_a_version_whose_loop_crashes_on_probation_is_reverted_and_reported(
    supervisor: Supervisor, fleet: Fleet, published: Any
) -> None:
    fleet.wish(1, 1)
    until(lambda: fleet.model == (1, "COMMITTED"), lambda: fleet.statuses)
    supervisor.before_answer = lambda request: (
        (isinstance(request, Switch) and threading.Timer(0.4, crash).start()) or True
    )

    def crash() -> None:
        supervisor.say(Fault(process="loop-1", reason="signal 6", restarts=1))

    fleet.wish(2, 2)
    until(lambda: fleet.model == (1, "ROLLED_BACK"), lambda: fleet.statuses)
    report = fleet.reported[-1].models["light"]
    assert (report.attempted, report.reason) == (2, "PROBATION_FAILED: loop-1: signal 6")
    assert supervisor.asked[-1] == "Revert"
    until(lambda: [event for event in fleet.bodies(EventRow) if event.kind == "fault"])


def test_an_uplink_that_reaches_only_the_broker_and_is_killed_in_the_middle_fetches_at_most_a_block_again(
    tmp_path: Path, fleet: Fleet, enrol: str, published: Any
) -> None:
    shut = msgspec.structs.replace(read_enrolment(Path(enrol)), http_url="http://127.0.0.1:9")
    write_enrolment(Path(enrol), shut)
    supervisor = Supervisor(tmp_path, enrol=enrol, probation_s=0.5, quiet_s=8.0, window_s=0.3, block_kib=16)
    fleet.files = published.files
    path, killed = "artifacts/light/light-1.edge", list[int]()

    def kill_twice(request: ChunkRequest) -> bool:
        if request.path == path and request.offset > 12_000 * (len(killed) + 1) and len(killed) < 2:
            killed.append(request.offset)
            supervisor.process.send_signal(signal.SIGKILL)
        return supervisor.process.poll() is None

    fleet.before_chunk = kill_twice
    fleet.wish(1, 1)
    for number in (1, 2):
        until(lambda number=number: len(killed) == number, lambda: fleet.asked)
        supervisor.end()
        supervisor.start()
    until(lambda: fleet.model == (1, "COMMITTED"), lambda: (fleet.statuses, fleet.asked))
    supervisor.kill()
    size = len(published.files[path])
    asked = sum(min(r.size_bytes, size - r.offset) for r in fleet.asked if r.path == path)
    assert asked - size <= 2 * 16 * 1024


@pytest.mark.parametrize("when", [Stage, Switch, "PROBATION", "DOWNLOADING"])
def test_an_uplink_killed_twice_in_the_middle_of_an_update_completes_it(
    supervisor: Supervisor, fleet: Fleet, published: Any, http_shelf: Any, when: Any
) -> None:
    killed: list[str] = []

    def kill_first() -> bool:
        """Kill once at each call, twice at most; says whether it did."""
        if len(killed) < 2:
            killed.append(str(when))
            supervisor.process.send_signal(signal.SIGKILL)
            return True
        return False

    if when == "DOWNLOADING":

        def trouble(handler: Any, data: bytes) -> bool:
            return handler.path.endswith(".edge") and kill_first() and time.sleep(0.2) is None

        http_shelf.trouble = trouble
    elif when != "PROBATION":
        supervisor.before_answer = lambda request: not (isinstance(request, when) and kill_first())
    fleet.wish(1, 1)
    deadline = time.monotonic() + 90
    while fleet.model != (1, "COMMITTED"):
        assert time.monotonic() < deadline, (fleet.statuses, supervisor.asked)
        if when == "PROBATION" and fleet.statuses and fleet.statuses[-1].state == "PROBATION":
            kill_first()
        if supervisor.process.poll() is not None:
            supervisor.end()
            if len(killed) == 1:
                supervisor.start()  # the supervisor lives, and starts it again
            else:
                supervisor.boot()  # the whole device starts again
        time.sleep(0.02)
    assert len(killed) == 2
    assert choose_bundle(supervisor.state_dir, "light").version == 1


@pytest.mark.parametrize("carried_out", [False, True])
def test_an_uplink_killed_at_the_switch_does_not_give_the_new_version_up(
    supervisor: Supervisor, fleet: Fleet, published: Any, carried_out: bool
) -> None:
    killed: list[Request] = []

    def kill_once(request: Request) -> bool:
        if not isinstance(request, Switch) or killed:
            return True
        killed.append(request)
        supervisor.process.send_signal(signal.SIGKILL)
        supervisor.process.wait(30)
        return carried_out  # the answer reaches nobody

    supervisor.before_answer = kill_once
    fleet.wish(1, 1)
    until(lambda: killed)
    supervisor.end()
    supervisor.start()
    until(lambda: fleet.model == (1, "COMMITTED"), lambda: (fleet.statuses, supervisor.asked))
    assert "ROLLED_BACK" not in [status.state for status in fleet.statuses]
