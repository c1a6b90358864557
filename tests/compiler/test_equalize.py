"""Equalization and bias correction: on plain arrays, then in both formats on a network whose channels differ widely."""

from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import nn

from compiler.builder import Builder
from compiler.candidate import Candidate
from compiler.load import SourceModel
from compiler.load.state import Port
from compiler.load.torch_module import from_module
from compiler.plan import Pass, Plan
from compiler.quantize.correct_bias import correct_bias
from compiler.quantize.equalize import equalize
from compiler.quantize.error import sqnr_db
from compiler.quantize.layers import Layer, Network, fake_quantize
from edge.manifest import Precision, RuntimeName
from edge.runtimes import open_model, run_float

Case = tuple[SourceModel, NDArray[np.float32], NDArray[np.int64]]


def dense(name: str, source: str, target: str, **more: object) -> Layer:
    return Layer(name, "Gemm", "linear", (source,), (target,), f"{name}.w", f"{name}.b", 0, 1, **more)  # type: ignore[arg-type]


def two_layers(between: Layer) -> Network:
    """x -> first -> a -> `between` -> b -> second -> y, with channels of `first` a thousand times apart."""
    rng = np.random.default_rng(0)
    scale = np.array([1, 30, 1000, 0.3], np.float32)
    constants = {
        "first.w": (rng.normal(0, 1, (4, 6)) * scale[:, None]).astype(np.float32),
        "first.b": (rng.normal(0, 1, 4) * scale).astype(np.float32),
        "second.w": (rng.normal(0, 1, (5, 4)) / scale).astype(np.float32),
        "second.b": rng.normal(0, 1, 5).astype(np.float32),
    }
    layers = (dense("first", "x", "a", rectified=True), between, dense("second", "b", "y"))
    return Network(layers, ("x",), ("y",), constants)


def compute(network: Network, x: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    c = network.constants
    inner = np.maximum(x @ c["first.w"].T.astype(np.float64) + c["first.b"], 0)
    return inner, inner @ c["second.w"].T + c["second.b"]


RELU = Layer("relu", "Relu", "through", ("a",), ("b",))
X = np.random.default_rng(1).normal(0, 1, (200, 6)).astype(np.float32)


def test_channels_become_alike_and_the_function_stays() -> None:
    network = two_layers(RELU)
    inner, before = compute(network, X)
    done = equalize(network, {"b": inner.max(axis=0)})
    inner, after = compute(replace(network, constants=done.constants), X)
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4 * np.abs(before).max())
    spread = inner.max(axis=0)
    assert done.groups == 1
    assert spread.max() / spread.min() < 10  # 3,000 before; the other half of it went into the second weight
    assert done.refused == ()


def test_behind_a_relu6_only_channels_that_stay_well_below_6_are_scaled() -> None:
    relu6 = Layer("clip", "Clip", "through", ("a",), ("b",), ceiling=6.0)
    network = two_layers(relu6)
    reached = np.array([2.0, 6.0, 6.0, 0.3])
    done = equalize(network, {"b": reached})
    factors = network.constants["first.b"] / done.constants["first.b"]
    np.testing.assert_allclose(factors[1:3], 1)  # these do reach it
    assert done.groups == 1
    assert done.said == "2 of 4 channels never come near the clip of their ReLU6"
    assert (reached / factors)[[0, 3]].max() <= 0.75 * 6 + 1e-6
    assert factors[3] < 1 / 3  # from 0.3 up towards the others
    np.testing.assert_allclose(network.constants["second.w"] * factors, done.constants["second.w"], rtol=1e-5)


def test_channels_that_all_reach_6_are_left_alone() -> None:
    network = two_layers(Layer("clip", "Clip", "through", ("a",), ("b",), ceiling=6.0))
    done = equalize(network, {"b": np.array([6.0, 6.0, 5.9, 6.0])})
    assert (done.groups, done.said) == (0, "")
    for name, values in network.constants.items():
        np.testing.assert_array_equal(done.constants[name], values)


def test_a_clip_between_other_bounds_is_refused_with_the_reason_and_changes_nothing() -> None:
    wall = Layer("clip", "Clip", "wall", ("a",), ("b",), reason="it is not scale-invariant")
    network = two_layers(wall)
    done = equalize(network, {"a": np.array([1.0, 30, 1000, 0.3]), "b": np.array([1.0, 6, 6, 0.3])})
    assert done.refused == ("clip (Clip): it is not scale-invariant",)
    for name, values in network.constants.items():
        np.testing.assert_array_equal(done.constants[name], values)


def test_layers_joined_by_an_addition_share_one_factor() -> None:
    rng = np.random.default_rng(2)
    wide = np.array([1, 100, 0.01])
    constants = {f"{name}.w": rng.normal(0, 1, (3, 3)).astype(np.float32) for name in ("one", "two", "after")}
    constants |= {f"{name}.b": rng.normal(0, 1, 3).astype(np.float32) for name in ("one", "two", "after")}
    constants["one.w"] *= wide[:, None].astype(np.float32)
    add = Layer("add", "Add", "join", ("p", "q"), ("s",))
    layers = (dense("one", "x", "p"), dense("two", "x", "q"), add, dense("after", "s", "y"))
    network = Network(layers, ("x",), ("y",), constants)
    done = equalize(network, {"p": wide, "q": np.ones(3), "s": wide + 1})
    ratios = [
        np.abs(done.constants[f"{name}.w"]).max(axis=1) / np.abs(constants[f"{name}.w"]).max(axis=1)
        for name in ("one", "two")
    ]
    np.testing.assert_allclose(ratios[0], ratios[1], rtol=1e-4)
    assert ratios[0].max() / ratios[0].min() > 5
    x = rng.normal(0, 1, (20, 3))

    def run(c: dict[str, NDArray[np.float32]]) -> NDArray[np.float64]:
        joined = x @ c["one.w"].T + c["one.b"] + x @ c["two.w"].T + c["two.b"]
        result: NDArray[np.float64] = joined @ c["after.w"].T + c["after.b"]
        return result

    np.testing.assert_allclose(run(dict(done.constants)), run(constants), rtol=1e-4, atol=1e-3)


