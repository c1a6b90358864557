"""A whole fleet on this machine and devices whose agents are killed and looked at; shared by the endurance runs."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from random import Random
from secrets import token_hex
from typing import Any

import msgspec
import yaml

sys.path.insert(
    0, str(Path(__file__).parents[2] / "end_to_end")
)  # the fleet of the tests is the one that is measured here
from whole_fleet import EDGE, Fleet, frames, make_bundle

from edge.enrolment import Enrolment
from edge.errors import EdgeError
from edge.messages import Desired, Wish, encode
from edge.mqtt import MqttClient
from edge.topics import down
from edge_agent.actuators.recorder import read_lines
from edge_agent.disk import RealDisk
from edge_agent.update.journal import PAGE_BYTES, PAGES, RESTING, Entry, Journal
from edge_agent.update.local_orders import LocalOrder, order_path, write_whole
from fleet.broker import ServiceLogin

ROOT = Path(__file__).parents[3]
CACHE = ROOT / ".cache" / "endurance"
"""What was measured so far: a run that was stopped goes on."""
STEPS = ("OFFERED", "PRECHECK", "DOWNLOADING", "VERIFYING", "STAGED", "SELFTEST", "SWITCHED", "PROBATION")
VERSIONS = (1, 2, 3)
"""One more than there are slots, so that each update has to fetch."""
POLL_S = 0.0002
WAIT_S = 240.0
__all__ = ["EDGE", "Fleet", "frames", "make_bundle"]


class StuckError(Exception):
    """Something that must come did not come."""


def until(found: Callable[[], Any], what: str, timeout_s: float = WAIT_S, poll_s: float = 0.02) -> Any:
    """Poll until something is found, and return it."""
    limit_s = time.monotonic() + timeout_s
    while not (answer := found()):
        if time.monotonic() > limit_s:
            raise StuckError(f"waited {timeout_s:g} s in vain for {what}")
        time.sleep(poll_s)
    return answer


def remark(seed: int, size_bytes: int, *, changed: int = 0) -> str:
    """Text that does not compress; `changed` varies the last hundredth of it, so that a difference is short."""
    head = Random(seed).randbytes(size_bytes // 2).hex()
    tail = Random(changed).randbytes(size_bytes // 200).hex()
    return head[: -len(tail)] + tail


def remember(name: str, line: dict[str, Any]) -> None:
    """Append one result; it is there even if the next moment is the last."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def remembered(name: str) -> list[dict[str, Any]]:
    """All results so far."""
    path = CACHE / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@contextmanager
def running_fleet(folder: Path) -> Iterator[Fleet]:
    """The real service, ended afterwards with all that it started."""
    fleet = Fleet(folder)
    try:
        yield fleet
    finally:
        fleet.stop()


