"""The processes of the story: one fleet service and five cars, each started by its command and ended with the story."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import yaml

from demos.stop_go.versions import MODEL, TARGET
from edge.errors import EdgeError, FleetError
from fleet.client import FleetClient

FPS = 60
PHASE_S = 4.0
"""One light lasts so long; daylight, dusk and lamp make a cycle, and a rollout soaks for one cycle."""
CYCLE_S = 3 * PHASE_S
CYCLES = 12
"""Cycles before a recording begins again."""
CARS = tuple(f"car-{number}" for number in range(1, 6))
HOLD_S = 0.15
MAX_AGE_MS = 400.0
PROBATION_S = 2.0
READY_S = 90.0


@dataclass
class Town:
    """A folder, and what runs in it. Use as a context manager: nothing is left behind."""

    folder: Path
    page_port: int = 0
    _processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @property
    def fleet(self) -> Path:
        """Folder of the service."""
        return self.folder / "fleet"

    @property
    def keys(self) -> Path:
        """The offline keys."""
        return self.folder / "keys"

    def page(self) -> str:
        """Address of the dashboard."""
        service = json.loads((self.fleet / "service.json").read_text("utf-8"))
        return str(service["page_url"])

    def record(self, car: str) -> Path:
        """What a car's recorder writes."""
        return self.folder / f"{car}.txt"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def closed_on_error(self) -> Iterator[None]:
        """End everything when the story breaks off: threads that wait for a training would outlive an interrupt."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def work(self, module: str, *words: str) -> str:
        """Run a module of ours to its end; returns what it printed, or raises FleetError with its last words."""
        command = [sys.executable, "-m", module, *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._processes.append(process)
        said, complained = process.communicate()
        with contextlib.suppress(ValueError):  # closed meanwhile
            self._processes.remove(process)
        if process.returncode:
            problem = f"{module} {' '.join(words[1:])} failed"
            raise FleetError(problem, remedy=complained.decode(errors="replace")[-3000:].strip())
        return said.decode()

    def open(self) -> FleetClient:
        """Make the fleet, start its service, and wait until it answers."""
        self._run("fleet", "init", str(self.fleet), "--keys", str(self.keys))
        ports = ["--http-port", "0", "--mqtt-port", "0", "--page-port", str(self.page_port)]
        service = self._start("service", "fleet", "serve", str(self.fleet), *ports)
        client = FleetClient.local(self.fleet)
        self.wait(lambda: _answers(client), "the fleet service", watch=service)
        return client

    def start_car(self, client: FleetClient, car: str, recording: Path) -> None:
        """Enrol a car and start its agent."""
        import msgspec

        enrol = self.folder / f"{car}.enrol"
        enrol.touch(mode=0o600)
        enrol.write_bytes(msgspec.json.encode(client.enrol(car)))
        config = self.folder / f"{car}.yaml"
        config.write_text(yaml.safe_dump(self._config(car, enrol, recording), sort_keys=False), "utf-8")
        self._start(car, "run", str(config))

    def wait(
        self,
        done: Callable[[], bool],
        what: str,
        *,
        timeout_s: float = READY_S,
        watch: "subprocess.Popen[bytes] | None" = None,
    ) -> None:
        """Poll; raises FleetError with the end of the log when a process ended or the time is over."""
        limit = time.monotonic() + timeout_s
        while not done():
            ended = watch is not None and watch.poll() is not None
            if ended or time.monotonic() > limit:
                raise FleetError(f"waited in vain for {what}", remedy=f"read the logs in {self.folder}")
            time.sleep(0.1)

    def close(self) -> None:
        """End everything, the cars first."""
        running = self._processes.copy()
        for process in reversed(running):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        for process in running:
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    def _config(self, car: str, enrol: Path, recording: Path) -> dict[str, object]:
        return {
            "device": car,
            "model": MODEL,
            "state_dir": str(self.folder / f"{car}.state"),
            "source": {"kind": "frames", "path": str(recording), "fps": FPS},
            "decider": {"kind": "classify", "go": ["green"], "floor": 0.5, "floor_release": 0.35, "hold_s": HOLD_S},
            "actuators": [
                {
                    "kind": "recorder",
                    "path": str(self.record(car)),
                    "max_age_ms": MAX_AGE_MS,
                    "safe_state": "stop",
                }
            ],
            "fleet": {"enrol": str(enrol), "target": TARGET, "probation_s": PROBATION_S},
        }

    def _run(self, *words: str) -> None:
        done = subprocess.run([*_edge(), *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise FleetError(f"edge {words[0]} {words[1]} failed", remedy=done.stderr.strip())

    def _start(self, name: str, *words: str) -> "subprocess.Popen[bytes]":
        with (self.folder / f"{name}.log").open("wb") as log:
            # a session of its own: Ctrl-C reaches the story alone, which then ends its processes in order
            process = subprocess.Popen([*_edge(), *words], stdout=log, stderr=log, start_new_session=True)
        self._processes.append(process)
        return process


def _edge() -> list[str]:
    return [sys.executable, "-m", "edge.cli"]


def _answers(client: FleetClient) -> bool:
    try:
        client.status()
    except (EdgeError, OSError):
        return False
    return True


@contextlib.contextmanager
def terminated_as_interrupt() -> Iterator[None]:
    """SIGTERM ends the story as Ctrl-C does: in order."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
