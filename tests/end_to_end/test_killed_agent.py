"""`kill -9` of the whole agent, supervisor and children at once, at each step of an update: it comes back and goes on.

Each round orders another version, kills when the journal says the step, starts the agent and kills it again: in the
first round while the update's thread looks into the running bundle, in the second when it works on the step once more.
What counts is the step that the journal shows after the kill. Files are looked at while nothing of the agent runs.
"""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from edge.messages import Desired, Wish, encode
from edge.mqtt import MqttClient
from edge.topics import down
from edge_agent.actuators.recorder import read_lines
from edge_agent.disk import RealDisk
from edge_agent.update.boot import MAX_BOOTS
from edge_agent.update.journal import PAGE_BYTES, PAGES, RESTING, Entry, Journal
from fleet.broker import ServiceLogin

MODEL = "colours"
CAR = f"car-killed-{os.getpid()}"
"""Of this run alone, since folders on tmpfs are told apart by it."""
STEPS = ("OFFERED", "PRECHECK", "DOWNLOADING", "VERIFYING", "STAGED", "SELFTEST", "SWITCHED", "PROBATION")
LONG = ("VERIFYING", "SELFTEST", "PROBATION")
"""These take so long that the second kill can strike in the midst of them."""
VERSIONS = (1, 2, 3)
"""One more than there are slots, in turn, so that each update has to download."""
POLL_S = 0.0002
ORT_SESSION = ".ses"
"""One file of 51 bytes that onnxruntime's own telemetry keeps in the folder for temporary files; always this name."""
SHM = Path("/dev/shm")
TRIES = 6
FAST = {
    "source": {"kind": "frames", "path": "frames.npy", "fps": 20},
    "fleet": {"enrol": f"{CAR}.enrol", "target": "x86-64", "probation_s": 0.7},
}
Make = Callable[..., Path]


def until(found: Callable[[], Any], what: str, timeout_s: float = 90.0) -> Any:
    """Poll without rest until something is found, and return it."""
    limit = time.monotonic() + timeout_s
    while not (answer := found()):
        if time.monotonic() > limit:
            pytest.fail(f"waited {timeout_s:g} s in vain for {what}")
        time.sleep(POLL_S)
    return answer


