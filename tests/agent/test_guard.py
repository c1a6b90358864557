"""The guard as the real process, and its actuators. `Desk` plays supervisor and loop."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_agent.link import Allow, Failed, News
from edge_agent.records import RECORD_BYTES, Applied, unpack

WAIT_S = 30.0
MakeDesk = Callable[..., Any]


@pytest.fixture
def desk(make_desk: MakeDesk) -> Any:
    return make_desk()


def test_the_guard_starts_safe_and_obeys_a_fresh_command(desk: Any) -> None:
    assert [(line.action, line.safe, line.frame) for line in desk.lines()] == [("stop", True, 0)]
    desk.obeyed()
    assert desk.lines()[-1].action == "go"


def test_a_stale_command_moves_nothing(desk: Any) -> None:
    desk.command(age_ms=5001)
    assert desk.beat(lambda beat: beat.refused_stale == 1).applied == 0
    assert len(desk.lines()) == 1


def test_a_command_that_comes_out_of_order_moves_nothing(desk: Any) -> None:
    desk.obeyed()
    desk.command(frame=1)
    assert desk.beat(lambda beat: beat.refused_order == 1).applied == 1


def test_after_a_switch_no_late_command_of_the_old_loop_is_applied(desk: Any) -> None:
    desk.obeyed()
    desk.line.send(msgspec.json.encode(Allow(epoch=2)))
    desk.obeyed(epoch=2)
    desk.command(epoch=1)
    beat = desk.beat(lambda beat: beat.refused_epoch == 1)
    assert (beat.epoch, beat.applied) == (2, 2)


def test_of_commands_that_piled_up_only_the_newest_is_applied(desk: Any) -> None:
    desk.process.send_signal(signal.SIGSTOP)
    for action in (1, 0, 1, 0, 1):
        desk.command(action)
    desk.process.send_signal(signal.SIGCONT)
    desk.until(lambda: len(desk.lines()) > 1)
    assert [line.frame for line in desk.lines()] == [0, 5]


def test_the_dead_man_makes_each_actuator_safe_once_at_its_own_time(make_desk: MakeDesk) -> None:
    fast, slow = {"path": "fast.txt", "max_age_ms": 400}, {"path": "slow.txt", "max_age_ms": 1600, "safe_state": "go"}
    desk = make_desk(fast, slow, wait=False)
    desk.until(lambda: desk.lines("slow.txt"))
    desk.command()
    desk.until(lambda: desk.lines("slow.txt")[-1].safe and len(desk.lines("slow.txt")) == 3)
    desk.beat(lambda beat: beat.safe)
    for file, limit_ms, state in (("fast.txt", 400, "stop"), ("slow.txt", 1600, "go")):
        lines = desk.lines(file)
        assert [(line.action, line.safe) for line in lines[1:]] == [("go", False), (state, True)]
        waited_ms = (lines[-1].applied_ns - lines[-1].captured_ns) / 1e6
        assert limit_ms <= waited_ms < 3 * limit_ms


@pytest.mark.parametrize(
    "end", [lambda desk: desk.process.terminate(), lambda desk: desk.line.close()], ids=["told", "abandoned"]
)
def test_sigterm_and_the_end_of_the_supervisor_leave_everything_safe(
    end: Callable[[Any], object], make_desk: MakeDesk
) -> None:
    desk = make_desk()
    desk.obeyed()
    end(desk)
    assert desk.process.wait(WAIT_S) == 0
    assert [(line.action, line.safe) for line in desk.lines()[-2:]] == [("go", False), ("stop", True)]


def test_every_application_is_recorded(desk: Any) -> None:
    desk.obeyed()
    data = os.read(desk.records.read_fd, 65536)
    start, go = [unpack(data[at : at + RECORD_BYTES]) for at in range(0, len(data), RECORD_BYTES)]
    assert isinstance(start, Applied)
    assert isinstance(go, Applied)
    assert (start.safe, start.action) == (1, 0)
    assert (go.safe, go.action, go.epoch, go.frame) == (0, 1, 1, 1)
    assert go.captured_ns <= go.handed_ns <= go.applied_ns


def test_records_that_nobody_reads_do_not_stop_the_guard(desk: Any) -> None:
    for _ in range(1100):
        desk.command()
        time.sleep(0.0005)
    desk.obeyed()


def test_an_actuator_that_breaks_still_leaves_the_others_safe(make_desk: MakeDesk, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import msgspec\n"
        "class Fragile:\n"
        "    class Options(msgspec.Struct, forbid_unknown_fields=True):\n"
        "        pass\n"
        "    def __init__(self, options, actions): pass\n"
        "    def apply(self, application):\n"
        "        if application.action == 'go': raise OSError('wire broke')\n"
        "    def close(self): pass\n"
    )
    desk = make_desk({"path": "applied.txt"}, {"kind": "own.py:Fragile"}, wait=False)
    desk.until(desk.lines)
    desk.command()
    assert desk.process.wait(WAIT_S) != 0
    assert [(line.action, line.safe) for line in desk.lines()] == [("stop", True), ("go", False), ("stop", True)]


def test_an_actuator_that_cannot_be_made_is_reported(make_desk: MakeDesk) -> None:
    desk = make_desk({"kind": "led", "pin": 17, "values": {"stop": 0}}, wait=False)
    desk.line.settimeout(WAIT_S)
    news = msgspec.json.decode(desk.line.recv(65536), type=News)
    assert isinstance(news, Failed)
    assert news.error == "BadConfigError"
    assert "'go'" in news.problem


def test_the_guard_loads_neither_numpy_nor_a_picture_library() -> None:
    script = (
        "import sys, json, edge_agent.guard, edge_agent.actuators.recorder, edge_agent.actuators.led\n"
        "print(json.dumps([m for m in ('numpy', 'cv2', 'onnxruntime', 'gpiozero') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
