import numpy as np
import pytest
from hand_made import make_addition
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.observe import Observation, Observer
from compiler.observe.histogram import BINS, Histogram
from compiler.observe.ranges import least_squares, minmax, moving_average, percentile, ranges_of
from compiler.observe.tflite_model import run_tflite


def seen(*samples: np.ndarray) -> Observation:
    observer = Observer(channel_axis=-1)
    for sample in samples:
        observer.see(sample.astype(np.float32))
    return observer.result()


def expected_error(values: np.ndarray, low: float, high: float) -> float:
    step = (high - low) / 255
    codes = np.clip(np.rint(values / step), np.rint(low / step), np.rint(high / step))
    return float(((values - codes * step) ** 2).sum())


def test_minmax_is_exact_and_channels_are_counted_along_their_axis() -> None:
    rng = np.random.default_rng(0)
    samples = [rng.normal(0, 1, (1, 4, 5, 3)) * [1, 10, 100] + [0, 0, 50] for _ in range(5)]
    found, everything = seen(*samples), np.stack(samples).astype(np.float32)
    assert minmax(found) == (everything.min(), everything.max())
    flat = everything.reshape(-1, 3)
    np.testing.assert_allclose(found.channel_max, np.abs(flat).max(axis=0))
    np.testing.assert_allclose(found.channel_mean, flat.mean(axis=0), rtol=1e-5)


def test_padding_of_minus_infinity_before_a_max_pool_leaves_the_ranges_finite() -> None:
    found = seen(np.array([[1.0, -np.inf, 3.0]]), np.array([[2.0, -np.inf, np.nan]]))
    assert minmax(found) == (0.0, 3.0)
    for method in ("minmax", "percentile", "moving-average", "mse"):
        assert np.isfinite(ranges_of({"x": found}, method)["x"]).all()  # type: ignore[arg-type]
    np.testing.assert_array_equal(found.channel_max, [2, 0, 3])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=50), st.integers(1, 5))
def test_a_histogram_keeps_every_nonzero_value_however_far_out_it_lies(values: list[float], parts: int) -> None:
    histogram = Histogram.empty()
    for part in np.array_split(np.array(values, np.float32), parts):
        histogram = histogram.add(part)
    kept = np.array([value for value in values if value])
    assert histogram.total == len(kept)
    if len(kept):
        width = 2 * histogram.reach / BINS
        counted = np.repeat(histogram.centres, histogram.counts)
        np.testing.assert_allclose(counted, np.sort(kept), atol=width)


def test_percentile_clips_an_outlier_that_minmax_keeps() -> None:
    values = np.random.default_rng(1).normal(0, 1, (1, 16_000))
    values[0, 0] = 500
    low, high = percentile(seen(values))
    assert -5 < low < -3
    assert 3 < high < 6
    assert minmax(seen(values))[1] == 500


def test_a_moving_average_follows_the_usual_sample() -> None:
    usual, rare = np.linspace(-1, 1, 10)[None], np.linspace(-100, 100, 10)[None]
    low, high = moving_average(seen(*[usual] * 30, rare))
    assert 1 < high == -low < 7


@pytest.mark.parametrize("shape", ["normal", "heavy", "rectified"])
def test_least_squares_beats_minmax_and_percentile_on_the_values_themselves(shape: str) -> None:
    rng = np.random.default_rng(2)
    values = {
        "normal": rng.normal(0, 1, 16_000),
        "heavy": rng.standard_t(3, 16_000),
        "rectified": np.maximum(rng.standard_t(4, 16_000), 0),
    }[shape]
    found = seen(values[None])
    best = expected_error(values, *least_squares(found))
    assert best <= 1.02 * expected_error(values, *minmax(found))
    assert best <= 1.02 * expected_error(values, *percentile(found))


def test_every_method_keeps_zero_inside_and_stays_within_what_was_seen() -> None:
    positive = seen(np.random.default_rng(3).uniform(3, 9, (1, 1000)))
    for method in ("minmax", "percentile", "moving-average", "mse"):
        low, high = ranges_of({"x": positive}, method)["x"]  # type: ignore[arg-type]
        assert low == 0
        assert 3 <= high <= positive.high


def test_a_lower_percentile_clips_more() -> None:
    values = seen(np.random.default_rng(4).standard_t(3, (1, 100_000)))
    spans = [ranges_of({"x": values}, "percentile", percent)["x"] for percent in (99.0, 99.9, 99.99)]
    assert spans[0][1] < spans[1][1] < spans[2][1] <= values.high
    assert ranges_of({"x": values}, "minmax", 99.0) == ranges_of({"x": values}, "minmax")


def test_a_tensor_of_zeros_has_an_empty_range() -> None:
    for method in ("minmax", "percentile", "moving-average", "mse"):
        assert ranges_of({"x": seen(np.zeros((1, 4)))}, method)["x"] == (0, 0)  # type: ignore[arg-type]


def test_the_padding_before_a_max_pool_is_no_activation() -> None:
    for mark in (-np.inf, np.finfo(np.float32).min):
        padded = np.pad(
            np.linspace(0, 6, 30).reshape(1, 2, 5, 3), ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=mark
        )
        found = seen(padded, padded)
        assert minmax(found) == (0, 6)
        assert found.channel_max.max() == 6
        assert 0 < percentile(found)[1] <= 6


def test_an_output_that_is_a_constant_is_seen_though_no_operator_makes_it() -> None:
    content = make_addition(constant=True, outputs=[2, 1])  # detectors give their anchors this way
    (found,) = run_tflite(content, [np.zeros((1, 4), np.float32)])
    assert found.keys() == {"x", "y", "other"}
    assert found["other"].tolist() == found["y"].tolist() == [[1.0] * 4]
