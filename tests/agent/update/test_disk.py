import errno
import hashlib
from pathlib import Path

import pytest

from edge.errors import DiskFullError
from edge_agent.disk import RealDisk, replace_file, sha256_of
from edge_agent.power_cut import PowerCutDisk

ROOT = Path("/")


def test_both_disks_do_the_same(tmp_path: Path) -> None:
    for disk, root in ((RealDisk(), tmp_path), (PowerCutDisk(ROOT), ROOT)):
        disk.mkdir(root / "d")
        disk.create(root / "d/x")
        disk.write(root / "d/x", 2, b"abc")
        disk.truncate(root / "d/x", 4)
        disk.sync_file(root / "d/x")
        disk.rename(root / "d/x", root / "d/y")
        disk.sync_dir(root / "d")
        disk.unlink(root / "d/gone")
        assert disk.read(root / "d/y") == b"\0\0ab"
        assert disk.read(root / "d/y", 1, 2) == b"\0a"
        assert (disk.size(root / "d/y"), disk.size(root / "d/x")) == (4, None)
        assert (disk.names(root / "d"), disk.names(root / "none")) == (("y",), ())
        assert sha256_of(disk, root / "d/y") == hashlib.sha256(b"\0\0ab").hexdigest()
        with pytest.raises(FileNotFoundError):
            disk.read(root / "d/x")


def test_bytes_that_were_not_synced_may_be_gone_torn_or_zero() -> None:
    disk = PowerCutDisk(ROOT)
    disk.create(ROOT / "x")
    disk.sync_dir(ROOT)
    disk.write(ROOT / "x", 0, b"safe")
    disk.sync_file(ROOT / "x")
    disk.write(ROOT / "x", 4, b"more")
    seen = {left.read(ROOT / "x") for left in disk.crashes(len(disk.changes))}
    assert {b"safe", b"safemore", b"safe\0\0\0\0", b"safem"} <= seen


def test_a_name_that_was_not_synced_may_be_gone_or_there() -> None:
    disk = PowerCutDisk(ROOT)
    replace_file(disk, ROOT / "x", b"old")
    replace_file(disk, ROOT / "x", b"new")
    before_sync = len(disk.changes) - 1
    assert {left.read(ROOT / "x") for left in disk.crashes(before_sync)} == {b"old", b"new"}
    assert {left.read(ROOT / "x") for left in disk.crashes(before_sync + 1)} == {b"new"}


def test_without_its_folder_a_file_cannot_be_found() -> None:
    disk = PowerCutDisk(ROOT)
    disk.mkdir(ROOT / "d")
    disk.create(ROOT / "d/x")
    disk.sync_dir(ROOT / "d")
    assert disk.crash(after=3, names="lost").size(ROOT / "d/x") is None
    assert disk.crash(after=3, names="kept").size(ROOT / "d/x") == 0


def test_a_full_disk_is_our_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DiskFullError, match="free some space"):
        replace_file(RealDisk(), tmp_path / "x", b"data")
    small = PowerCutDisk(ROOT, capacity_bytes=3)
    with pytest.raises(DiskFullError):
        replace_file(small, ROOT / "x", b"data")


def test_other_trouble_of_the_disk_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        RealDisk().write(tmp_path / "none", 0, b"x")
