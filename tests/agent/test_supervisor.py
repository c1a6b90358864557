"""The supervisor with the test as its uplink: faults, restarts and the switch between two loops."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_agent.actuators.recorder import Line
from edge_agent.control import Done, Retire, Revert, Stage, Switch
from edge_agent.records import Applied
from edge_agent.ring_memory import RingMemory

MakeBundle = Callable[..., Path]
MakeConfig = Callable[..., Path]
StartAgent = Callable[..., Any]
LIMIT_MS = 300
FLEET = "fleet: {enrol: desk-1.enrol, target: x86-64}\n"
IMPATIENT = "loop: {hang_s: 1.5}\nguard: {hang_s: 1.5}\n"


def stage(agent: Any, bundle: Path, version: int) -> Done:
    answer: Done = agent.ask(Stage(path=str(bundle), model="light", version=version))
    return answer


def decides(agent: Any, epoch: int, count: int = 5) -> None:
    agent.until(lambda: agent.listen() or len(agent.decided(epoch)) >= count, f"decisions of epoch {epoch}")


def kill(agent: Any, name: str, number: int) -> int:
    """Send a signal to one process, once it runs, and return when."""
    agent.until(lambda: agent.pid(name), name)
    os.kill(agent.pid(name), number)
    return time.monotonic_ns()


def safe_or_fresh(agent: Any, since_ns: int) -> Line:
    """The first line that says `safe`, or rests on a frame captured after `since_ns`: on a quick machine a process may
    be back before anything is too old."""
    found: list[Line] = []

    def look() -> list[Line]:
        after = [line for line in agent.lines() if line.applied_ns > since_ns]
        found[:] = [line for line in after if line.safe or line.captured_ns > since_ns]
        return found

    agent.until(look, "the safe state or a fresh frame")
    return found[0]


def made_safe_anew(agent: Any, since_ns: int) -> None:
    """Wait for the safe state chosen by a new guard, which knows of no frame.

    On a busy machine the old guard may have made safe for want of a fresh frame, just before it died.
    """
    agent.until(lambda: [x for x in agent.lines() if x.safe and not x.frame and x.applied_ns > since_ns], "a new guard")


@pytest.mark.parametrize("name", ["loop", "capture"])
def test_a_killed_or_stopped_process_leaves_the_actuator_safe_and_comes_back(
    name: str, make_bundle: MakeBundle, make_config: MakeConfig, start_agent: StartAgent
) -> None:
    config = make_config(fps=50, max_age_ms=LIMIT_MS, more=IMPATIENT)
    config.write_text(config.read_text().replace("fps: 50", "fps: 50, hang_s: 1.5"))
    agent = start_agent(config, make_bundle())
    for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGKILL):
        agent.goes()
        struck_ns = kill(agent, name, number)
        first = safe_or_fresh(agent, struck_ns)
        assert first.applied_ns - struck_ns < (3 if first.safe else 1) * LIMIT_MS * 1e6
    agent.goes()
    assert all(x.applied_ns - x.captured_ns <= LIMIT_MS * 1e6 for x in agent.lines() if not x.safe)
    assert agent.stop() == 0


def test_a_killed_or_stopped_guard_comes_back_safe_and_then_obeys(
    make_bundle: MakeBundle, make_config: MakeConfig, start_agent: StartAgent
) -> None:
    agent = start_agent(make_config(more=IMPATIENT), make_bundle())
    for number in (signal.SIGKILL, signal.SIGSTOP):
        agent.goes()
        struck_ns = kill(agent, "guard", number)
        made_safe_anew(agent, struck_ns)
    agent.goes()


def test_when_the_supervisor_is_killed_the_guard_makes_safe_and_nobody_is_left(
    make_bundle: MakeBundle, make_config: MakeConfig, start_agent: StartAgent
) -> None:
    agent = start_agent(make_config(), make_bundle())
    agent.goes()
    children = agent.children()
    assert len(children) == 3
    os.kill(agent.pid("loop"), signal.SIGSTOP)  # even a stopped one must not stay behind
    agent.process.kill()
    agent.process.wait()
    limit = time.monotonic() + 30
    while any(_runs(pid) for pid in children):
        assert time.monotonic() < limit
        time.sleep(0.02)
    assert agent.lines()[-1].safe


def test_the_switch_lies_between_two_frames_and_can_be_taken_back(
    make_bundle: MakeBundle, make_config: MakeConfig, start_agent: StartAgent
) -> None:
    agent = start_agent(make_config(fps=40, more=FLEET), make_bundle())
    spec = agent.connect()
    assert (spec.version, spec.epoch, spec.labels) == (1, 1, ("red", "green", "blue"))
    decides(agent, 1)
    done = stage(agent, make_bundle(version=2, size=24), 2)  # another input size: capture follows the switch
    assert (done.ok, done.p95_us > 0) == (True, True)
    before = len(agent.decided(1))
    decides(agent, 1, before + 5)  # a staged model does not decide
    assert agent.ask(Switch()).ok
    decides(agent, 2, 20)
    agent.until(lambda: agent.listen() or (agent.health and agent.health.version == 2), "health")
    assert set(agent.health.processes) == {"guard", "capture", "loop", "standby", "uplink"}
    assert agent.ask(Revert(reason="a test")).ok
    decides(agent, 3, 20)
    agent.until(lambda: agent.listen() or "standby" not in agent.health.processes, "one loop")
    assert agent.health.version == 1
    _one_epoch_after_the_other(agent)
    assert agent.faults == []
    assert agent.stop() == 0


def _one_epoch_after_the_other(agent: Any) -> None:
    """No frame was decided twice, none applied under an epoch that was over, hardly one missed around a switch."""
    decided = sorted((record for epoch in (1, 2, 3) for record in agent.decided(epoch)), key=lambda r: r.frame)
    assert [record.epoch for record in decided] == sorted(record.epoch for record in decided)
    frames = [record.frame for record in decided]
    assert len(set(frames)) == len(frames)
    applied = [record.epoch for record in agent.records if isinstance(record, Applied) and not record.safe]
    assert applied == sorted(applied)
    for epoch in (2, 3):
        last = max(record.frame for record in agent.decided(epoch - 1))
        assert min(record.frame for record in agent.decided(epoch)) - last <= 3


def test_a_committed_version_is_kept_and_the_old_loop_is_ended(
    make_bundle: MakeBundle, make_config: MakeConfig, start_agent: StartAgent
) -> None:
    agent = start_agent(make_config(more=FLEET), make_bundle())
    agent.connect()
    assert stage(agent, make_bundle(version=2), 2).ok
    assert agent.ask(Switch()).ok
    assert agent.ask(Switch()).ok  # nothing to do any more
    assert agent.ask(Retire()).ok
    assert agent.ask(Retire()).ok
    decides(agent, 2)
    assert agent.ask(Revert(reason="too late")).ok  # nothing is warm, and nothing else was ever installed
    assert stage(agent, make_bundle(version=3), 3).ok
    assert agent.ask(Revert(reason="not wanted")).ok  # only staged: it goes, version 2 stays
    agent.until(lambda: agent.listen() or "standby" not in agent.health.processes, "one loop")
    assert (agent.health.version, agent.health.epoch) == (2, 2)


def test_a_bundle_that_fails_its_self_test_never_decides(
    make_bundle: MakeBundle, make_config: MakeConfig, start_agent: StartAgent
) -> None:
    agent = start_agent(make_config(more=FLEET), make_bundle())
    agent.connect()
    for bundle, reason in (
        (make_bundle(version=2, golden_gain=4.0), "GoldenMismatchError"),
        (agent.folder / "none.edge", "FileMissingError"),
    ):
        done = stage(agent, bundle, 2)
        assert (done.ok, reason in done.reason) == (False, True)
        assert agent.ask(Switch()).ok  # finds nothing to do
    decides(agent, 1)
    agent.until(lambda: agent.listen() or agent.health, "health")
    assert (agent.health.version, agent.health.epoch) == (1, 1)
    agent.until(lambda: agent.listen() or agent.health.machine, "a look at the machine")
    assert agent.health.machine.memory_free_mib > 0
    assert agent.faults == []


MOODY = """
import pathlib, time
from edge_agent.deciders.classify import Classify

