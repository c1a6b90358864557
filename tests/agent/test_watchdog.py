"""The watchdogs: systemd's as a real datagram socket, the hardware's as a plain file; the guard as the real process."""

import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.errors import AgentError
from edge_agent.link import Failed, News, Pulse
from edge_agent.specs import WatchdogSpec
from edge_agent.watchdog import take_watchdog

WAIT_S = 60.0
IMPATIENT = "loop: {hang_s: 1.5}\n"


class Systemd:
    """Its socket, and what was said on it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self.said: list[tuple[float, str]] = []

    def listen(self, timeout_s: float) -> None:
        """Take in what is said within this time."""
        end_s = time.monotonic() + timeout_s
        while (left_s := end_s - time.monotonic()) > 0:
            self._socket.settimeout(left_s)
            try:
                self.said += [(time.monotonic(), line) for line in self._socket.recv(4096).decode().split("\n")]
            except TimeoutError:
                return

    def hears(self, word: str, since_s: float = 0.0) -> None:
        """Wait until it is said."""
        limit_s = time.monotonic() + WAIT_S
        while not any(line == word and at_s > since_s for at_s, line in self.said):
            assert time.monotonic() < limit_s, f"never heard {word}: {self.said[-10:]}"
            self.listen(0.05)

    def pets_since(self, since_s: float) -> int:
        """How often it was petted."""
        return sum(line == "WATCHDOG=1" and at_s > since_s for at_s, line in self.said)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd() -> Iterator[Systemd]:
    with tempfile.TemporaryDirectory() as short:
        listener = Systemd(f"{short}/notify")
        yield listener
        listener.close()


# --- the guard alone, the test as its supervisor ----------------------------------------------------


def pulse(desk: Any, *, works: bool = True, started: bool = True) -> None:
    desk.line.send(msgspec.json.encode(Pulse(works=works, started=started, status="version 1 decides")))


def test_the_guard_is_ready_when_a_model_decides_and_pets_for_pulses_only(make_desk: Any, systemd: Systemd) -> None:
    desk = make_desk(watchdog=WatchdogSpec(notify=systemd.path, period_s=0.2))
    pulse(desk, started=False)
    systemd.hears("WATCHDOG=1")
    assert "READY=1" not in [line for _, line in systemd.said]
    pulse(desk)
    systemd.hears("READY=1")
    systemd.hears("STATUS=version 1 decides")
    quiet_s = time.monotonic() + 0.3
    systemd.listen(1.0)
    assert systemd.pets_since(quiet_s) == 0


def test_the_guard_does_not_pet_while_what_decides_does_not_work(make_desk: Any, systemd: Systemd) -> None:
    desk = make_desk(watchdog=WatchdogSpec(notify=systemd.path, period_s=0.1))
    pulse(desk)
    systemd.hears("WATCHDOG=1")
    began_s = time.monotonic() + 0.1
    for _ in range(5):
        time.sleep(0.1)
        pulse(desk, works=False)
    systemd.listen(0.3)
    assert systemd.pets_since(began_s) == 0
    pulse(desk)
    systemd.hears("WATCHDOG=1", began_s)


def test_a_hardware_watchdog_is_stopped_only_when_the_guard_is_told_to_end(make_desk: Any, tmp_path: Path) -> None:
    ends: dict[str, Callable[[Any], object]] = {
        "told": lambda desk: desk.process.terminate(),
        "abandoned": lambda desk: desk.line.close(),
        "killed": lambda desk: desk.process.kill(),
    }
    for name, end in ends.items():
        file = tmp_path / name
        file.touch()
        desk = make_desk(watchdog=WatchdogSpec(file=str(file)), folder=tmp_path / f"{name}-desk")
        pulse(desk)
        desk.until(file.read_bytes)
        end(desk)
        desk.process.wait(WAIT_S)
        assert file.read_bytes().endswith(b"V") == (name == "told")


def test_systemd_hears_that_the_guard_was_told_to_end(make_desk: Any, systemd: Systemd) -> None:
    desk = make_desk(watchdog=WatchdogSpec(notify=systemd.path))
    desk.process.terminate()
    systemd.hears("STOPPING=1")


def test_a_watchdog_that_cannot_be_opened_is_told_after_the_actuators_are_safe(make_desk: Any, tmp_path: Path) -> None:
    desk = make_desk(watchdog=WatchdogSpec(file=str(tmp_path / "none" / "watchdog")), wait=False)
    desk.line.settimeout(WAIT_S)
    news = msgspec.json.decode(desk.line.recv(65536), type=News)
    assert isinstance(news, Failed)
    assert "cannot open the watchdog" in news.problem
    assert desk.process.wait(WAIT_S) == AgentError.exit_code
    assert [line.safe for line in desk.lines()] == [True]


# --- what systemd asks ------------------------------------------------------------------------------


def test_the_words_of_systemd_are_taken_out_of_the_environment() -> None:
    environment = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "10000000", "WATCHDOG_PID": str(os.getpid()), "HOME": "/"}
    spec = take_watchdog(environment, Path("/dev/watchdog"))
    assert spec == WatchdogSpec(notify="@x", period_s=10.0, file="/dev/watchdog")
    assert environment == {"HOME": "/"}


def test_a_watchdog_that_is_meant_for_another_process_is_not_ours() -> None:
    assert take_watchdog({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "1"}, None).period_s == 0


def test_a_period_that_a_busy_agent_could_not_keep_is_refused() -> None:
    with pytest.raises(AgentError, match="every 1 s"):
        take_watchdog({"WATCHDOG_USEC": "1000000"}, None)


# --- a whole agent ----------------------------------------------------------------------------------


def test_pets_end_while_the_supervisor_hangs_and_survive_a_killed_guard(
    make_bundle: Any, make_config: Any, start_agent: Any, systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.path)
    monkeypatch.setenv("WATCHDOG_USEC", "4000000")
    agent = start_agent(make_config(), make_bundle())
    systemd.hears("READY=1")
    systemd.hears("STATUS=version 1 decides")
    systemd.hears("WATCHDOG=1")
    assert not [pid for pid in agent.children() if b"NOTIFY_SOCKET" in Path(f"/proc/{pid}/environ").read_bytes()]
    agent.until(lambda: agent.pid("guard"), "the guard")
    os.kill(agent.pid("guard"), signal.SIGKILL)
    systemd.hears("READY=1", time.monotonic())  # of the new guard
    systemd.hears("WATCHDOG=1", time.monotonic())
    agent.process.send_signal(signal.SIGSTOP)
    stopped_s = time.monotonic()
    systemd.listen(4.0)
    assert systemd.pets_since(stopped_s + 0.5) == 0
    agent.process.send_signal(signal.SIGCONT)
    systemd.hears("WATCHDOG=1", time.monotonic())
    assert agent.stop() == 0
    systemd.hears("STOPPING=1")


def test_pets_end_when_the_loop_cannot_be_brought_back(
    make_bundle: Any, make_config: Any, start_agent: Any, tmp_path: Path
) -> None:
    file = tmp_path / "watchdog"
    file.touch()
    bundle = make_bundle()
    agent = start_agent(make_config(more="guard: {watchdog: watchdog, give_up_s: 2}\n"), bundle)
    agent.goes()
    agent.until(file.read_bytes, "a pet")
    bundle.write_bytes(b"damaged")
    agent.until(lambda: agent.pid("loop"), "the loop")
    os.kill(agent.pid("loop"), signal.SIGKILL)
    time.sleep(3.5)
    petted = file.stat().st_size
    time.sleep(1.5)
    assert file.stat().st_size == petted
    assert agent.stop() == 0
    assert file.read_bytes().endswith(b"V")