class Agent:
    """One device whose agent is started, killed and looked at; the kill strikes its whole process group at once."""

    def __init__(self, fleet: Any) -> None:
        self._fleet, self.folder = fleet, fleet.folder
        self.state_dir: Path = fleet.state_dir(CAR)
        self.run = self.state_dir / "run"
        self.temp = fleet.folder / "temp"
        self.temp.mkdir()
        self._pages = [self.state_dir / "models" / MODEL / page for page in PAGES]
        self._orders = itertools.count(1)
        self._login = msgspec.json.decode((fleet.dir / "broker" / "control.login").read_bytes(), type=ServiceLogin)
        enrol = fleet.folder / f"{CAR}.enrol"
        fleet.edge("fleet", "enrol", CAR, "-o", str(enrol), "--dir", str(fleet.dir))
        config = fleet.agent_config(CAR, enrol) | FAST
        (fleet.folder / f"{CAR}.yaml").write_text(yaml.safe_dump(config))
        self.hits: Counter[str] = Counter()
        self.hashes = {v: sha256((fleet.folder / f"{MODEL}-{v}.edge").read_bytes()).hexdigest() for v in VERSIONS}
        self.start()

    # --- what the test does ----------------------------------------------------------------------

    def start(self) -> None:
        """Start it in a session, and so in a process group, of its own."""
        log = (self.folder / f"log-{len(self._fleet.processes)}-agent.txt").open("w")
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "TMPDIR": str(self.temp)}
        self.began_ns, self.began_wall_ns = time.monotonic_ns(), time.time_ns()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edge.cli", "run", str(self.folder / f"{CAR}.yaml")],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        self._fleet.processes.append(self.process)

    def kill(self) -> Entry:
        """Kill everything in one call; the disk then holds a runnable model. Returns what the journal says."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        until(lambda: not self.members(), "the end of the whole group")
        entry = Journal(RealDisk(), self.state_dir, MODEL).entry
        self.hits[entry.state] += 1
        trial = entry.spare if entry.state in ("SWITCHED", "PROBATION") else None
        for slot in (entry.active, trial):
            record = entry.slot(slot)
            if slot and record:
                path = self.state_dir / "models" / MODEL / "slots" / f"{slot}.edge"
                assert sha256(path.read_bytes()).hexdigest() == record.sha256 == self.hashes[record.version], entry
        return entry

    def order(self, version: int) -> int:
        """Wish for a version, as the fleet's control does; returns the order's number."""
        order, login = next(self._orders), self._login
        client = MqttClient(login.url, client_id="#test", username=login.username, password=login.password, ca=login.ca)
        client.connect(wait_s=30)
        wish = Desired(models={MODEL: Wish(version=version, order=order)})
        client.publish(down(login.tenant, CAR, "desired"), encode(wish), retain=True)
        client.close()
        return order

    def order_another(self) -> int:
        """Wish for the version that lies in neither slot; returns it."""
        entry = self.entry()
        held = {record.version for record in (entry.a, entry.b) if record}
        version = next(v for v in VERSIONS if v not in held)
        self.order(version)
        return version

    # --- what it sees ----------------------------------------------------------------------------

    def stands_at(self, steps: Collection[str], version: int) -> bool:
        """As `entry`, but ten times as fast: some steps last a millisecond."""
        newest = max((path.read_bytes() for path in self._pages), key=lambda page: int(page[10:20].split(b",")[0]))
        return any(b'"state":"%s"' % step.encode() in newest for step in steps) and (
            b'"attempted":%d,' % version in newest
        )

    def entry(self) -> Entry:
        """The journal's newest page, read without touching anything, while the agent may be writing."""
        found: list[tuple[int, Entry]] = []
        for page in PAGES:
            try:
                raw = json.loads((self.state_dir / "models" / MODEL / page).read_bytes()[:PAGE_BYTES])
            except (FileNotFoundError, ValueError):
                continue
            found.append((raw["number"], msgspec.convert(raw["entry"], Entry)))
        return max(found, key=lambda one: one[0])[1] if found else Entry()

    def members(self) -> dict[int, str]:
        """Living processes of its group, by their command lines."""
        found: dict[int, str] = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                state, _, group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
                if int(group) == self.process.pid and state not in "ZX":
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (FileNotFoundError, ProcessLookupError):
                continue
        return found

    def inspects(self) -> bool:
        """Whether the update's thread looks into a bundle, in a process of its own."""
        return any("inspect_child" in command for command in self.members().values())

    def decides(self) -> bool:
        """Whether commands that come from frames of this start have been carried out."""
        lines = read_lines(self._fleet.record(CAR))[-20:]
        return sum(line.captured_ns > self.began_ns and line.frame > 0 and not line.safe for line in lines) > 5

    def status(self) -> dict[str, Any]:
        """The status of this start; empty before the first."""
        try:
            found: dict[str, Any] = json.loads((self.run / "status.json").read_bytes())
        except FileNotFoundError:
            return {}
        return found if found["wall_ns"] > self.began_wall_ns and found["pid"] == self.process.pid else {}


def reach(agent: Agent, step: str) -> Entry:
    """Order another version and kill when the journal says `step`; returns what it says then."""
    version = agent.order_another()
    rest_s, wanted = POLL_S, {*STEPS[STEPS.index(step) :], *RESTING}
    limit_s = time.monotonic() + 90
    while not agent.stands_at(wanted, version):
        assert time.monotonic() < limit_s, agent.entry()
        if agent.stands_at(STEPS, version):
            rest_s = 0  # some steps last a millisecond: look as often as can be
        time.sleep(rest_s)
    return agent.kill()


def kill_again(agent: Agent, step: str, *, at_work: bool) -> Entry:
    """Start and kill when the update's thread has begun; `at_work`: when it has gone on to the step."""
    agent.start()
    until(agent.inspects, "the update's thread")
    if at_work:
        until(lambda: not agent.inspects(), "the work on the step")
        time.sleep(0.15 if step in LONG else 0)
    return agent.kill()


