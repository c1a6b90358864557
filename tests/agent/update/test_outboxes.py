"""Telemetry in memory that goes to flash only when it waits: nothing written in peace, nothing doubled after a cut."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.messages import Ack, Batch, EventRow, WindowRow
from edge_agent.disk import RealDisk
from edge_agent.power_cut import PowerCutDisk
from edge_agent.uplink import backlog, outboxes
from edge_agent.uplink.outbox import Kept, Outbox, Stamp
from edge_agent.uplink.outboxes import EVENT_SPILL_S, SPILL_S, Outboxes

STAMP = Stamp(wall_ns=1, mono_ns=2, boot_id="boot", clock_ok=True)
EVENT = EventRow(kind="test", text="one")
WINDOW = WindowRow(
    model="m", version=1, span_ms=1000.0, decisions=1, unsure=0, labels={}, scores=(1,), latency_us=(1,), age_ms=(1,),
    actions={},
)  # fmt: skip


class Device:
    """A memory that a power cut empties, a disk that it does not, and a clock."""

    def __init__(self, memory: Path, flash: Path) -> None:
        self.now_s = 0.0
        self.memory, self.flash = memory, flash
        self.memory.mkdir()

    def start(self, *, spills: bool = True, most_rows: int = 10_000) -> Outboxes:
        own = Outbox(self.memory / "outbox.sqlite", most_rows=most_rows, now_s=lambda: self.now_s)
        return Outboxes(own, memory=self.memory, folder=self.flash, spills=spills, most_rows=most_rows)

    def cut_power(self) -> None:
        shutil.rmtree(self.memory)
        self.memory.mkdir()

    @property
    def files(self) -> list[Path]:
        return sorted(self.flash.glob("*")) if self.flash.exists() else []


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    tmpfs = Path("/dev/shm")  # as on a device; else each row is a sync of a real disk
    with tempfile.TemporaryDirectory(dir=tmpfs if tmpfs.is_dir() else tmp_path) as memory:
        yield Device(Path(memory) / "memory", tmp_path / "flash")


def ack(batch: Batch) -> Ack:
    return Ack(outbox_id=batch.outbox_id, first_seq=batch.first_seq, last_seq=batch.last_seq)


def identities(batches: list[Batch]) -> set[tuple[str, int]]:
    return {(batch.outbox_id, row.seq) for batch in batches for row in batch.rows}


def deliver(found: Outboxes) -> set[tuple[str, int]]:
    """Send and acknowledge until nothing is left."""
    rows: set[tuple[str, int]] = set()
    while batches := found.batches():
        rows |= identities(batches)
        for batch in batches:
            found.acknowledge(ack(batch))
    return rows


def test_nothing_is_written_while_the_fleet_answers(device: Device) -> None:
    found = device.start()
    for _ in range(200):
        device.now_s += 10
        found.put([WINDOW], STAMP)
        deliver(found)
    assert device.files == []


def test_rows_that_wait_go_to_flash_together_and_only_now_and_then(device: Device) -> None:
    found, sizes = device.start(), set()
    for _ in range(int(3 * SPILL_S / 10) + 10):
        device.now_s += 10
        found.put([WINDOW], STAMP)
        sizes.add(device.files[0].stat().st_size if device.files else 0)
    assert len(sizes) == 4  # none, and after each of three spills
    assert len(list(backlog.read(RealDisk(), device.files[0]))) > 180


def test_an_event_does_not_wait_as_long(device: Device) -> None:
    found = device.start()
    found.put([EVENT], STAMP)
    device.now_s += EVENT_SPILL_S
    found.put([], STAMP)
    assert len(device.files) == 1


def test_after_a_power_cut_spilled_rows_keep_their_numbers_and_new_ones_get_others(device: Device) -> None:
    found = device.start()
    found.put([EVENT, WINDOW], STAMP)
    found.spill()
    found.put([WINDOW], STAMP)  # lost with the power
    sent = identities(found.batches())
    device.cut_power()
    again = device.start()
    again.put([EVENT], STAMP)
    assert again.waiting == 3
    rows = deliver(again)
    assert len(rows & sent) == 2  # what the fleet may have taken already is known by its number
    assert len(rows) == 3
    assert again.waiting == 0
    assert device.files == []


def test_a_disk_that_is_full_is_tried_again_until_there_is_room(device: Device) -> None:
    disk, folder = PowerCutDisk(found={"/": None, "/state": None}, capacity_bytes=0), Path("/state/outbox")
    own = Outbox(device.memory / "outbox.sqlite", most_rows=9, now_s=lambda: device.now_s)
    found = Outboxes(own, memory=device.memory, folder=folder, spills=True, most_rows=9, disk=disk)
    file = folder / f"{own.id}{backlog.SUFFIX}"
    found.put([EVENT, WINDOW], STAMP)
    found.spill()
    assert list(backlog.read(disk, file)) == []
    disk.capacity_bytes = 1 << 20
    device.now_s += SPILL_S
    found.put([], STAMP)
    assert {(own.id, row.seq) for row in backlog.read(disk, file)} == identities(found.batches())


def test_a_thousand_starts_without_a_fleet_lose_nothing(device: Device) -> None:
    for _ in range(30):
        found = device.start()
        found.put([EVENT], STAMP)
        found.spill()
        device.cut_power()
    found = device.start()
    assert found.waiting == 30
    assert len(list(device.memory.glob("outbox-*.sqlite"))) == 1  # of all of them, one is open
    assert len(deliver(found)) == 30
    assert list(device.memory.glob("outbox-*")) == []


def test_a_killed_process_goes_on_where_it_was(device: Device) -> None:
    first = device.start()
    first.put([WINDOW] * 150, STAMP)
    first.spill()
    device.cut_power()
    found = device.start()
    one = found.batches()[0]
    found.acknowledge(ack(one))
    again = device.start()  # the process was killed: the memory is as it was
    assert again.waiting == 150 - len(one.rows)
    assert deliver(again).isdisjoint(identities([one]))


def test_a_file_that_has_grown_is_written_anew_with_what_waits(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outboxes, "FILE_BYTES", 300)
    found = device.start(most_rows=20)
    for _ in range(40):
        found.put([WINDOW], STAMP)
        found.spill()
        device.now_s += 1
    kept = list(backlog.read(RealDisk(), device.files[0]))
    assert {row.seq for row in kept} >= {seq for _, seq in identities(found.batches())}
    assert kept[0].seq > 1


def test_with_memory_nothing_is_ever_written(device: Device) -> None:
    found = device.start(spills=False)
    found.put([EVENT], STAMP)
    device.now_s += 2 * SPILL_S
    found.put([EVENT], STAMP)
    found.spill()
    assert device.files == []


def test_the_power_may_be_cut_at_any_moment_of_a_spill() -> None:
    rows = [Kept(seq, 1, 2, 3, "boot", 1, b"{}") for seq in range(1, 9)]
    disk, file = PowerCutDisk(found={"/": None, "/state": None}), Path("/state/outbox/a.rows")
    backlog.append(disk, file, rows[:4])
    safe = len(disk.changes)
    backlog.append(disk, file, rows[4:])
    backlog.rewrite(disk, file, rows[2:])
    for after in range(safe, len(disk.changes) + 1):
        for crashed in disk.crashes(after):
            found = list(backlog.read(crashed, file))
            assert found in (rows[:4], rows, rows[2:])
            backlog.append(crashed, file, rows[:1])  # and what is half written is no obstacle
            assert list(backlog.read(crashed, file)) == [*found, rows[0]]
