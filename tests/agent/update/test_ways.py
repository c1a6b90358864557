"""The same update over HTTP, over MQTT, from a folder and by a difference: power cuts, a full disk, refusals."""

import bz2
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.errors import DiskFullError
from edge.messages import Wish
from edge_agent.control import Done
from edge_agent.power_cut import PowerCutDisk
from edge_agent.update.boot import choose_bundle
from edge_agent.update.flow import Flow, Settings
from edge_agent.update.inspect_child import Inspection
from edge_agent.update.journal import Entry, Journal
from edge_agent.update.refusal import code_of
from edge_agent.update.trust import Trust

ROOT, STATE = Path("/"), Path("/state")
BLOCK_BYTES = 3072
V1 = random.Random(1).randbytes(12_000)
NEW_BYTES = random.Random(2).randbytes(5_000)
V2 = V1[:7_000] + NEW_BYTES + V1[7_000:]
STEPS = ["IDLE", "OFFERED", "PRECHECK", "DOWNLOADING", "VERIFYING", "STAGED", "SELFTEST", "SWITCHED", "PROBATION", "COMMITTED"]  # fmt: skip  # noqa: E501


def difference() -> bytes:
    """From V1 to V2, in the format of bsdiff."""
    numbers = [7_000, 5_000, 0, 5_000, 0, 0]
    parts = [bz2.compress(b"".join(n.to_bytes(8, "little") for n in numbers)), bz2.compress(bytes(12_000)),
             bz2.compress(NEW_BYTES)]  # fmt: skip
    head = [len(parts[0]), len(parts[1]), len(V2)]
    return b"BSDIFF40" + b"".join(n.to_bytes(8, "little") for n in head) + b"".join(parts)


class Device:
    """One start of the agent on a disk; its supervisor always does well."""

    def __init__(self, disk: Any, way: Any, *, now_s: Any = None, **settings: Any) -> None:
        self.disk, self.way, self.told = disk, way, list[tuple[int, Entry]]()
        self.decides = self.staged = choose_bundle(STATE, "light", disk=disk).version
        clock = {} if now_s is None else {"now_s": now_s}
        remote = way.remote
        self.flow = Flow(
            Settings(**({"model": "light", "target": "x86-64", "agent": "0.1.0", "margin_bytes": 0,
                         "block_bytes": BLOCK_BYTES, "first_pause_s": 0.0} | settings)),
            disk=disk, journal=Journal(disk, STATE, "light"), remote=remote, seat=self,  # type: ignore[arg-type]
            trust=Trust(disk, STATE / "trust.json", way.repository.root_json, remote, **clock),
            inspect=self.inspect, tell=lambda entry: self.told.append((len(disk.changes), entry)),
        )  # fmt: skip

    def inspect(self, path: Path) -> Inspection:
        return Inspection(name="light", version={V1: 1, V2: 2}[self.disk.read(path)], target="x86-64")

    def version(self) -> int:
        return self.decides

    def stage(self, _path: Path, _model: str, version: int) -> Done:
        self.staged = version
        return Done(ok=True)

    def switch(self) -> Done:
        self.decides = self.staged
        return Done(ok=True)

    def retire(self) -> Done:
        return Done(ok=True)

    def probation(self, _version: int) -> str:
        return ""

    def told_by(self, changes: int) -> Entry:
        return next((entry for at, entry in reversed(self.told) if at <= changes), Entry())


@pytest.fixture
def installed(way: Any) -> Device:
    """Version 1 runs, and has come the same way."""
    way.publish(V1, V2, difference())
    device = Device(PowerCutDisk(ROOT, found={"/": None, str(STATE): None}), way)
    device.flow.take(way.wish(1))
    assert device.flow.entry.running == 1
    return device


def runnable(disk: PowerCutDisk) -> int:
    """The version that would run now; its bytes are the right ones."""
    probe = PowerCutDisk(ROOT, found=dict(disk.content()))
    choice = choose_bundle(STATE, "light", disk=probe)
    assert choice.path is not None, "no runnable model"
    assert probe.read(choice.path) == {1: V1, 2: V2}[choice.version]
    return choice.version


def stored(disk: PowerCutDisk, after: int, name: str) -> int:
    """Most bytes of the fetched file that were ever written before the cut."""
    return max((c.offset + len(c.data) for c in disk.changes[:after] if c.kind == "write" and c.path.endswith(name)),
               default=0)  # fmt: skip


def cuts(disk: PowerCutDisk, first: int) -> Iterator[tuple[int, PowerCutDisk]]:
    """Every different disk after a cut anywhere from the change `first` on."""
    return ((after, left) for after in range(first, len(disk.changes) + 1) for left in disk.crashes(after))


