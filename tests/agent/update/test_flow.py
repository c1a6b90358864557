import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.messages import Wish
from edge_agent.control import Done
from edge_agent.disk import RealDisk
from edge_agent.power_cut import PowerCutDisk
from edge_agent.update.flow import Flow, Settings
from edge_agent.update.inspect_child import inspect
from edge_agent.update.journal import RESTING, Entry, Journal
from edge_agent.update.refusal import code_of
from edge_agent.update.steps import NEXT, Event, decide, is_news, take_up
from edge_agent.update.trust import Trust

ALL_STEPS = [
    "OFFERED", "PRECHECK", "DOWNLOADING", "VERIFYING", "STAGED", "SELFTEST", "SWITCHED", "PROBATION", "COMMITTED",
]  # fmt: skip
FINE = Done(ok=True, p95_us=1500.0)


class Seat:
    """A supervisor that answers as it is told; `asked` is what it heard."""

    def __init__(self) -> None:
        self.decides, self.before, self.staged = 0, 0, 0
        self.asked: list[str] = []
        self.answers: dict[str, Done] = {}
        self.trouble = ""

    def _answer(self, what: str) -> Done:
        self.asked.append(what)
        return self.answers.get(what, FINE)

    def version(self) -> int:
        return self.decides

    def stage(self, path: Path, _model: str, version: int) -> Done:
        assert path.exists()
        self.staged = version
        return self._answer("stage")

    def switch(self) -> Done:
        if (answer := self._answer("switch")).ok:
            self.before, self.decides = self.decides, self.staged
        return answer

    def revert(self, _reason: str) -> Done:
        self.decides = self.before
        return self._answer("revert")

    def retire(self) -> Done:
        return self._answer("retire")

    def probation(self, _version: int) -> str:
        self.asked.append("probation")
        return self.trouble


class Device:
    def __init__(self, state_dir: Path, repository: Any, shelf: Any, *, disk: Any = None, **settings: Any) -> None:
        self.seat, self.told = Seat(), list[Entry]()
        disk = disk or RealDisk()
        defaults = {"margin_bytes": 0, "block_bytes": 4096, "first_pause_s": 0.01}
        self.flow = Flow(
            Settings("light", "x86-64", "0.1.0", **(defaults | settings)),
            disk=disk, journal=Journal(disk, state_dir, "light"),
            trust=Trust(disk, state_dir / "trust.json", repository.root_json, shelf),
            remote=shelf, seat=self.seat, inspect=inspect, tell=self.told.append,
        )  # fmt: skip

    def order(self, version: int, order: int) -> list[str]:
        """Give one order, and return the states that it went through."""
        before = len(self.told)
        self.flow.take(Wish(version=version, order=order))
        return [entry.state for entry in self.told[before:]]

    @property
    def ended(self) -> tuple[str, str | None, int]:
        entry = self.flow.entry
        return entry.state, code_of(entry.reason), entry.running


@pytest.fixture
def published(repository: Any, make_bundle: Callable[..., bytes]) -> Any:
    for version in (1, 2):
        repository.publish("light", version, make_bundle(version=version))
    return repository


@pytest.fixture
def device(tmp_path: Path, published: Any, shelf: Any) -> Device:
    """Runs version 1."""
    (tmp_path / "state").mkdir()
    device = Device(tmp_path / "state", published, shelf)
    assert device.order(1, 1) == ALL_STEPS
    device.seat.asked.clear()
    return device


def test_an_update_goes_through_every_state_and_asks_the_supervisor_in_order(device: Device) -> None:
    assert device.order(2, 2) == ALL_STEPS
    assert device.seat.asked == ["stage", "switch", "probation", "retire"]
    assert device.ended == ("COMMITTED", None, 2)


def test_rolling_back_to_the_version_in_the_other_slot_fetches_nothing(device: Device, shelf: Any) -> None:
    device.order(2, 2)
    shelf.sent.clear()
    assert "DOWNLOADING" not in device.order(1, 3)
    assert device.ended == ("COMMITTED", None, 1)
    assert not [path for path in shelf.sent if path.startswith("artifacts")]


def test_an_order_for_the_version_that_runs_is_committed_at_once(device: Device) -> None:
    assert device.order(1, 2) == ["COMMITTED"]
    assert device.order(1, 2) == []