class Moody(Classify):
    def __init__(self, options, labels, actions):
        super().__init__(options, labels, actions)
        if pathlib.Path(__file__).with_name("asleep").exists():
            time.sleep(600)
"""


def test_a_standby_that_hangs_while_it_loads_is_given_up(
    make_bundle: MakeBundle, make_config: MakeConfig, start_agent: StartAgent, tmp_path: Path
) -> None:
    config = make_config(more=FLEET + "loop: {start_s: 8}\n")
    config.write_text(config.read_text().replace("kind: classify", "kind: 'own.py:Moody'"))
    (tmp_path / "own.py").write_text(MOODY)
    agent = start_agent(config, make_bundle())
    agent.connect()
    (tmp_path / "asleep").touch()
    done = stage(agent, make_bundle(version=2), 2)
    assert (done.ok, "said nothing" in done.reason) == (False, True)
    decides(agent, 1, len(agent.decided(1)) + 5)


def test_a_device_without_a_model_waits_safely_for_the_first_one(
    make_bundle: MakeBundle, make_config: MakeConfig, start_agent: StartAgent
) -> None:
    agent = start_agent(make_config(more=FLEET))
    spec = agent.connect()
    assert (spec.version, spec.bundle, spec.epoch) == (0, "", 0)
    agent.until(lambda: agent.listen() or agent.health, "health")
    assert (agent.health.version, set(agent.health.processes)) == (0, {"guard", "uplink"})
    assert stage(agent, make_bundle(version=5), 5).ok
    assert agent.ask(Switch()).ok
    agent.goes()
    agent.until(lambda: agent.listen() or agent.health.version == 5, "version 5")


def test_a_killed_uplink_is_told_where_things_stand_and_nothing_else_notices(
    make_bundle: MakeBundle, make_config: MakeConfig, start_agent: StartAgent
) -> None:
    agent = start_agent(make_config(more=FLEET), make_bundle())
    agent.connect()
    assert stage(agent, make_bundle(version=2), 2).ok
    assert agent.ask(Switch()).ok
    agent.until(lambda: agent.pid("uplink"), "its process id")
    kill(agent, "uplink", signal.SIGKILL)
    spec = agent.connect()
    assert (spec.version, spec.epoch, Path(spec.bundle).name) == (2, 2, "light-2.edge")
    assert agent.ask(Revert(reason="go on with what was begun")).ok
    decides(agent, 3)
    assert agent.status().processes["guard"].restarts == 0


def test_a_loop_that_dies_again_and_again_is_reported_each_time(
    make_bundle: MakeBundle, make_config: MakeConfig, start_agent: StartAgent
) -> None:
    bundle = make_bundle()
    agent = start_agent(make_config(more=FLEET), bundle)
    agent.connect()
    decides(agent, 1)
    bundle.write_bytes(b"spoilt")
    agent.until(lambda: agent.pid("loop"), "its process id")
    kill(agent, "loop", signal.SIGKILL)
    agent.until(lambda: agent.listen() or len(agent.faults) >= 3, "three faults")
    assert [(fault.process, fault.restarts) for fault in agent.faults[:3]] == [("loop", 1), ("loop", 2), ("loop", 3)]
    assert "SIGKILL" in agent.faults[0].reason
    assert "BadBundleError" in agent.faults[1].reason
    assert agent.lines()[-1].safe
    assert stage(agent, make_bundle(version=2), 2).ok  # the fleet can still help
    assert agent.ask(Switch()).ok
    agent.goes()


@pytest.mark.parametrize("damage", [0, 2**64 - 1])
def test_after_damage_to_the_ring_a_new_capture_counts_on_and_the_guard_obeys(
    damage: int, make_bundle: MakeBundle, make_config: MakeConfig, start_agent: StartAgent
) -> None:
    agent = start_agent(make_config(more=FLEET), make_bundle())
    agent.connect()
    decides(agent, 1, count=150)
    capture = agent.pid("capture")
    os.kill(capture, signal.SIGSTOP)
    last = agent.decided(1)[-1].frame
    _damage_ring(capture, damage)
    os.kill(capture, signal.SIGKILL)
    struck_ns = time.monotonic_ns()
    agent.goes()
    agent.listen()
    after = [record.frame for record in agent.decided(1) if record.captured_ns > struck_ns]
    assert last // 2 < after[0] < 2 * last, "of the count only what came since the last beat is lost"


def _damage_ring(capture: int, frame: int) -> None:
    """Write the same frame id into every slot of the ring that the process `capture` writes."""
    spec = msgspec.json.decode(Path(f"/proc/{capture}/cmdline").read_bytes().split(b"\0")[-2])
    fd = os.open(f"/proc/{capture}/fd/{spec['ring_fd']}", os.O_RDWR)
    ring = RingMemory(fd, bytes.fromhex(spec["token"]))
    os.close(fd)
    for slot in range(ring.slots):
        ring.set_frame(slot, frame)
    ring.close()


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
