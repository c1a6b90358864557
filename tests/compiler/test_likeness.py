"""Calibration data that do not look like the evaluation data are warned of, and others are not."""

import numpy as np

from compiler.inputs import InputStatistics
from compiler.likeness import judge_likeness

RNG = np.random.default_rng(2)


def statistics(samples: int, *, mean: float = 0.0, std: float = 1.0) -> InputStatistics:
    """Of `samples` inputs of 3 channels; only the last channel differs."""
    x = RNG.normal(0, 1, (samples, 16, 3))
    x[..., 2] = x[..., 2] * std + mean
    return InputStatistics(
        x.mean(0).astype(np.float32), x.std(0).astype(np.float32), float(x.min()), float(x.max()), samples
    )


def test_two_draws_of_the_same_data_are_alike_however_few() -> None:
    for samples in (10, 30, 100, 500):
        assert judge_likeness(statistics(samples), statistics(samples), -1) == ()


def test_many_channels_of_few_samples_are_alike_too() -> None:
    for _ in range(5):
        x = RNG.normal(0, 1, (2, 40, 640)).astype(np.float32)
        one, other = (InputStatistics(half.mean(0), half.std(0), -4, 4, 40) for half in x)
        assert judge_likeness(one, other, -1) == ()


def test_a_shifted_channel_is_named_with_both_means() -> None:
    (warning,) = judge_likeness(statistics(100, mean=0.9), statistics(100), -1)
    assert "calibration data do not look like the evaluation data: the mean of input channel 2 is 0." in warning
    assert "standard deviations apart" in warning


def test_a_channel_that_spreads_less_is_named_too() -> None:
    (warning,) = judge_likeness(statistics(200, std=0.3), statistics(200), -1)
    assert "input channel 2 spreads by 0.3" in warning


def test_a_channel_that_never_moves_is_no_warning() -> None:
    still = InputStatistics(np.zeros((4, 1), np.float32), np.zeros((4, 1), np.float32), 0.0, 0.0, 50)
    assert judge_likeness(still, still, -1) == ()