def test_after_a_power_cut_a_verified_model_runs_and_the_update_completes_with_a_block_fetched_twice_at_most(
    installed: Device, way: Any
) -> None:
    disk = installed.disk
    first = len(disk.changes)
    way.cut_at, way.sent_bytes = way.size_bytes // 2, 0
    installed.flow.take(way.wish(2))
    assert installed.flow.entry.running == 2
    assert way.cut_at is None, "the line was never cut"
    fetched = way.repository.targets.targets[way.fetched.removeprefix("artifacts/")].hashes["sha256"]
    count = 0
    for after, left in cuts(disk, first):
        count += 1
        had, told = stored(disk, after, f"{fetched}.part"), installed.told_by(after)
        found = Journal(PowerCutDisk(ROOT, found=dict(left.content())), STATE, "light").entry
        assert (found.attempted, STEPS.index(found.state)) >= (told.attempted, STEPS.index(told.state))
        assert runnable(left) >= told.running
        way.sent_bytes = 0
        again = Device(left, way)
        again.flow.run()
        if again.flow.entry.running != 2:
            again.flow.take(way.wish(2))
        assert (again.flow.entry.state, runnable(left)) == ("COMMITTED", 2), again.flow.entry
        if had < way.size_bytes:
            assert way.sent_bytes + had - way.size_bytes <= BLOCK_BYTES - way.slack_bytes
    assert count >= 200, f"only {count} different cuts"


class FullFrom:
    """Has no room from the n-th growing change on. A journal page is overwritten in place, and needs none."""

    def __init__(self, disk: PowerCutDisk, number: int) -> None:
        self._disk, self.left = disk, number

    def __getattr__(self, name: str) -> Any:
        return getattr(self._disk, name)

    def _need(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise DiskFullError("no room", remedy="free some space on the device's disk")

    def create(self, path: Path) -> None:
        self._need()
        self._disk.create(path)

    def write(self, path: Path, offset: int, data: bytes) -> None:
        if "journal" not in path.name:
            self._need()
        self._disk.write(path, offset, data)


def test_a_disk_that_is_full_at_any_step_is_a_clean_failure_while_the_old_model_serves(
    installed: Device, way: Any
) -> None:
    before = dict(installed.disk.content())
    for number in range(200):
        disk = FullFrom(PowerCutDisk(ROOT, found=before), number)
        device = Device(disk, way)
        device.flow.take(way.wish(2))
        entry = device.flow.entry
        assert (entry.state, entry.running, device.decides) in [("FAILED", 1, 1), ("COMMITTED", 2, 2)]
        assert runnable(disk._disk) == entry.running
        if entry.state == "COMMITTED":
            assert number >= 5, "no step needs any room"
            return
        assert code_of(entry.reason) == "DISK_FULL"
        assert [name for name in disk.names(device.flow._slots.folder) if name.endswith(".part")] == []
        disk.left = 1000  # somebody has made room
        wish = way.wish(2)
        device.flow.take(Wish(version=2, order=9) if type(wish) is Wish else wish)
        assert (device.flow.entry.state, runnable(disk._disk)) == ("COMMITTED", 2)
    pytest.fail("the update never found enough room")


def refused(way: Any, installed: Device, **settings: Any) -> tuple[str, str | None, int]:
    device = Device(PowerCutDisk(ROOT, found=dict(installed.disk.content())), way, **settings)
    device.flow.take(way.wish(2))
    return device.flow.entry.state, code_of(device.flow.entry.reason), runnable(device.disk)


def test_a_wrong_target_a_too_old_agent_and_a_slow_model_end_the_update_with_their_reason(
    installed: Device, way: Any
) -> None:
    assert refused(way, installed, target="raspberrypi4") == ("FAILED", "WRONG_TARGET", 1)
    assert refused(way, installed, agent="0.0.9") == ("FAILED", "AGENT_TOO_OLD", 1)


def test_a_wrong_clock_delays_the_update_which_goes_on_by_itself_when_it_is_right(installed: Device, way: Any) -> None:
    import time

    readings = [0.0, 0.0, 0.0]  # 1970, three times
    seen = []
    device = Device(
        PowerCutDisk(ROOT, found=dict(installed.disk.content())), way,
        now_s=lambda: readings.pop() if readings else time.time(),
    )  # fmt: skip
    told = device.flow._tell
    device.flow._tell = lambda entry: seen.append((entry.state, code_of(entry.reason))) or told(entry)  # type: ignore[func-returns-value]
    device.flow.take(way.wish(2))
    assert ("OFFERED", "CLOCK_WRONG") in seen
    assert (device.flow.entry.state, runnable(device.disk)) == ("COMMITTED", 2)
