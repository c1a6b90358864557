"""Which differences are still for somebody, and when the file of one may go; pure.

Over the service: test_published_differences.py.
"""

import pytest

from fleet.deltas import GRACE_S, shelve, stale
from fleet.repository import Custom, DeltaCustom, SignedBundle, SignedDelta

HOUR_S, NOW_S = 3600.0, 1_800_000_000.0


def bundles(*versions: int, target: str = "pi", model: str = "light", floor: int = 0) -> dict[str, SignedBundle]:
    """Signed bundles, by path."""
    return {
        f"{model}/{model}-{version}.edge": SignedBundle(
            f"{model}/{model}-{version}.edge", "a" * 64, 100,
            Custom(model=model, version=version, target=target, min_agent="0", floor=floor),
        )
        for version in versions
    }  # fmt: skip


def delta(start: int, end: int, *, target: str = "pi", model: str = "light") -> dict[str, SignedDelta]:
    """One signed difference, by path."""
    path = f"{model}/{model}-{start}-{end}.delta"
    custom = DeltaCustom(
        model=model, version=end, target=target, min_agent="0", floor=0, from_version=start, from_sha256="a" * 64,
        to_sha256="b" * 64,
    )  # fmt: skip
    return {path: SignedDelta(path, "c" * 64, 10, custom)}


DELTAS = {**delta(1, 2), **delta(2, 3), **delta(1, 3), **delta(3, 4), **delta(2, 4), **delta(4, 5)}


def test_a_difference_to_a_version_with_three_newer_ones_is_for_nobody() -> None:
    assert stale(bundles(1, 2, 3, 4), DELTAS, ()) == ()
    assert stale(bundles(1, 2, 3, 4, 5), DELTAS, ()) == ("light/light-1-2.delta",)
    assert stale(bundles(1, 2, 3, 4, 5, 6), DELTAS, ()) == (
        "light/light-1-2.delta",
        "light/light-2-3.delta",
        "light/light-1-3.delta",
    )


def test_versions_of_another_target_or_model_make_none_older() -> None:
    others = {**bundles(6, 7, 8, target="x86-64"), **bundles(6, 7, 8, model="dark")}
    assert stale({**bundles(1, 2, 3, 4), **others}, DELTAS, ()) == ()


def test_a_difference_on_which_a_device_is_ordered_stays_whatever_is_newer() -> None:
    assert stale(bundles(*range(1, 20)), delta(1, 2), {("light", 2)}) == ()
    assert stale(bundles(*range(1, 20)), delta(1, 2), {("dark", 2), ("light", 1)}) == ("light/light-1-2.delta",)


def test_a_difference_to_a_revoked_version_is_for_nobody_even_if_it_was_ordered() -> None:
    assert stale(bundles(1, 2, 3, floor=3), {**delta(1, 2), **delta(2, 3)}, {("light", 2)}) == (
        "light/light-1-2.delta",
    )


def test_a_file_goes_only_when_it_was_signed_no_more_for_the_whole_grace() -> None:
    first = shelve({"a", "b"}, {"a"}, {}, NOW_S)
    assert (first.since_s, first.due) == ({"b": NOW_S}, ())
    almost = shelve({"a", "b"}, {"a"}, first.since_s, NOW_S + GRACE_S - 1)
    assert (almost.since_s, almost.due) == (first.since_s, ())
    late = shelve({"a", "b"}, {"a"}, almost.since_s, NOW_S + GRACE_S)
    assert (late.since_s, late.due) == ({}, ("b",))


def test_a_file_that_is_signed_again_or_gone_is_forgotten() -> None:
    assert shelve({"a"}, {"a"}, {"a": NOW_S, "gone": NOW_S}, NOW_S + 2 * GRACE_S).since_s == {}


@pytest.mark.parametrize("ahead_s", [HOUR_S, 400 * 86400.0])
def test_a_note_of_a_clock_that_was_ahead_keeps_no_file_for_ever(ahead_s: float) -> None:
    put_right = shelve({"b"}, (), {"b": NOW_S + ahead_s}, NOW_S)
    assert put_right.since_s == {"b": NOW_S}
    assert shelve({"b"}, (), put_right.since_s, NOW_S + GRACE_S).due == ("b",)
