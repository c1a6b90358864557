"""Windows over rows that come one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import BadDataError
from edge.manifest import ImageInput, SeriesInput
from edge.windows import SlidingWindow, window_of


@given(
    window=st.integers(1, 9),
    stride=st.integers(1, 12),
    total=st.integers(0, 60),
    cuts=st.lists(st.integers(0, 7), max_size=30),
)
def test_windows_are_those_of_the_whole_series_however_its_rows_arrive(
    window: int, stride: int, total: int, cuts: list[int]
) -> None:
    rows = np.arange(2 * total, dtype=np.float32).reshape(total, 2)
    sliding, found, at = SlidingWindow(window, stride, 2), [], 0
    for size in [*cuts, total]:
        found += [one.copy() for one in sliding.push(rows[at : at + size])]
        at += size
    expected = [rows[begin : begin + window] for begin in range(0, total - window + 1, stride)]
    assert [one.tolist() for one in found] == [one.tolist() for one in expected]


def test_a_window_never_spans_a_gap() -> None:
    sliding = SlidingWindow(3, 1, 1)
    assert list(sliding.push(np.ones((2, 1), np.float32))) == []
    sliding.clear()
    assert list(sliding.push(np.ones((2, 1), np.float32))) == []
    assert len(list(sliding.push(np.ones((1, 1), np.float32)))) == 1


def test_rows_of_other_columns_are_refused() -> None:
    with pytest.raises(BadDataError, match="takes 3 columns"):
        list(SlidingWindow(3, 1, 3).push(np.ones((1, 2), np.float32)))


def test_only_a_series_has_windows() -> None:
    assert window_of(SeriesInput(window=3, stride=1, columns=("a", "b"))) is not None
    assert window_of(ImageInput(width=4, height=4, colour="RGB", layout="NHWC")) is None
