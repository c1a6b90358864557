"""Calibration and held-out samples."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.checks import judge_split
from compiler.split import CALIBRATION_CAP, LEAST_HELD_OUT, Split, needed_samples, split
from edge.errors import BadDataError


def digests(count: int) -> list[bytes]:
    return [hashlib.sha256(str(index).encode()).digest() for index in range(count)]


@given(st.lists(st.binary(min_size=1, max_size=2), max_size=80))
def test_no_content_is_on_both_sides_and_none_is_lost(contents: list[bytes]) -> None:
    parts = split(contents)
    assert sorted(parts.calibration + parts.held_out) == list(range(len(contents)))
    assert not {contents[i] for i in parts.calibration} & {contents[i] for i in parts.held_out}


@given(st.permutations(digests(30)))
def test_the_order_of_the_files_does_not_matter(shuffled: list[bytes]) -> None:
    expected = [digests(30)[index] for index in split(digests(30)).calibration]
    assert [shuffled[index] for index in split(shuffled).calibration] == expected


def test_a_third_calibrates_up_to_a_cap() -> None:
    assert len(split(digests(100)).calibration) == 30
    assert len(split(digests(5000)).calibration) == CALIBRATION_CAP


def test_the_least_number_of_samples_is_said() -> None:
    enough = needed_samples()
    assert len(split(digests(enough)).held_out) == LEAST_HELD_OUT
    assert len(split(digests(enough - 1)).held_out) < LEAST_HELD_OUT
    with pytest.raises(BadDataError, match="leave 19 to prove") as caught:
        judge_split(split(digests(enough - 1)))
    assert f"at least {enough} different samples" in caught.value.remedy


def test_few_samples_are_warned_of_and_many_are_not() -> None:
    assert "only 70 held-out samples" in judge_split(split(digests(100)))[0]
    assert judge_split(split(digests(400))) == ()


def test_copies_of_one_sample_cannot_calibrate_and_prove() -> None:
    with pytest.raises(BadDataError, match="0 to calibrate"):
        judge_split(Split(calibration=(), held_out=tuple(range(50))))
