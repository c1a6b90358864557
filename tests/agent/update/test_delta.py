"""The new bundle out of the old one and a difference: right for any bytes; hostile ones refused."""

import bz2
import hashlib
import random
import struct
from pathlib import Path
from typing import Any

import pytest

from edge.errors import DiskFullError, TrustError
from edge.messages import Wish
from edge_agent.control import Done
from edge_agent.power_cut import PowerCutDisk
from edge_agent.update.delta import apply_delta, patched
from edge_agent.update.flow import Flow, Settings
from edge_agent.update.inspect_child import Inspection
from edge_agent.update.journal import PAGE_BYTES, Entry, Journal
from edge_agent.update.refusal import code_of
from edge_agent.update.trust import Trust

OLD, DELTA, PART, STATE = Path("/old"), Path("/delta"), Path("/part"), Path("/state")


def number(value: int) -> bytes:
    """As the format writes it: eight bytes, the highest bit is the sign."""
    return (abs(value) | (1 << 63 if value < 0 else 0)).to_bytes(8, "little")


def pack(triples: list[tuple[int, int, int]], added: bytes, copied: bytes, size_bytes: int) -> bytes:
    """A difference by hand."""
    control = bz2.compress(b"".join(number(value) for triple in triples for value in triple))
    first, last = bz2.compress(added), bz2.compress(copied)
    return b"BSDIFF40" + number(len(control)) + number(len(first)) + number(size_bytes) + control + first + last


def disk(old: bytes, delta: bytes, **named: Any) -> PowerCutDisk:
    return PowerCutDisk(found={"/": None, str(OLD): old, str(DELTA): delta}, **named)


def result(old: bytes, delta: bytes, size_bytes: int) -> bytes:
    return b"".join(patched(disk(old, delta), OLD, DELTA, size_bytes))


def test_bytes_are_added_copied_and_skipped_as_the_difference_says() -> None:
    delta = pack([(3, 2, -2), (2, 0, 0)], bytes([1, 0, 255, 0, 0]), b"xy", 7)
    assert result(b"abcdef", delta, 7) == b"bbbxybc"
    assert result(b"ab", pack([(4, 0, 0)], bytes(4), b"", 4), 4) == b"ab\0\0"
    assert result(b"ab", pack([(0, 1, -3), (5, 0, 0)], bytes(5), b"x", 6), 6) == b"x\0\0\0ab"


