"""Updates from a folder or a stick: what is read, what is believed, which version, and what the fleet's orders mean."""

import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.errors import AgentError, FileMissingError, TrustError
from edge.messages import Wish
from edge_agent.control import Done
from edge_agent.disk import RealDisk
from edge_agent.power_cut import PowerCutDisk
from edge_agent.update.download import Download
from edge_agent.update.flow import Flow, Settings
from edge_agent.update.folder_remote import FolderRemote
from edge_agent.update.inspect_child import Inspection
from edge_agent.update.journal import BundleRecord, Entry, Journal
from edge_agent.update.local_orders import LocalAnswer, LocalOrder, LocalOrders, answer_path, order_path, write_whole
from edge_agent.update.order_command import update_from
from edge_agent.update.refusal import code_of
from edge_agent.update.steps import LocalWish
from edge_agent.update.trust import Trust

ROOT, STATE = Path("/"), Path("/state")
BUNDLE = "artifacts/light/light-2.edge"
DATA = {version: bytes([version]) * 20_000 for version in (1, 2, 3)}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    """A stick with these files."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def stick(tmp_path: Path, repository: Any) -> Path:
    for version in (1, 2):
        repository.publish("light", version, DATA[version])
    return write(tmp_path / "stick", repository.files)


def code(call: Callable[[], object]) -> str | None:
    with pytest.raises(TrustError) as caught:
        call()
    return code_of(caught.value.problem)


# --- reading ----------------------------------------------------------------------------------------


def fetch(stick: Path, path: str = BUNDLE) -> bytes:
    with FolderRemote(stick).get(path) as answer:
        return b"".join(answer.pieces) if answer.status == 200 else str(answer.status).encode()


def test_files_are_read_whole_or_from_a_byte_on(stick: Path) -> None:
    assert fetch(stick) == DATA[2]
    with FolderRemote(stick).get(BUNDLE, start=19_990) as answer:
        assert (answer.status, answer.start, b"".join(answer.pieces)) == (206, 19_990, DATA[2][-10:])
    with FolderRemote(stick).get(BUNDLE, start=30_000) as answer:
        assert answer.status == 416
    assert fetch(stick, "metadata/2.root.json") == b"404"


def test_links_and_what_is_no_plain_file_are_refused(stick: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    (stick / "artifacts/light/link").symlink_to(secret)
    (stick / "artifacts/away").symlink_to(tmp_path)
    os.mkfifo(stick / "artifacts/light/fifo")
    for hostile in ("light/link", "light/fifo", "light", "../secret", "/", "light/x\0y", "a" * 300):
        assert code(lambda path=f"artifacts/{hostile}": fetch(stick, path)) == "NO_SUCH_VERSION", hostile
    assert fetch(stick, "artifacts/away/secret") == b"404"


def test_a_stick_that_is_pulled_out_is_a_network_that_has_gone(stick: Path, tmp_path: Path) -> None:
    assert code(lambda: fetch(tmp_path / "nothing")) == "NETWORK"
    (tmp_path / "mount").mkdir()
    assert code(lambda: fetch(tmp_path / "mount")) == "NETWORK"  # an empty mount point


def test_a_file_longer_than_signed_is_not_copied_beyond_its_length(stick: Path, tmp_path: Path) -> None:
    with (stick / BUNDLE).open("r+b") as file:
        file.truncate(1 << 40)  # sparse: it claims a terabyte
    record = BundleRecord(version=2, sha256="0" * 64, size_bytes=len(DATA[2]), path="light/light-2.edge")
    part = tmp_path / "x.part"
    download = Download(RealDisk(), FolderRemote(stick), record, part, block_bytes=6000)
    assert code(download.attempt) == "HASH_MISMATCH"
    assert part.stat().st_size <= len(DATA[2])


# --- believing --------------------------------------------------------------------------------------


class Device:
    """An agent whose supervisor always does well, on a disk in memory."""

    def __init__(self, repository: Any, shelf: Any, *, disk: Any = None, orders: Any = None) -> None:
        self.disk = disk or PowerCutDisk(ROOT, found={"/": None, str(STATE): None})
        self.decides = self.staged = 0
        self.told: list[Entry] = []
        self.trust = Trust(self.disk, STATE / "trust.json", repository.root_json, shelf)
        self.flow = Flow(
            Settings("light", "x86-64", "0.1.0", margin_bytes=0, block_bytes=3000, first_pause_s=0.01),
            disk=self.disk, journal=Journal(self.disk, STATE, "light"), trust=self.trust, remote=shelf, seat=self,
            inspect=lambda path: Inspection(name="light", version=self.disk.read(path)[0], target="x86-64"),
            tell=self.told.append, look=orders,
        )  # fmt: skip

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

    def newest(self, stick: Path, **named: Any) -> int:
        return self.trust.newest(
            "light", folder=FolderRemote(stick), **({"target": "x86-64", "agent": "0.1.0"} | named)
        )

    @property
    def ended(self) -> tuple[str, str | None, int]:
        entry = self.flow.entry
        return entry.state, code_of(entry.reason), entry.running


@pytest.fixture
def device(repository: Any, shelf: Any) -> Device:
    shelf.down = True  # nothing but the stick
    return Device(repository, shelf)


def test_the_newest_signed_version_that_is_there_for_this_target_is_taken(
    device: Device, repository: Any, stick: Path
) -> None:
    repository.publish("light", 3, DATA[3], target="raspberrypi4")
    repository.publish("light", 4, b"four", min_agent="9.0.0")
    write(stick, repository.files)
    assert device.newest(stick, target="raspberrypi4") == 3
    assert code(lambda: device.newest(stick)) == "AGENT_TOO_OLD"
    (stick / "artifacts/light/light-4.edge").unlink()
    assert device.newest(stick) == 2
    (stick / BUNDLE).unlink()
    assert device.newest(stick) == 1
    assert code(lambda: device.newest(stick, target="jetson-orin")) == "NO_SUCH_VERSION"


def test_versions_below_the_floor_are_none(device: Device, repository: Any, stick: Path) -> None:
    repository.publish("light", 3, DATA[3], floor=3)
    write(stick, repository.files)
    (stick / "artifacts/light/light-3.edge").unlink()
    assert code(lambda: device.newest(stick)) == "NO_SUCH_VERSION"
    device.flow.take(LocalWish(version=2, folder=str(stick)))
    assert device.ended == ("FAILED", "BELOW_FLOOR", 0)


def test_a_stick_that_others_signed_is_refused(
    device: Device, another_repository: Any, stick: Path, tmp_path: Path
) -> None:
    another_repository.publish("light", 2, DATA[2])
    foreign = write(tmp_path / "foreign", another_repository.files)
    assert code(lambda: device.newest(foreign)) == "BAD_SIGNATURE"
    (stick / BUNDLE).write_bytes(DATA[1])
    device.flow.take(LocalWish(version=2, folder=str(stick)))
    assert device.ended == ("FAILED", "HASH_MISMATCH", 0)


def test_an_older_stick_serves_a_device_that_has_seen_newer_metadata_but_these_decide(
    device: Device, repository: Any, shelf: Any, stick: Path
) -> None:
    repository.publish("light", 3, DATA[3], floor=2)
    shelf.down = False
    device.flow.take(Wish(version=3, order=1))
    shelf.down = True
    device.flow.take(LocalWish(version=1, folder=str(stick)))
    assert device.ended == ("FAILED", "BELOW_FLOOR", 3)
    device.flow.take(LocalWish(version=2, folder=str(stick)))
    assert device.ended == ("COMMITTED", None, 2)


def test_an_expired_stick_waits_and_says_so(device: Device, repository: Any, stick: Path) -> None:
    repository.sign(days=-1)
    write(stick, repository.files)
    assert code(lambda: device.newest(stick)) == "METADATA_EXPIRED"


# --- ordering ---------------------------------------------------------------------------------------


def test_what_a_person_brought_stays_until_the_fleet_gives_its_next_order(
    device: Device, shelf: Any, stick: Path
) -> None:
    shelf.down = False
    device.flow.take(Wish(version=1, order=7))
    shelf.down = True
    device.flow.take(LocalWish(version=2, folder=str(stick)))
    assert device.ended == ("COMMITTED", None, 2)
    device.flow.take(Wish(version=1, order=7))  # retained, heard again after a reconnect
    assert device.ended == ("COMMITTED", None, 2)
    device.flow.take(Wish(version=1, order=8))
    assert device.ended == ("COMMITTED", None, 1)


def test_a_stick_pulled_out_in_the_middle_is_waited_for_also_after_a_restart(
    device: Device, repository: Any, shelf: Any, stick: Path, tmp_path: Path
) -> None:
    device.flow.take(LocalWish(version=1, folder=str(stick)))
    gone = tmp_path / "in a pocket"
    device.flow._precheck, real = None, device.flow._precheck  # type: ignore[assignment,method-assign]

    def pulled(entry: Entry, record: BundleRecord) -> Any:
        stick.rename(gone)
        return real(entry, record)

    device.flow._work["PRECHECK"] = pulled
    thread = threading.Thread(target=device.flow.take, args=(LocalWish(version=2, folder=str(stick)),), daemon=True)
    thread.start()
    until(lambda: code_of(device.flow.entry.reason) == "NETWORK")
    assert device.flow.entry.state == "DOWNLOADING"
    after_reboot = Device(repository, shelf, disk=PowerCutDisk(ROOT, found=dict(device.disk.content())))
    gone.rename(stick)
    after_reboot.decides = 1
    after_reboot.flow.run()
    assert after_reboot.ended == ("COMMITTED", None, 2)
    thread.join(30)
    assert device.ended == ("COMMITTED", None, 2)


def until(holds: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


class Desk:
    """A device, and the folder where commands leave their orders."""

    def __init__(self, device: Device, state_dir: Path, watched: Path | None = None) -> None:
        (state_dir / "run").mkdir(parents=True)
        self.device, self.state_dir = device, state_dir
        entry = lambda: device.flow.entry  # noqa: E731
        self.orders = LocalOrders(state_dir, watched, entry=entry, newest=device.newest)
        device.flow._look = self.orders.look
        device.flow._tell = self.orders.told

    def order(self, folder: Path, version: int = 0) -> LocalWish | None:
        write_whole(order_path(self.state_dir), LocalOrder(id="x", folder=str(folder), version=version))
        return self.orders.look()

    @property
    def answer(self) -> LocalAnswer | None:
        path = answer_path(self.state_dir)
        return msgspec.json.decode(path.read_bytes(), type=LocalAnswer) if path.exists() else None


def test_an_order_is_taken_up_once_and_answered_when_it_is_in_the_journal(
    device: Device, stick: Path, tmp_path: Path
) -> None:
    desk = Desk(device, tmp_path / "state")
    wish = desk.order(stick)
    assert wish == LocalWish(version=2, folder=str(stick))
    assert desk.answer is None
    assert desk.orders.look() is None
    assert wish is not None
    device.flow.take(wish)
    assert desk.answer is not None
    assert (desk.answer.id, desk.answer.version, desk.answer.problem) == ("x", 2, "")
    assert desk.order(stick) is None  # it runs already
    assert desk.answer.version == 2


def test_an_order_that_cannot_be_is_answered_with_the_reason_and_rubbish_is_thrown_away(
    device: Device, stick: Path, tmp_path: Path
) -> None:
    desk = Desk(device, tmp_path / "state")
    assert desk.order(tmp_path / "nowhere") is None
    assert desk.answer is not None
    assert code_of(desk.answer.problem) == "NETWORK"
    order_path(desk.state_dir).write_bytes(b"\xff[")
    assert desk.orders.look() is None
    assert not order_path(desk.state_dir).exists()


def test_a_watched_stick_brings_a_higher_version_by_itself_and_never_a_lower_one(
    device: Device, repository: Any, stick: Path, tmp_path: Path
) -> None:
    mount = tmp_path / "mount"
    Desk(device, tmp_path / "state", mount)
    threading.Thread(target=device.flow.run_for_ever, daemon=True).start()
    shutil.copytree(stick, mount)
    until(lambda: device.ended == ("COMMITTED", None, 2))
    (mount / BUNDLE).unlink()
    (mount / "metadata/timestamp.json").touch()  # another stick: its newest is version 1
    time.sleep(1.5)
    assert device.ended == ("COMMITTED", None, 2)
    repository.publish("light", 3, DATA[3])
    write(mount, repository.files)
    until(lambda: device.ended == ("COMMITTED", None, 3))


def test_a_person_may_try_again_what_failed_and_go_back_to_what_ran(device: Device, stick: Path) -> None:
    device.probation = lambda _version: "no decision for 10 s"  # type: ignore[method-assign]
    device.revert = lambda _reason: Done(ok=True)  # type: ignore[attr-defined]
    device.flow.take(LocalWish(version=2, folder=str(stick)))
    assert device.ended == ("ROLLED_BACK", "PROBATION_FAILED", 0)
    device.probation = lambda _version: ""  # type: ignore[method-assign]
    device.flow.take(LocalWish(version=2, folder=str(stick)))
    device.flow.take(LocalWish(version=1, folder=str(stick)))
    assert device.ended == ("COMMITTED", None, 1)


def test_a_watched_stick_that_had_to_wait_for_the_clock_is_looked_at_again(
    device: Device, stick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.update.local_orders.AGAIN_S", 0.0)
    orders = Desk(device, tmp_path / "state", stick).orders
    monkeypatch.setattr(device.trust, "_now_s", lambda: 0.0)
    assert orders.look() is None
    monkeypatch.setattr(device.trust, "_now_s", time.time)
    assert orders.look() == LocalWish(version=2, folder=str(stick))


# --- the command ------------------------------------------------------------------------------------


def test_the_command_names_what_is_missing(stick: Path, tmp_path: Path) -> None:
    with pytest.raises(FileMissingError, match="no copy of a fleet"):
        update_from(tmp_path / "nothing", tmp_path, 0, print)
    with pytest.raises(AgentError):
        update_from(stick, tmp_path, 0, print)