def group_members(leader: int) -> dict[int, str]:
    """Living processes of a process group: command lines by pid."""
    found: dict[int, str] = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            state, _, group = (place / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(group) == leader and state not in "ZX":
                found[int(place.name)] = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


class Device:
    """One device: its agent is started, ordered, killed with its whole process group, and looked at."""

    def __init__(
        self, fleet: Fleet, name: str, *, model: str, fleet_keys: dict[str, Any], stick: Path | None = None,
        state_dir: Path | None = None, wires: tuple[int, int] | None = None, **settings: Any,
    ) -> None:  # fmt: skip
        """`wires`: ports to reach HTTP and MQTT at instead of the fleet's own; `stick`: orders are local ones."""
        self.fleet, self.name, self.model, self.stick = fleet, name, model, stick
        self.state_dir = state_dir or fleet.state_dir(name)
        self.orders = 0
        enrol = fleet.folder / f"{name}.enrol"
        fleet.edge("fleet", "enrol", name, "-o", str(enrol), "--dir", str(fleet.dir))
        if wires:
            _rewire(enrol, *wires)
        keys = {"enrol": str(enrol), "target": "x86-64", "probation_s": 0.7} | fleet_keys
        config = fleet.agent_config(name, enrol) | {"model": model, "state_dir": str(self.state_dir), "fleet": keys}
        config["source"]["fps"] = 20
        config["loop"] = {"hang_s": 20}  # of a machine that measures other things besides
        (fleet.folder / f"{name}.yaml").write_text(yaml.safe_dump(config | settings))
        login = (fleet.dir / "broker" / "control.login").read_bytes()
        self._login = msgspec.json.decode(login, type=ServiceLogin)
        self._pages = [self.state_dir / "models" / model / page for page in PAGES]
        bundles = fleet.folder.glob(f"{model}-*.edge")
        self.hashes = {int(file.stem.rpartition("-")[2]): sha256(file.read_bytes()).hexdigest() for file in bundles}

    def start(self) -> None:
        """Start it in a process group of its own."""
        log = (self.fleet.folder / f"log-{self.name}.txt").open("a")
        self.began_ns, self.began_wall_ns = time.monotonic_ns(), time.time_ns()
        self.process = subprocess.Popen(
            [*EDGE, "run", str(self.fleet.folder / f"{self.name}.yaml")],
            stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self.fleet.processes.append(self.process)  # ended with the fleet, whatever happens

    def stop(self) -> None:
        """End it in order."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def kill(self) -> Entry:
        """Kill everything in one call. Returns the journal's entry; raises StuckError if no verified bundle is left."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        until(lambda: not group_members(self.process.pid), "the end of the whole group")
        entry = Journal(RealDisk(), self.state_dir, self.model).entry
        trial = entry.spare if entry.state in ("SWITCHED", "PROBATION") else None
        for slot in (entry.active, trial):
            record = entry.slot(slot)
            if slot and record:
                path = self.state_dir / "models" / self.model / "slots" / f"{slot}.edge"
                if sha256(path.read_bytes()).hexdigest() != self.hashes[record.version]:
                    raise StuckError(f"slot {slot} does not hold version {record.version}: {entry}")
        return entry

    def order(self, version: int) -> None:
        """Wish for a version: as the fleet does, or as a person with a stick."""
        self.orders += 1
        if self.stick is not None:
            wish = LocalOrder(id=token_hex(8), folder=str(self.stick), version=version)
            write_whole(order_path(self.state_dir), wish)
            return
        login = self._login
        client = MqttClient(
            login.url, client_id="#bench", username=login.username, password=login.password, ca=login.ca
        )
        for _ in range(20):
            try:
                client.connect(wait_s=30)
                break
            except EdgeError:  # the broker is being started again
                time.sleep(1)
        desired = Desired(models={self.model: Wish(version=version, order=self.orders)})
        client.publish(down(login.tenant, self.name, "desired"), encode(desired), retain=True)
        client.close()

    def another(self) -> int:
        """A version that lies in neither slot."""
        entry = self.entry()
        held = {record.version for record in (entry.a, entry.b) if record}
        after = sorted(VERSIONS, key=lambda version: (version <= entry.running, version))
        return next(version for version in after if version not in held)

    def entry(self) -> Entry:
        """The journal's newest page, read while the agent may be writing."""
        found: list[tuple[int, Entry]] = []
        for page in self._pages:
            try:
                raw = json.loads(page.read_bytes()[:PAGE_BYTES])
            except (FileNotFoundError, ValueError):
                continue
            found.append((raw["number"], msgspec.convert(raw["entry"], Entry)))
        return max(found, key=lambda one: one[0])[1] if found else Entry()

    def stands_at(self, steps: Collection[str], version: int) -> bool:
        """As `entry`, but ten times as fast: some steps last a millisecond."""
        newest = max((path.read_bytes() for path in self._pages), key=lambda page: int(page[10:20].split(b",")[0]))
        return any(b'"state":"%s"' % step.encode() in newest for step in steps) and (
            b'"attempted":%d,' % version in newest
        )

    def reach(self, step: str, version: int) -> None:
        """Return when the journal says `step`, or a later one."""
        wanted = {*STEPS[STEPS.index(step) :], *RESTING}
        until(lambda: self.stands_at(wanted, version), step, poll_s=POLL_S)

    def decides(self) -> bool:
        """Whether frames of this start have had an effect, and what decides is a published bundle."""
        lines = read_lines(self.fleet.record(self.name))[-20:]
        fresh = sum(line.captured_ns > self.began_ns and line.frame > 0 and not line.safe for line in lines) > 3
        return fresh and bool(self.status())

    def status(self) -> dict[str, Any]:
        """The status of this start; empty before the first."""
        try:
            found: dict[str, Any] = json.loads((self.state_dir / "run" / "status.json").read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return found if found["wall_ns"] > self.began_wall_ns and found["pid"] == self.process.pid else {}

    def await_verified(self) -> None:
        """Return when it decides with a bundle whose bytes are those that were published."""
        until(self.decides, "decisions")
        status = self.status()
        path = self.state_dir / "models" / self.model / "slots" / status["bundle"]
        if sha256(path.read_bytes()).hexdigest() != self.hashes[status["version"]]:
            raise StuckError(f"what decides is not version {status['version']}")

    def await_rest(self) -> Entry:
        """Return when no update is under way."""

        def rests() -> Entry | None:
            entry = self.entry()
            return entry if entry.state in RESTING else None

        found: Entry = until(rests, "the end of the update")
        return found

    def install_first(self) -> None:
        """Start it, and bring version 1 to it."""
        self.start()
        until((self.state_dir / "run" / "update.json").exists, "the uplink")
        for _ in range(4):
            self.order(1)
            until(lambda: self.entry().attempted == 1, "the first order to be taken up")
            if self.await_rest().running == 1:
                break
        self.await_verified()


def _rewire(enrol: Path, http_port: int, mqtt_port: int) -> None:
    found = msgspec.json.decode(enrol.read_bytes(), type=Enrolment)
    http, mqtt = (url.rpartition(":")[0] for url in (found.http_url, found.mqtt_url))
    enrol.write_bytes(
        msgspec.json.encode(
            msgspec.structs.replace(found, http_url=f"{http}:{http_port}", mqtt_url=f"{mqtt}:{mqtt_port}")
        )
    )
