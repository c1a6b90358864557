"""Three parts of the samples: calibrate, select, report."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.checks import judge_split
from compiler.split import CALIBRATE_CAP, LEAST_REPORT, SELECT_CAP, Split, needed_samples, split
from edge.errors import BadDataError


def digests(count: int) -> list[bytes]:
    return [hashlib.sha256(str(index).encode()).digest() for index in range(count)]


@given(st.lists(st.binary(min_size=1, max_size=2), max_size=80))
def test_no_content_is_in_two_parts_and_none_is_lost(contents: list[bytes]) -> None:
    parts = split(contents)
    assert sorted(parts.calibrate + parts.select + parts.report) == list(range(len(contents)))
    held = [{contents[i] for i in part} for part in (parts.calibrate, parts.select, parts.report)]
    assert not held[0] & held[1] | held[0] & held[2] | held[1] & held[2]


@given(st.permutations(digests(30)))
def test_the_order_of_the_files_does_not_matter(shuffled: list[bytes]) -> None:
    expected = [digests(30)[index] for index in split(digests(30)).select]
    assert [shuffled[index] for index in split(shuffled).select] == expected


def test_a_fifth_calibrates_and_a_fifth_chooses_up_to_a_cap() -> None:
    few, many = split(digests(100)), split(digests(8000))
    assert [len(part) for part in (few.calibrate, few.select, few.report)] == [20, 20, 60]
    assert [len(part) for part in (many.calibrate, many.select)] == [CALIBRATE_CAP, SELECT_CAP]


def test_the_least_number_of_samples_is_said() -> None:
    enough = needed_samples()
    assert len(split(digests(enough)).report) == LEAST_REPORT
    assert len(split(digests(enough - 1)).report) < LEAST_REPORT
    with pytest.raises(BadDataError, match="leave 19 to prove") as caught:
        judge_split(split(digests(enough - 1)))
    assert f"at least {enough} different samples" in caught.value.remedy


def test_few_samples_are_warned_of_and_many_are_not() -> None:
    assert "only 60 samples to prove with: no loss below 5.0 points" in judge_split(split(digests(100)))[0]
    assert judge_split(split(digests(500))) == ()


def test_copies_of_one_sample_cannot_calibrate_and_prove() -> None:
    with pytest.raises(BadDataError, match="and 0 to calibrate"):
        judge_split(Split(calibrate=(), select=(1,), report=tuple(range(2, 50))))
