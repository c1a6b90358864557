"""Learned rounding: on plain arrays, then in both formats on a network with every kind of kernel."""

from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from compiler.builder import Builder
from compiler.effort import LEARNED
from compiler.export import FORMATS
from compiler.load.state import Port
from compiler.load.torch_module import from_module
from compiler.plan import Plan
from compiler.quantize.error import mean_sqnr_db
from compiler.quantize.kernels import count_positions, fold_weight, pick_rows, unfold_weight, windows
from compiler.quantize.round_weights import Problem, round_weights, scale_of
from edge.manifest import RuntimeName
from edge.runtimes import open_model, run_float

RUNTIMES: tuple[RuntimeName, ...] = ("onnxruntime", "litert")


def correlated(rows: int, seed: int, groups: int = 1, taps: int = 24) -> NDArray[np.float32]:
    """What layers read is never white: each tap is a mix of a few causes, and none has mean zero."""
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(5).normal(0, 1, (groups, 6, taps))
    found = np.einsum("rgc,gct->rgt", np.maximum(rng.normal(0.5, 1, (rows, groups, 6)), 0), mix)
    return (found + rng.normal(0, 0.1, found.shape)).astype(np.float32)


@pytest.mark.parametrize(("groups", "channels", "taps"), [(1, 10, 24), (8, 1, 9), (2, 5, 12)])
def test_learned_codes_bring_a_layer_nearer_on_data_that_taught_nothing(groups: int, channels: int, taps: int) -> None:
    weight = np.random.default_rng(0).normal(0, 1, (groups, channels, taps)).astype(np.float32)
    taught, unseen = correlated(600, 1, groups, taps), correlated(600, 2, groups, taps)
    found = round_weights(Problem(taught, taught, weight))
    scale = scale_of(weight)

    def error(rounded: NDArray[np.float32], shift: NDArray[np.float32]) -> float:
        off = np.einsum("rgt,gct->rgc", unseen, rounded - weight) + shift
        return float((off**2).mean())

    nearest = np.rint(weight / scale) * scale
    carried = -np.einsum("gt,gct->gc", taught.mean(axis=0), nearest - weight)  # as correcting the bias would
    assert error(found.weight, found.shift) < 0.5 * error(nearest, carried)


def test_no_weight_moves_further_than_to_the_code_on_its_other_side() -> None:
    weight = np.random.default_rng(0).normal(0, 1, (2, 7, 12)).astype(np.float32)
    seen = correlated(300, 1, 2, 12)
    found = round_weights(Problem(seen, seen, weight))
    steps = weight / scale_of(weight)
    assert (np.abs(found.codes - steps) < 1 + 1e-4).all()
    assert (found.codes != np.rint(steps)).any()
    largest = np.abs(steps) > 126.99
    np.testing.assert_array_equal(np.abs(found.codes[largest]), 127)


def test_without_a_bias_nothing_may_be_shifted_and_the_mean_counts() -> None:
    weight = np.random.default_rng(0).normal(0, 1, (1, 6, 24)).astype(np.float32)
    seen = correlated(400, 1)
    found = round_weights(Problem(seen, seen, weight, has_bias=False))
    nearest = (np.rint(weight / scale_of(weight)) * scale_of(weight)).astype(np.float32)
    assert (found.shift == 0).all()
    off = [np.einsum("rgt,gct->rgc", seen, one - weight) for one in (found.weight, nearest)]
    assert (off[0] ** 2).mean() < 0.5 * (off[1] ** 2).mean()


class Kinds(nn.Module):
    """[n, 2, 14, 12] -> [n, 5]: a strided, a grouped and dilated, a depthwise and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(2, 8, (5, 3), stride=2, padding=(2, 1)),
            nn.ReLU(),
            nn.Conv2d(8, 12, 3, padding=2, dilation=2, groups=2),
            nn.ReLU6(),
            nn.Conv2d(12, 12, 3, stride=2, padding=1, groups=12),
            nn.ReLU(),
            nn.Conv2d(12, 32, 1),
            nn.ReLU(),
        )
        self.head = nn.Linear(32, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x).mean((2, 3)))


def samples(count: int, seed: int) -> NDArray[np.float32]:
    """Smooth pictures."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(0.3, 10, (count, 1, 2, 4, 4)).astype(np.float32)
    return coarse.repeat(4, axis=3).repeat(3, axis=4)[:, :, :, :14]