def test_a_version_that_failed_is_tried_again_only_by_a_higher_order(device: Device) -> None:
    device.seat.answers["stage"] = Done(ok=False, reason="GOLDEN: 0.7 off")
    assert device.order(2, 2)[-1] == "FAILED"
    assert device.ended == ("FAILED", "SELFTEST_FAILED", 1)
    assert device.order(2, 2) == []
    device.seat.answers.clear()
    assert device.order(2, 3)[-1] == "COMMITTED"
    assert device.order(1, 2) == []


def test_a_version_that_fails_on_probation_is_reverted_and_can_be_offered_again(device: Device) -> None:
    device.seat.trouble = "no decision for 10 s"
    assert device.order(2, 2)[-2:] == ["PROBATION", "ROLLED_BACK"]
    assert device.seat.asked == ["stage", "switch", "probation", "revert"]
    assert device.ended == ("ROLLED_BACK", "PROBATION_FAILED", 1)
    assert device.seat.decides == 1
    device.seat.trouble = ""
    assert device.order(2, 3)[-1] == "COMMITTED"


def test_a_switch_that_fails_leaves_the_old_version(device: Device) -> None:
    device.seat.answers["switch"] = Done(ok=False, reason="the standby loop has ended")
    device.order(2, 2)
    assert device.ended == ("ROLLED_BACK", "SWITCH_FAILED", 1)
    assert device.seat.asked[-1] == "retire"


def test_a_model_that_is_too_slow_on_this_device_is_refused(tmp_path: Path, published: Any, shelf: Any) -> None:
    device = Device(tmp_path, published, shelf, p95_limit_ms=1.0)
    device.order(1, 1)
    assert device.ended == ("FAILED", "SELFTEST_FAILED", 0)
    assert "1.5 ms" in device.flow.entry.reason