def come_back(agent: Agent) -> None:
    """Start; it decides with a bundle whose bytes are those that were published, and leaves no second folder."""
    agent.start()
    until(agent.decides, "decisions after the kill")
    status = until(agent.status, "a status")
    slot = agent.state_dir / "models" / MODEL / "slots" / status["bundle"]
    assert sha256(slot.read_bytes()).hexdigest() == agent.hashes[status["version"]]
    assert status_folders() == {agent.run.resolve()}


def complete(agent: Agent, version: int) -> None:
    """Wait until `version` is committed. A busy machine may fail its probation: then a new order must succeed."""
    for _ in range(4):
        entry = until(lambda: (e := agent.entry()).state in RESTING and e, "the end of the update")
        if (entry.state, entry.running) == ("COMMITTED", version):
            return
        print(f"version {version}: {entry.state} {entry.reason}")
        assert entry.state in ("ROLLED_BACK", "FAILED")
        order = agent.order(version)
        until(lambda order=order: agent.entry().order == order, "the new order to be taken up")
    pytest.fail(f"version {version} does not run after four orders: {agent.entry()}")


def status_folders() -> set[Path]:
    """Folders on tmpfs that agents of this device have written to."""
    return {file.parent for file in SHM.glob("edge-run-*/status.json") if CAR.encode() in file.read_bytes()}


@pytest.fixture
def agent(fleet: Any, bundle_maker: Make) -> Agent:
    """One device that runs version 1."""
    for version in VERSIONS:
        fleet.publish(bundle_maker(version, gain=20.0 + version))
    running = Agent(fleet)
    running.order(1)
    until(lambda: running.entry().order == 1, "the first order to be taken up")
    complete(running, 1)
    until(running.decides, "decisions")
    return running


def test_an_agent_that_is_killed_twice_at_each_step_of_an_update_comes_back_and_finishes_it(agent: Agent) -> None:
    twice: Counter[str] = Counter()
    for at_work, step in itertools.product((False, True), STEPS):
        for _ in range(TRIES):
            began_s = time.monotonic()
            first = reach(agent, step)
            second = kill_again(agent, step, at_work=at_work)
            twice[step] += first.state == second.state == step
            come_back(agent)
            complete(agent, first.attempted)
            print(f"{step}: killed at {first.state}, {second.state}; {time.monotonic() - began_s:.1f} s")
            if twice[step]:  # else the step had passed before the kill
                break
    print("kills", dict(agent.hits), "twice in one update", dict(twice))
    assert all(agent.hits[step] >= 2 and twice[step] for step in STEPS)

    third_boot_gives_a_version_on_probation_up(agent)

    agent.process.send_signal(signal.SIGTERM)
    assert agent.process.wait(timeout=30) == 0
    assert not agent.members()
    assert {path.name for path in agent.temp.iterdir()} <= {ORT_SESSION}
    assert not status_folders()


def third_boot_gives_a_version_on_probation_up(agent: Agent) -> None:
    """Two boots without a commit are forgiven; at the third the version before decides, and may be ordered anew."""
    before = agent.entry().running
    for _ in range(TRIES):
        first = reach(agent, "PROBATION")
        boots = [kill_again(agent, "PROBATION", at_work=False).boots for _ in range(MAX_BOOTS - 1)]
        if first.state == "PROBATION" and boots == [1, 2]:
            break
        come_back(agent)
        complete(agent, first.attempted)
        before = first.attempted
    come_back(agent)
    entry = agent.entry()
    assert (entry.state, entry.running, agent.status()["version"]) == ("ROLLED_BACK", before, before)
    assert entry.reason == f"PROBATION_FAILED: started {MAX_BOOTS} times without being committed"
    agent.order(first.attempted)
    until(lambda: agent.entry().running == first.attempted, "the version that was given up, ordered anew")
    complete(agent, first.attempted)
