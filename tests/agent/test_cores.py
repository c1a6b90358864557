"""Processor and priority of the loop that decides."""

import os
import subprocess
import sys
from typing import Any

import pytest

from edge.errors import BadConfigError
from edge_agent.cores import Placement

CORES = sorted(os.sched_getaffinity(0))


def test_a_processor_that_is_not_there_is_an_error_with_a_remedy_and_changes_nothing() -> None:
    before = os.sched_getaffinity(0)
    with pytest.raises(BadConfigError, match=r"no processor 1023"):
        Placement(1023, None)
    Placement(CORES[-1], None)
    assert os.sched_getaffinity(0) == before


def test_without_a_processor_to_leave_or_without_another_one_nothing_changes() -> None:
    script = (
        "import os; from edge_agent.cores import keep_off; before = os.sched_getaffinity(0); keep_off(None);"
        "assert os.sched_getaffinity(0) == before; one = min(before); os.sched_setaffinity(0, {one}); keep_off(one);"
        "assert os.sched_getaffinity(0) == {one}"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def may_be_urgent() -> bool:
    try:
        Placement(None, 2)
    except BadConfigError:
        return False
    return True


@pytest.mark.skipif(not may_be_urgent(), reason="this user may not have a real-time priority")
def test_a_loop_that_waits_for_its_turn_is_less_urgent_than_the_one_that_decides() -> None:
    script = (
        "import os; from edge_agent.cores import Placement\n"
        "def now(): return os.sched_getscheduler(0), os.sched_getparam(0).sched_priority\n"
        "one, found = Placement(None, 20), []\n"
        "for step in (one.follow, one.lead, one.follow, one.leave): step(); found.append(now())\n"
        "assert found == [(os.SCHED_FIFO, 19), (os.SCHED_FIFO, 20), (os.SCHED_FIFO, 19), (os.SCHED_OTHER, 0)], found"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.skipif(not may_be_urgent(), reason="this user may not have a real-time priority")
def test_loop_and_guard_are_served_before_everybody_else(make_bundle: Any, make_config: Any, start_agent: Any) -> None:
    agent = start_agent(make_config(more="loop: {priority: 20}\n"), make_bundle())
    agent.goes()
    agent.until(lambda: agent.pid("capture") and agent.pid("loop") and agent.pid("guard"), "process ids")
    found = {name: policy_of(agent.pid(name)) for name in ("loop", "guard", "capture")}
    assert found == {"loop": (os.SCHED_FIFO, 20), "guard": (os.SCHED_FIFO, 21), "capture": (os.SCHED_FIFO, 19)}
    assert agent.stop() == 0


def policy_of(pid: int) -> tuple[int, int]:
    return os.sched_getscheduler(pid), os.sched_getparam(pid).sched_priority


@pytest.mark.skipif(len(CORES) < 2, reason="one processor cannot be shared out")
def test_the_loop_has_its_processor_to_itself(make_bundle: Any, make_config: Any, start_agent: Any) -> None:
    agent = start_agent(make_config(more=f"loop: {{cpu: {CORES[-1]}}}\n"), make_bundle())
    agent.goes()
    agent.until(lambda: agent.pid("capture") and agent.pid("loop"), "process ids")
    assert os.sched_getaffinity(agent.pid("loop")) == {CORES[-1]}
    for name in ("guard", "capture"):
        assert os.sched_getaffinity(agent.pid(name)) == set(CORES) - {CORES[-1]}
    assert agent.stop() == 0