@pytest.fixture(scope="module")
def builder() -> Builder:
    torch.manual_seed(0)
    source = from_module(Kinds().eval(), [Port("x", (1, 2, 14, 12))], name="kinds", sha256="0" * 64)

    def calibration() -> Iterator[NDArray[np.float32]]:
        return iter(samples(100, seed=1))

    return Builder(source, calibration)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_windows_times_weights_is_what_the_runtime_computes(runtime: RuntimeName, builder: Builder) -> None:
    bench = builder.bench(runtime)
    verbs = FORMATS[Plan(runtime).file_format]
    (tensors,) = verbs.run(bench.reference.content, samples(1, seed=3))
    outputs = {layer.name: layer.outputs[0] for layer in bench.reference.network.layers}
    kernels = verbs.read_kernels(bench.reference.content)
    assert len(kernels) == 5
    for kernel in kernels:
        weight = bench.reference.network.constants[kernel.weight]
        view = windows(tensors[kernel.source], kernel, weight.shape)
        rows = pick_rows(view, kernel, np.arange(count_positions(view, kernel)))
        found = np.einsum("rgt,gct->rgc", rows, unfold_weight(weight, kernel)).reshape(len(rows), -1)
        found = found + bench.reference.network.constants[kernel.bias].reshape(-1)
        exact = tensors[outputs[kernel.name]]
        by_row = exact if kernel.channels_last or exact.ndim == 2 else np.moveaxis(exact, 1, -1)
        by_row = by_row.reshape(len(rows), -1)
        clipped = by_row.min() >= 0  # the format has the ReLU inside the layer
        inside = by_row < 6 if clipped else np.full(by_row.shape, True)
        found = np.maximum(found, 0) if clipped else found
        np.testing.assert_allclose(found[inside], by_row[inside], atol=1e-4 * np.abs(by_row).max())
        np.testing.assert_array_equal(fold_weight(unfold_weight(weight, kernel), kernel, weight.shape), weight)


def codes_in(content: bytes, name: str, runtime: RuntimeName) -> NDArray[np.int8]:
    """The integers of one weight in a compiled file."""
    if runtime == "onnxruntime":
        import onnx

        graph = onnx.load_model_from_string(content).graph
        (found,) = (one for one in graph.initializer if one.name == f"{name}_quantized")
        return np.asarray(onnx.numpy_helper.to_array(found))
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(content)
    (tensor,) = (one for one in model.subgraphs[0].tensors if one.name.decode() == name)
    return np.asarray(model.buffers[tensor.buffer].data, np.uint8).view(np.int8).reshape(tensor.shape)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_file_holds_exactly_the_learned_codes(
    runtime: RuntimeName, builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned = []

    def spy(problem: Problem) -> object:
        learned.append(round_weights(problem))
        return learned[-1]

    monkeypatch.setattr("compiler.quantize.learn_rounding.round_weights", spy)
    bench = builder.bench(runtime)
    made = bench.make(Plan(runtime, "int8", passes=("learn-rounding",)))
    assert "learn-rounding: kept" in made.note, made.note
    kernels = FORMATS[Plan(runtime).file_format].read_kernels(bench.reference.content)
    assert len(learned) == len(kernels)
    for kernel, solution in zip(kernels, learned, strict=True):
        shape = bench.reference.network.constants[kernel.weight].shape
        expected = fold_weight(solution.codes.astype(np.float32), kernel, shape)
        np.testing.assert_array_equal(codes_in(made.content, kernel.weight, runtime), expected)


@pytest.fixture(scope="module")
def hearing(keywords: ModuleType, trained: nn.Module) -> tuple[Builder, NDArray[np.float32]]:
    """A trained network, and samples that calibrate nothing."""
    shape = (1, 1, keywords.FRAMES, keywords.BANDS)
    source = from_module(trained, [Port("x", shape)], name="keywords", sha256="0" * 64)
    heard = keywords.spectrograms(260, seed=2)[0][:, None]
    return Builder(source, lambda: iter(heard[:160])), heard[160:]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_learned_rounding_beats_nearest_with_corrected_biases_on_unseen_samples(
    runtime: RuntimeName, hearing: tuple[Builder, NDArray[np.float32]]
) -> None:
    builder, unseen = hearing
    exact = builder.build(Plan(runtime))
    sessions = [open_model(exact.data, exact.variant)]
    for passes in (("correct-bias",), ("learn-rounding",)):
        made = builder.build(Plan(runtime, "int16x8", passes=passes))  # type: ignore[arg-type]
        sessions.append(open_model(made.data, made.variant))
    outputs = [[run_float(session, x) for x in unseen] for session in sessions]
    corrected, learned = (mean_sqnr_db(zip(outputs[0], found, strict=True)) for found in outputs[1:])
    print(f"{runtime}: {corrected:.1f} -> {learned:.1f} dB")
    assert learned > corrected + 3


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_two_builders_learn_the_same_bytes(runtime: RuntimeName, builder: Builder) -> None:
    plan = Plan(runtime, "int8", passes=LEARNED)
    again = Builder(builder._model, builder._calibration)
    assert again.build(plan).data == builder.build(plan).data


def test_a_few_samples_are_refused_for_they_would_be_learned_by_heart(builder: Builder) -> None:
    few = Builder(builder._model, lambda: iter(samples(20, seed=1)))
    made = few.build(Plan("onnxruntime", "int8", passes=("learn-rounding",)))
    assert "learn-rounding: does not apply: it learns from 24 calibration samples, and there are 15" in made.note


def test_a_layer_that_stays_float_keeps_its_weights(builder: Builder) -> None:
    bench = builder.bench("onnxruntime")
    first, *_ = FORMATS["onnx"].read_kernels(bench.reference.content)
    plan = Plan("onnxruntime", "mixed", passes=("learn-rounding",), keep_float=(first.name,))
    made = bench.make(plan)
    constants = FORMATS["onnx"].read_network(made.content).constants
    np.testing.assert_array_equal(constants[first.weight], bench.reference.network.constants[first.weight])
