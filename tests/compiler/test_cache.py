"""The cache: right or absent, never wrong, and bounded."""

import os
from pathlib import Path

import pytest

from compiler.cache import Cache, default_folder, key_of


def test_a_key_depends_on_every_part_and_on_their_order() -> None:
    assert key_of("a", 1, (0.5,)) == key_of("a", 1, (0.5,))
    assert len({key_of("a", "b"), key_of("b", "a"), key_of("ab"), key_of("a", "b", None)}) == 4


def test_what_was_put_is_found_by_another_process_and_made_only_once(tmp_path: Path) -> None:
    made = []
    for _ in range(2):
        assert Cache(tmp_path).remember("k", lambda: made.append(1) or b"result") == b"result"  # type: ignore[func-returns-value]
    assert made == [1]


def test_a_damaged_or_torn_entry_is_absent(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.put("k", b"result")
    (entry,) = tmp_path.iterdir()
    whole = entry.read_bytes()
    for damaged in (whole[:-1], whole[:10], b"", whole[:40] + b"x"):
        entry.write_bytes(damaged)
        assert cache.get("k") is None
    entry.write_bytes(whole)
    assert cache.get("k") == b"result"


def test_the_least_recently_used_entries_go_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit_bytes=250)
    for age, key in enumerate(("old", "middle")):
        cache.put(key, bytes(60))
        os.utime(tmp_path / f"{key}.entry", (age, age))
    assert cache.get("old") is not None  # now it is the newest
    cache.put("new", bytes(60))
    assert cache.get("middle") is None
    assert cache.get("old") is not None
    assert cache.get("new") is not None


@pytest.mark.parametrize("folder", [None, Path("/proc/nowhere")])
def test_without_a_place_to_keep_things_everything_is_made_anew(folder: Path | None) -> None:
    cache = Cache(folder)
    cache.put("k", b"result")
    assert cache.get("k") is None


def test_the_default_folder_is_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "edgewright"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_folder() == Path.home() / ".cache" / "edgewright"