def test_a_corrupted_artifact_is_rejected_before_anything_reads_it(device: Device, shelf: Any) -> None:
    data = bytearray(shelf.files["artifacts/light/light-2.edge"])
    data[len(data) // 2] ^= 1
    shelf.files["artifacts/light/light-2.edge"] = bytes(data)
    states = device.order(2, 2)
    assert states[-2:] == ["VERIFYING", "FAILED"]
    assert device.ended == ("FAILED", "HASH_MISMATCH", 1)
    assert device.seat.asked == ["retire"]


def test_bytes_left_by_an_earlier_process_are_not_blamed_on_the_fleet(device: Device, tmp_path: Path) -> None:
    device.flow._journal.write(
        decide(take_up(device.flow.entry, Wish(version=2, order=2)), Event("good", record=device.flow._trust.find(
            "light", 2, target="x86-64", agent="0.1.0")))
    )  # fmt: skip
    part = device.flow._slots.part(device.flow.entry.incoming)
    part.write_bytes(b"rubbish" * 1000)
    device.flow.run()
    assert device.ended == ("COMMITTED", None, 2)
    assert "VERIFYING" in [entry.state for entry in device.told][-8:]


def test_a_signed_file_that_is_no_bundle_is_rejected_in_a_child_process(device: Device, published: Any) -> None:
    published.publish("light", 3, b"PK\x03\x04 not a bundle" * 100)
    device.order(3, 3)
    assert device.ended == ("FAILED", "BAD_BUNDLE", 1)


def test_a_bundle_that_names_another_model_or_target_is_rejected(
    device: Device, published: Any, make_bundle: Callable[..., bytes]
) -> None:
    published.publish("light", 3, make_bundle("sound", 3))
    device.order(3, 3)
    assert device.ended == ("FAILED", "WRONG_MODEL", 1)
    published.publish("light", 4, make_bundle("light", 4, "raspberrypi4"))
    device.order(4, 4)
    assert device.ended == ("FAILED", "WRONG_TARGET", 1)


def test_refusals_of_the_signed_metadata_end_the_update(device: Device, published: Any) -> None:
    device.order(9, 2)
    assert device.ended == ("FAILED", "NO_SUCH_VERSION", 1)
    published.publish("light", 3, b"x", floor=2)
    device.order(1, 3)
    assert device.ended == ("COMMITTED", None, 1)  # it runs already: a floor stops no running model
    device.order(2, 4)
    device.order(1, 5)
    assert device.ended == ("FAILED", "BELOW_FLOOR", 2)


def test_a_full_disk_is_a_clean_failure(published: Any, shelf: Any) -> None:
    disk = PowerCutDisk(Path("/"), capacity_bytes=40_000)
    device = Device(Path("/"), published, shelf, disk=disk)
    device.order(1, 1)
    assert device.ended == ("FAILED", "DISK_FULL", 0)
    device = Device(Path("/"), published, shelf, disk=PowerCutDisk(Path("/"), capacity_bytes=10_000))
    device.order(1, 1)
    assert device.ended == ("FAILED", "DISK_FULL", 0)


def test_a_network_that_comes_back_lets_the_update_go_on(device: Device, shelf: Any) -> None:
    shelf.down = True
    thread = threading.Thread(target=device.order, args=(2, 2))
    thread.start()
    until(lambda: code_of(device.flow.entry.reason) == "NETWORK")
    assert device.flow.entry.state == "DOWNLOADING"  # the metadata trusted last know version 2 already
    shelf.down = False
    thread.join(30)
    assert device.ended == ("COMMITTED", None, 2)


def test_an_update_that_must_wait_makes_way_for_a_newer_order(device: Device, shelf: Any) -> None:
    shelf.down = True
    thread = threading.Thread(target=device.order, args=(9, 2))
    thread.start()
    until(lambda: code_of(device.flow.entry.reason) == "NETWORK")
    device.flow.wish(Wish(version=1, order=3))
    thread.join(30)
    assert device.ended == ("FAILED", "SUPERSEDED", 1)
    assert device.order(1, 3) == ["COMMITTED"]


def test_a_wish_that_comes_during_an_update_is_carried_out_after_it(device: Device) -> None:
    device.seat.probation = lambda _version: device.flow.wish(Wish(version=1, order=3)) or ""  # type: ignore[assignment]
    threading.Thread(target=device.flow.run_for_ever, daemon=True).start()
    device.flow.wish(Wish(version=2, order=2))
    until(lambda: device.flow.entry.order == 3 and device.flow.entry.state == "COMMITTED")
    committed = [entry.running for entry in device.told if entry.state == "COMMITTED"]
    assert committed == [1, 2, 1]


def test_an_older_order_that_comes_late_does_not_displace_a_newer_one(device: Device) -> None:
    def both(_version: int) -> str:
        device.flow.wish(Wish(version=1, order=4))
        device.flow.wish(Wish(version=9, order=3))  # what the fleet had retained, sent again after a reconnect
        return ""

    device.seat.probation = both  # type: ignore[assignment]
    threading.Thread(target=device.flow.run_for_ever, daemon=True).start()
    device.flow.wish(Wish(version=2, order=2))
    until(lambda: device.flow.entry.order == 4 and device.flow.entry.state == "COMMITTED")
    assert [entry.attempted for entry in device.told if entry.state == "COMMITTED"][-1] == 1


def test_a_new_process_reverts_what_the_old_one_gave_up_but_could_not_revert(
    device: Device, tmp_path: Path, published: Any, shelf: Any
) -> None:
    device.seat.trouble = "it crashed"
    device.order(2, 2)
    again = Device(tmp_path / "state", published, shelf)
    again.seat.decides, again.seat.before = 2, 1
    again.flow.run()
    assert (again.seat.asked, again.seat.decides) == (["revert"], 1)


def test_every_state_of_the_table_can_be_journalled_and_leads_to_rest() -> None:
    reached = {"OFFERED"} | set(NEXT.values())
    assert {state for state, _ in NEXT} == reached - RESTING
    for state in reached:
        assert msgspec.json.decode(msgspec.json.encode(Entry(state=state)), type=Entry).state == state  # type: ignore[arg-type]
    ways_out = {state: {after for (before, _), after in NEXT.items() if before == state} for state in reached - RESTING}
    assert all(after & RESTING or after - {state} for state, after in ways_out.items())


def test_an_event_that_cannot_happen_is_an_error() -> None:
    with pytest.raises(KeyError):
        decide(Entry(state="OFFERED"), Event("gone"))


def test_only_a_newer_order_or_another_version_is_news() -> None:
    entry = Entry(state="FAILED", attempted=2, order=5)
    wishes = [Wish(version=2, order=5), Wish(version=2, order=6), Wish(version=3, order=5), Wish(version=3, order=4)]
    assert [is_news(entry, wish) for wish in wishes] == [False, True, True, False]


def until(holds: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)