def test_a_channel_that_never_fires_is_not_blown_up() -> None:
    network = two_layers(RELU)
    largest = compute(network, X)[0].max(axis=0)
    largest[2] = 0
    done = equalize(network, {"b": largest})
    assert np.isfinite(done.constants["first.w"]).all()
    assert np.abs(done.constants["first.w"]).max() < 50


def test_correcting_a_bias_takes_the_mean_error_of_rounded_weights_away() -> None:
    network = two_layers(RELU)
    x = X + 3
    constants, refused = correct_bias(network, {"x": x.mean(axis=0, dtype=np.float64), "b": np.zeros(3)})
    rounded = fake_quantize(network.constants["first.w"], 0)
    exact = x @ network.constants["first.w"].T + network.constants["first.b"]
    before = np.abs((exact - (x @ rounded.T + network.constants["first.b"])).mean(axis=0))
    after = np.abs((exact - (x @ rounded.T + constants["first.b"])).mean(axis=0))
    assert (after < 0.01 * before + 1e-4).all()
    assert refused == ("second: no mean was measured for each of its input channels",)


@pytest.fixture(scope="module")
def imbalanced(keywords: ModuleType, trained: nn.Module) -> Case:
    network = keywords.imbalanced(trained)
    samples, labels = keywords.spectrograms(400, seed=2)
    shape = (1, 1, keywords.FRAMES, keywords.BANDS)
    source = from_module(network, [Port("x", shape)], name="keywords", sha256="0" * 64)
    return source, samples[:, None], labels


@pytest.fixture(scope="module")
def builder(imbalanced: Case) -> Builder:
    def calibration() -> Iterator[NDArray[np.float32]]:
        return iter(imbalanced[1][:150])

    return Builder(imbalanced[0], calibration)


def judge(imbalanced: Case, candidate: Candidate) -> tuple[float, float]:
    """SQNR in decibels, and accuracy, on samples that calibrated nothing."""
    source, samples, labels = imbalanced
    session = open_model(candidate.data, candidate.variant)
    found = [run_float(session, sample) for sample in samples[150:]]
    exact = [source.run(sample) for sample in samples[150:]]
    right = np.mean([one.argmax() == label for one, label in zip(found, labels[150:], strict=True)])
    return sqnr_db(zip(exact, found, strict=True)), float(right)


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
def test_a_network_that_int8_destroys_comes_back_by_equalization(
    runtime: RuntimeName, imbalanced: Case, builder: Builder
) -> None:
    lost, wrong = judge(imbalanced, builder.build(Plan(runtime, "int8")))
    found, right = judge(imbalanced, builder.build(Plan(runtime, "int8", passes=("equalize",))))
    print(f"{runtime}: {lost:.1f} -> {found:.1f} dB, accuracy {wrong:.3f} -> {right:.3f}")
    assert lost < 5
    assert wrong < 0.5
    assert found >= 30
    assert right >= 0.9


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
def test_correcting_biases_comes_on_top_and_the_note_says_what_was_kept(
    runtime: RuntimeName, imbalanced: Case, builder: Builder
) -> None:
    plan = Plan(runtime, "int8", ranges="mse", passes=("equalize", "split-outputs", "correct-bias"))
    candidate = builder.build(plan)
    assert judge(imbalanced, candidate)[0] >= 36
    assert candidate.plan == plan
    for said in ("equalize: kept", "split-outputs: does not apply", "correct-bias: "):
        assert said in candidate.note


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
def test_every_precision_computes_what_it_says_in_both_formats(
    runtime: RuntimeName, imbalanced: Case, builder: Builder
) -> None:
    least_db: dict[Precision, float] = {"float32": 100, "float16": 60, "int8-weights": 35, "int16x8": 38}
    sizes = {}
    for precision, least in least_db.items():
        passes: tuple[Pass, ...] = ("equalize",) if precision in {"int8-weights", "int16x8"} else ()
        candidate = builder.build(Plan(runtime, precision, passes=passes))
        sizes[precision] = len(candidate.data)
        assert judge(imbalanced, candidate)[0] >= least, candidate.plan
        assert candidate.variant.dtype == precision
        assert candidate.variant.input.dtype == "float32"
    assert sizes["int8-weights"] < sizes["float32"]
    assert sizes["float16"] < sizes["float32"]


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
def test_two_builders_give_the_same_bytes(runtime: RuntimeName, imbalanced: Case, builder: Builder) -> None:
    plan = Plan(runtime, "int8", ranges="percentile", passes=("equalize", "correct-bias"))
    again = Builder(imbalanced[0], lambda: iter(imbalanced[1][:150]))
    assert again.build(plan).data == builder.build(plan).data
