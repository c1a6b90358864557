"""What compiling costs: the paired interval, and measuring on the runtimes themselves."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.candidate import build_candidates, load_model
from compiler.contract import beside, resolve_contract
from compiler.dataset import arrange
from compiler.measure import compare, measure_candidates, measure_reference, paired_bootstrap, real_inputs, score
from compiler.read_data import open_data
from compiler.split import split
from edge.target import load_target


def flags(*runs: tuple[bool, int]) -> np.ndarray:
    return np.concatenate([np.full(count, value) for value, count in runs])


def test_the_interval_holds_the_drop_and_is_the_same_every_time() -> None:
    before, after = flags((True, 90), (False, 10)), flags((True, 84), (False, 11), (True, 5))
    low, high = paired_bootstrap(before, after)
    assert low < 0.01 < high
    assert (low, high) == paired_bootstrap(before, after)


def test_pairs_make_the_interval_narrower_than_two_separate_samples() -> None:
    before = flags((True, 800), (False, 200))
    after = flags((True, 790), (False, 210))
    low, high = paired_bootstrap(before, after)
    independent = 1.96 * np.sqrt(0.8 * 0.2 / 1000 + 0.79 * 0.21 / 1000)
    assert (high - low) / 2 < independent / 4


@pytest.mark.parametrize("share", [0.01, 0.05])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(share: float) -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(100):
        lost, gained = rng.random(600) < share, rng.random(600) < share / 2
        before = np.where(lost, True, np.where(gained, False, True))
        low, high = paired_bootstrap(before, np.where(lost, False, True))
        truth = share - (1 - share) * share / 2
        hits += low <= truth <= high
    assert hits >= 85


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=50))
def test_the_interval_stays_within_what_is_possible(pairs: list[tuple[bool, bool]]) -> None:
    before, after = (np.array(side) for side in zip(*pairs, strict=True))
    low, high = paired_bootstrap(before, after)
    assert -1 <= low <= high <= 1


def test_agreement_counts_decisions_right_or_wrong() -> None:
    labels = np.array([0, 1, 1, 0])
    reference = score(np.array([[2, 1], [0, 1], [5, 1], [1, 0]], np.float32), labels)
    compiled = score(np.array([[2, 1], [0, 1], [4, 3], [0, 1]], np.float32), labels)
    quality = compare(reference, compiled)
    assert (quality.reference, quality.compiled, quality.drop) == (0.75, 0.5, 0.25)
    assert quality.agreement == 0.75
    assert quality.samples == 4


def test_candidates_are_measured_on_their_own_runtime(colour_model: Path, colour_pictures: Path) -> None:
    model, data = load_model(str(colour_model)), open_data(colour_pictures)
    contract = resolve_contract(model, data, None, beside(str(colour_model))).contract
    samples = arrange(data, contract, labels=(), outputs=model.outputs)
    parts = split(samples.digests)
    reference, statistics = measure_reference(model, contract, samples, parts.held_out, lambda: None)
    assert reference.accuracy > 0.9
    assert statistics.mean.shape == (3, 8, 8)
    assert 0 <= statistics.low < statistics.high <= 1
    candidates, _ = build_candidates(
        model,
        calibration=lambda: real_inputs(model, contract, samples, parts.calibration),
        target=load_target("x86-64"),
        progress=lambda _: None,
    )
    steps: list[int] = []
    measured = measure_candidates(
        candidates,
        reference=reference,
        contract=contract,
        samples=samples,
        indices=parts.held_out,
        step=lambda: steps.append(1),
    )
    assert [one.candidate.dtype for one in measured] == ["float32", "int8"]
    assert measured[0].quality.agreement == 1.0
    assert np.allclose(measured[0].scores.outputs, reference.outputs, atol=1e-5)
    assert measured[1].quality.agreement > 0.9
    assert all(0 < one.timing.low <= one.timing.ms <= one.timing.high for one in measured)
    assert len(steps) == len(candidates) * len(parts.held_out)


def test_channel_statistics_know_the_spread_inside_a_picture(colour_model: Path, colour_pictures: Path) -> None:
    model, data = load_model(str(colour_model)), open_data(colour_pictures)
    contract = resolve_contract(model, data, None, beside(str(colour_model))).contract
    samples = arrange(data, contract, labels=(), outputs=model.outputs)
    _, statistics = measure_reference(model, contract, samples, range(len(samples)), lambda: None)
    everything = np.stack([x[0] for x in real_inputs(model, contract, samples, range(len(samples)))])
    mean, std = statistics.per_channel(0)
    assert np.allclose(mean, everything.mean(axis=(0, 2, 3)), atol=1e-5)
    assert np.allclose(std, everything.std(axis=(0, 2, 3)), atol=1e-5)
