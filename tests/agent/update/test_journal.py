from pathlib import Path

import pytest

from edge_agent.disk import RealDisk
from edge_agent.update.boot import MAX_BOOTS, choose_bundle
from edge_agent.update.journal import PAGE_BYTES, BundleRecord, Entry, Journal, change
from edge_agent.update.slots import Slots

DISK = RealDisk()


def record(version: int, data: bytes) -> BundleRecord:
    import hashlib

    return BundleRecord(
        version=version, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data), path=f"m/m-{version}.edge"
    )


@pytest.fixture
def two_slots(tmp_path: Path) -> Path:
    """Version 1 is committed in slot a; slot b holds version 2."""
    journal = Journal(DISK, tmp_path, "m")
    slots = Slots(DISK, journal.folder)
    slots.path("a").write_bytes(b"one")
    slots.path("b").write_bytes(b"two")
    journal.write(Entry(state="COMMITTED", active="a", a=record(1, b"one"), b=record(2, b"two"), attempted=1, order=1))
    return tmp_path


def on_trial(state_dir: Path) -> Journal:
    journal = Journal(DISK, state_dir, "m")
    journal.write(change(journal.entry, state="PROBATION", attempted=2, order=2))
    return journal


def test_a_journal_reads_back_what_was_written_last(tmp_path: Path) -> None:
    journal = Journal(DISK, tmp_path, "m")
    for version in range(1, 6):
        journal.write(Entry(state="OFFERED", attempted=version, reason="x" * 10))
    assert Journal(DISK, tmp_path, "m").entry.attempted == 5


def test_a_damaged_page_leaves_the_one_before_it(tmp_path: Path) -> None:
    journal = Journal(DISK, tmp_path, "m")
    for version in (1, 2):
        journal.write(Entry(state="OFFERED", attempted=version))
    newest = max(journal.folder.glob("journal-*"), key=lambda path: b'"attempted":2' in path.read_bytes())
    for at in range(0, len(newest.read_bytes().rstrip()), 7):
        page = bytearray(newest.read_bytes())
        kept, page[at] = bytes(page), page[at] ^ 0x10
        newest.write_bytes(page)
        assert Journal(DISK, tmp_path, "m").entry.attempted == 1
        newest.write_bytes(kept)
    assert Journal(DISK, tmp_path, "m").entry.attempted == 2


def test_the_longest_entry_fits_a_page(tmp_path: Path) -> None:
    long = BundleRecord(
        version=2**31 - 1, sha256="f" * 64, size_bytes=2**28, path="m" * 64 + "/" + "m" * 64 + "-1.edge"
    )
    entry = Entry(state="DOWNLOADING", active="a", a=long, b=long, incoming=long, attempted=2**31 - 1, order=2**53)
    journal = Journal(DISK, tmp_path, "m")
    journal.write(change(entry, reason="\U0001f697" * 5000))
    assert all(path.stat().st_size == PAGE_BYTES for path in journal.folder.glob("journal-*"))


def test_each_model_has_its_own_journal_and_slots(two_slots: Path) -> None:
    assert choose_bundle(two_slots, "other").path is None
    assert choose_bundle(two_slots, "m").version == 1


def test_a_new_device_has_nothing_to_run(tmp_path: Path) -> None:
    choice = choose_bundle(tmp_path, "m")
    assert (choice.path, choice.version, choice.reason) == (None, 0, "")


def test_a_version_in_probation_is_given_up_at_the_third_start(two_slots: Path) -> None:
    on_trial(two_slots)
    versions = [choose_bundle(two_slots, "m").version for _ in range(MAX_BOOTS + 1)]
    assert versions == [2, 2, 1, 1]
    entry = Journal(DISK, two_slots, "m").entry
    assert (entry.state, entry.attempted, entry.running) == ("ROLLED_BACK", 2, 1)
    assert entry.reason.startswith("PROBATION_FAILED")


def test_a_damaged_version_in_probation_is_not_run(two_slots: Path) -> None:
    journal = on_trial(two_slots)
    (journal.folder / "slots" / "b.edge").write_bytes(b"twO")
    choice = choose_bundle(two_slots, "m")
    assert (choice.version, choice.reason.split(":")[0]) == (1, "SLOT_DAMAGED")


def test_when_the_committed_slot_is_damaged_the_other_one_runs_and_the_last_order_may_be_tried_again(
    two_slots: Path,
) -> None:
    (two_slots / "models/m/slots/a.edge").write_bytes(b"on")
    choice = choose_bundle(two_slots, "m")
    assert (choice.version, choice.reason.split(":")[0]) == (2, "SLOT_DAMAGED")
    entry = Journal(DISK, two_slots, "m").entry
    assert (entry.active, entry.order, entry.state) == ("b", -1, "ROLLED_BACK")
    assert choose_bundle(two_slots, "m").version == 2


def test_when_both_slots_are_damaged_nothing_is_run(two_slots: Path) -> None:
    for name in ("a", "b"):
        (two_slots / f"models/m/slots/{name}.edge").write_bytes(b"?")
    choice = choose_bundle(two_slots, "m")
    assert (choice.path, choice.version, choice.reason.split(":")[0]) == (None, 0, "SLOT_DAMAGED")


def test_a_bundle_in_a_slot_is_read_only(two_slots: Path) -> None:
    journal = Journal(DISK, two_slots, "m")
    slots, three = Slots(DISK, journal.folder), record(3, b"three")
    slots.part(three).write_bytes(b"three")
    assert slots.put("b", three)
    assert slots.path("b").stat().st_mode & 0o777 == 0o444
    assert not slots.put("b", record(4, b"four"))