def test_what_bsdiff_makes_of_any_bytes_is_undone() -> None:
    bsdiff4 = pytest.importorskip("bsdiff4", reason="bsdiff4 is not installed: it comes with edgewright[fleet]")
    dice = random.Random(3)
    for size in (0, 1, 1000, 200_000):
        old = dice.randbytes(size)
        new = bytearray(old)
        for _ in range(size // 500):
            new[dice.randrange(size)] ^= 1
        new[size // 3 : size // 3] = dice.randbytes(300)
        assert result(old, bsdiff4.diff(old, bytes(new)), len(new)) == bytes(new)


@pytest.mark.parametrize(
    "delta",
    [
        b"", b"BSDIFF40", b"BSDIFF41" + bytes(24), b"BSDIFF40" + number(10**9) + bytes(8) + number(7),
        b"BSDIFF40" + number(-5) + number(0) + number(7), pack([(3, 2, 0)], b"abc", b"xy", 5)[:-10],
        pack([(9, 0, 0)], bytes(9), b"", 7), pack([(0, 0, 0)] * 9, b"", b"", 7), pack([(-1, 8, 0)], b"", bytes(8), 7),
        pack([(7, 0, 0)], b"short", b"", 7), pack([(1, 6, 2**62)], b"a", bytes(6), 7), pack([], b"", b"", 7),
        pack([(7, 0, 0)], bytes(7), b"", 8), b"BSDIFF40" + number(20) + number(20) + number(7) + b"\xff" * 60,
        struct.pack("<8sQQQ", b"BSDIFF40", 2**63, 0, 7) + bytes(30),
    ],
)  # fmt: skip
def test_a_hostile_difference_is_refused(delta: bytes) -> None:
    with pytest.raises(TrustError) as caught:
        result(b"abcdef", delta, 7)
    assert code_of(caught.value.problem) == "HASH_MISMATCH"


def test_a_bomb_stays_as_small_as_the_bundle_that_was_signed() -> None:
    bomb = pack([(0, 1 << 26, 0)], b"", bytes(1 << 26), 1 << 26)
    assert len(bomb) < 200
    pieces = patched(disk(b"", bomb), OLD, DELTA, 1 << 26)
    assert max(len(piece) for piece in pieces) <= 1 << 16


def test_a_full_disk_is_said_so() -> None:
    delta = pack([(0, 100_000, 0)], b"", bytes(100_000), 100_000)
    with pytest.raises(DiskFullError):
        apply_delta(disk(b"", delta, capacity_bytes=50_000), OLD, DELTA, PART, size_bytes=100_000, step_bytes=1000)


# --- in an update -----------------------------------------------------------------------------------

V1 = random.Random(1).randbytes(30_000)
V2 = V1[:10_000] + b"changed" * 100 + V1[10_000:]
V2_FROM_V1 = pack([(10_000, 700, 0), (20_000, 0, 0)], bytes(30_000), b"changed" * 100, len(V2))


class Device:
    """Runs version 1, whose difference to version 2 is published; its supervisor always does well."""

    def __init__(self, repository: Any, shelf: Any) -> None:
        self.disk = PowerCutDisk(found={"/": None, str(STATE): None})
        self.decides = self.staged = 0
        self.told: list[Entry] = []
        self.shelf = shelf
        trust = Trust(self.disk, STATE / "trust.json", repository.root_json, shelf)
        self.flow = Flow(
            Settings("light", "x86-64", "0.1.0", margin_bytes=0, block_bytes=3000, first_pause_s=0.0),
            disk=self.disk, journal=Journal(self.disk, STATE, "light"), trust=trust, remote=shelf, seat=self,  # type: ignore[arg-type]
            inspect=self.inspect, tell=self.told.append,
        )  # fmt: skip
        self.flow.take(Wish(version=1, order=1))
        assert self.flow.entry.running == 1
        self.told.clear()

    def inspect(self, path: Path) -> Inspection:
        return Inspection(name="light", version=1 if self.disk.read(path) == V1 else 2, target="x86-64")

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

    def update(self) -> int:
        """Order version 2; returns how many bytes of the whole bundle were sent."""
        self.flow.take(Wish(version=2, order=2))
        slot = self.flow._slots.path(self.flow.entry.active or "a")
        assert (self.flow.entry.state, self.disk.read(slot) == V2) == ("COMMITTED", True), self.flow.entry
        assert [name for name in self.disk.names(self.flow._slots.folder) if name.endswith(".part")] == []
        return int(self.shelf.sent.get("artifacts/light/light-2.edge", 0))


def publish(repository: Any, delta: bytes = V2_FROM_V1, **custom: Any) -> None:
    repository.publish("light", 1, V1)
    repository.publish("light", 2, V2)
    repository.publish_delta("light", 1, 2, V1, V2, delta, **custom)


@pytest.fixture
def device(repository: Any, shelf: Any) -> Device:
    publish(repository)
    return Device(repository, shelf)


def test_a_device_fetches_the_difference_and_nothing_of_the_bundle(device: Device) -> None:
    assert device.update() == 0
    assert device.shelf.sent["artifacts/light/light-1-2.delta"] == len(V2_FROM_V1)
    entry = device.flow.entry
    assert entry.slot(entry.active).delta is None  # type: ignore[union-attr]


def test_a_journal_with_the_longest_of_everything_fits_its_page(device: Device, repository: Any) -> None:
    from edge_agent.update.journal import BundleRecord, DeltaRecord

    long = "m" * 64
    delta = DeltaRecord(sha256="f" * 64, size_bytes=2**40, path=f"{long}/{long}-2147483647-2147483647.delta",
                        from_sha256="f" * 64)  # fmt: skip
    record = BundleRecord(version=2**31 - 1, sha256="f" * 64, size_bytes=2**40, path=f"{long}/{long}-2147483647.edge")
    whole = BundleRecord(version=2**31 - 1, sha256="f" * 64, size_bytes=2**40, path=record.path, delta=delta)
    entry = Entry(state="PROBATION", active="a", a=record, b=record, incoming=whole, attempted=2**31 - 1,
                  order=2**53, boots=2, reason="ö" * 400, folder="/ö" * 250)  # fmt: skip
    Journal(device.disk, STATE, "light").write(entry)
    assert Journal(device.disk, STATE, "light").entry == entry
    assert PAGE_BYTES == 4096


@pytest.mark.parametrize(
    "spoil",
    [
        lambda shelf: shelf.files.pop("artifacts/light/light-1-2.delta"),
        lambda shelf: shelf.files.update({"artifacts/light/light-1-2.delta": bytes(len(V2_FROM_V1))}),
        lambda shelf: shelf.files.update({"artifacts/light/light-1-2.delta": V2_FROM_V1 * 3}),
    ],
    ids=["gone", "other bytes", "longer than signed"],
)
def test_where_the_difference_cannot_be_had_the_whole_bundle_is_fetched(device: Device, spoil: Any) -> None:
    spoil(device.shelf)
    assert device.update() == len(V2)


@pytest.mark.parametrize(
    "delta", [b"no difference", V2_FROM_V1[:-20], pack([(0, len(V2), 0)], b"", bytes(len(V2)), len(V2))]
)
def test_a_signed_difference_that_leads_nowhere_costs_nothing_but_the_whole_fetch(
    repository: Any, shelf: Any, delta: bytes
) -> None:
    publish(repository, delta)
    device = Device(repository, shelf)
    assert device.update() == len(V2)
    states = [(entry.state, code_of(entry.reason)) for entry in device.told]
    assert ("DOWNLOADING", "HASH_MISMATCH") in states  # it is said


@pytest.mark.parametrize(
    "custom", [{"from_sha256": "0" * 64}, {"to_sha256": "0" * 64}, {"from_sha256": 5}, {"from_sha256": None}]
)
def test_a_difference_between_other_bundles_is_not_looked_at(
    repository: Any, shelf: Any, custom: dict[str, Any]
) -> None:
    publish(repository, **custom)
    device = Device(repository, shelf)
    assert device.update() == len(V2)
    assert "artifacts/light/light-1-2.delta" not in shelf.sent


def test_a_difference_that_is_not_under_half_is_not_looked_at(repository: Any, shelf: Any) -> None:
    repository.publish("light", 1, V1)
    repository.publish("light", 2, V2)
    repository.publish_delta("light", 1, 2, V1, V2, bytes(len(V2) // 2 + 1))
    assert Device(repository, shelf).update() == len(V2)


def test_a_difference_is_taken_up_where_a_cut_line_left_it(repository: Any, shelf: Any) -> None:
    dice = random.Random(5)
    noise = dice.randbytes(9000)
    target = V1 + noise
    repository.publish("light", 1, V1)
    repository.publish("light", 2, target)
    delta = pack([(len(V1), len(noise), 0)], bytes(len(V1)), noise, len(target))
    repository.publish_delta("light", 1, 2, V1, target, delta)
    device = Device(repository, shelf)
    shelf.cut_after = 6000
    device.flow.take(Wish(version=2, order=2))
    assert device.flow.entry.state == "COMMITTED"
    assert hashlib.sha256(device.disk.read(device.flow._slots.path("b"))).digest() == hashlib.sha256(target).digest()
    assert len(delta) <= shelf.sent["artifacts/light/light-1-2.delta"] <= len(delta) + 3000
