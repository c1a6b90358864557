"""A supervisor that a test plays, with the real uplink as its child."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from edge_agent.control import Done, Health, News, Request, Retire, Revert, Stage, Switch
from edge_agent.records import Applied, Decided
from edge_agent.update.boot import choose_bundle
from edge_agent.uplink.spec import UplinkSpec, UplinkStatus, status_path
from edge_agent.watch.health import MachineHealth

STEPS = ["OFFERED", "PRECHECK", "DOWNLOADING", "VERIFYING", "STAGED", "SELFTEST", "SWITCHED", "PROBATION"]
WARM = MachineHealth(
    temperature_c=76.5, throttled=(), memory_mib=900, memory_free_mib=300, load=1.0, disk_free_mib=2000
)


class Supervisor:
    """Starts the uplink and plays the loops: every frame a record, every second a sign of health."""

    def __init__(self, folder: Path, **spec: Any) -> None:
        self.state_dir, self.spec = folder / "state", spec
        self.state_dir.mkdir(exist_ok=True)
        self.epoch, self.frame = 1, 0
        self.asked: list[str] = []
        self.before_answer: Callable[[Request], bool] = lambda _request: True
        """False: the uplink has been killed meanwhile, and gets no answer."""
        self.decides = True
        self.boot()

    def boot(self) -> None:
        """As after a reboot: the journal says what runs."""
        self.version = self.old = self.staged = choose_bundle(self.state_dir, "light").version
        self.start()

    def start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        records_out, self.records_in = os.pipe2(os.O_NONBLOCK)
        spec = UplinkSpec(
            control_fd=theirs.fileno(), records_fd=records_out, state_dir=str(self.state_dir), model="light",
            target="x86-64", actions=("stop", "go"), safe_action="stop", labels=("go", "stop"), version=self.version,
            epoch=self.epoch, **self.spec,
        )  # fmt: skip
        command = [sys.executable, "-m", "edge_agent.uplink.process", msgspec.json.encode(spec).decode()]
        self.process = subprocess.Popen(command, pass_fds=(theirs.fileno(), records_out))
        theirs.close()
        os.close(records_out)
        self.line, self.running = ours, True
        self.threads = [threading.Thread(target=work, daemon=True) for work in (self._answer, self._work)]
        for thread in self.threads:
            thread.start()

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.process.send_signal(signal.SIGKILL)
        self.end()

    def end(self) -> None:
        self.running = False
        self.process.wait(30)
        for thread in self.threads:
            if thread is not threading.current_thread():
                thread.join(30)
        self.line.close()
        os.close(self.records_in)

    def say(self, news: News) -> None:
        try:
            self.line.send(msgspec.json.encode(news))
        except OSError:
            return

    def _answer(self) -> None:
        line, decoder = self.line, msgspec.json.Decoder(Request)
        line.settimeout(0.05)
        while self.running:
            try:
                packet = line.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                return
            if not packet:
                return
            request = decoder.decode(packet)
            self.asked.append(type(request).__name__)
            if self.before_answer(request):
                self.say(self._do(request))

    def _do(self, request: Request) -> Done:
        match request:
            case Stage():
                self.staged = request.version
                return Done(ok=Path(request.path).exists(), p95_us=900.0)
            case Switch():
                self.old, self.version, self.epoch = self.version, self.staged, self.epoch + 1
            case Revert():
                self.version, self.epoch = self.old, self.epoch + 1
            case Retire():
                pass
        return Done(ok=True)

    def _work(self) -> None:
        due_s = 0.0
        while self.running:
            if self.decides:
                self._decide()
            if time.monotonic() > due_s:
                due_s = time.monotonic() + 0.3
                self.say(Health(version=self.version, epoch=self.epoch, processes={}, machine=WARM, heat=1))
            time.sleep(0.01)

    def _decide(self) -> None:
        self.frame += 1
        now, label = time.monotonic_ns(), self.frame // 50 % 2
        try:
            os.write(self.records_in, Decided(0, self.epoch, self.frame, *[now] * 6, 0.97, 0.6, label, label).pack())
            os.write(self.records_in, Applied(0, label, self.epoch, self.frame, now, now, now).pack())
        except OSError:
            return

    def status(self) -> UplinkStatus | None:
        try:
            return msgspec.json.decode(status_path(self.state_dir).read_bytes(), type=UplinkStatus)
        except FileNotFoundError:
            return None
