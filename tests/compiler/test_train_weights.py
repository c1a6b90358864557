"""Short quantization-aware training: on a network whose channels int8 cannot hold and equalization cannot mend."""

from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from compiler.builder import Builder
from compiler.effort import plans
from compiler.load.source import SourceModel
from compiler.load.state import Port
from compiler.load.tflite_file import load_tflite
from compiler.load.torch_module import from_module
from compiler.plan import Plan, parse_plan
from compiler.quantize.error import mean_sqnr_db
from compiler.quantize.workbench import Workbench
from edge.errors import BadArgumentError
from edge.manifest import RuntimeName
from edge.runtimes import open_model, run_float
from edge.target import load_target

TRAINED = ("train", "correct-bias")


class Cap(nn.Module):
    """A ReLU with an end that is never reached: it changes nothing, and keeps equalization out."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.clamp(0.0, 1e4)


@pytest.fixture(scope="module")
def hard(keywords: ModuleType, trained: nn.Module) -> tuple[SourceModel, NDArray[np.float32]]:
    """A trained keyword network, channels e times larger or smaller; 260 samples."""
    network = keywords.imbalanced(trained, sigma=1.0)
    network.body = nn.Sequential(*(Cap() if isinstance(one, nn.ReLU) else one for one in network.body))
    shape = (1, 1, keywords.FRAMES, keywords.BANDS)
    source = from_module(network, [Port("x", shape)], name="hard", sha256="0" * 64)
    return source, keywords.spectrograms(260, seed=2)[0][:, None]


@pytest.fixture(scope="module")
def builder(hard: tuple[SourceModel, NDArray[np.float32]]) -> Builder:
    def calibration() -> Iterator[NDArray[np.float32]]:
        return iter(hard[1][:160])

    return Builder(hard[0], calibration)


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
def test_training_saves_what_int8_breaks_on_samples_that_taught_nothing(
    runtime: RuntimeName, hard: tuple[SourceModel, NDArray[np.float32]], builder: Builder
) -> None:
    source, samples = hard
    exact, found = [source.run(x) for x in samples[160:]], {}
    for passes in (("correct-bias",), TRAINED):
        made = builder.build(Plan(runtime, "int8", ranges="mse", passes=passes))  # type: ignore[arg-type]
        session = open_model(made.data, made.variant)
        found[passes] = mean_sqnr_db(zip(exact, (run_float(session, x) for x in samples[160:]), strict=True))
    print(f"{runtime}: {found['correct-bias',]:.1f} -> {found[TRAINED]:.1f} dB")
    assert "train: kept" in made.note
    assert found[TRAINED] > found["correct-bias",] + 3


def test_both_formats_share_one_training_and_a_second_one_gives_the_same_bytes(
    builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan("onnxruntime", "int8", ranges="mse", passes=TRAINED)  # type: ignore[arg-type]
    first = builder.build(plan).data
    trainings, train = [], Workbench.train
    monkeypatch.setattr(Workbench, "train", lambda bench, ranges: (trainings.append(ranges), train(bench, ranges))[1])
    again = Builder(builder._model, builder._calibration)
    assert again.build(plan).data == first
    assert "train: kept" in again.build(replace(plan, runtime="litert")).note
    assert trainings == ["mse"]


def test_a_tflite_source_is_not_trained_and_says_why(builder: Builder) -> None:
    content = builder.build(Plan("litert")).data
    source = load_tflite(content, name="hard", sha256="0" * 64)
    made = Builder(source, builder._calibration).build(Plan("litert", "int8", passes=("train",)))
    assert "train: does not apply: a .tflite cannot be trained" in made.note


def test_a_few_samples_train_nothing(builder: Builder) -> None:
    few = Builder(builder._model, lambda: iter(list(builder._calibration())[:20]))
    made = few.build(Plan("onnxruntime", "int8", passes=("train",)))
    assert "train: does not apply: it learns from 24 calibration samples, and there are 15" in made.note


def test_only_what_can_be_trained_is_planned_to_be() -> None:
    target = load_target("x86-64")
    trained = {kind: any("train" in plan.passes for plan in plans(kind, target, "thorough")) for kind in
               ("torch", "onnx", "tflite")}  # type: ignore[arg-type]  # fmt: skip
    assert trained == {"torch": True, "onnx": True, "tflite": False}
    assert not any("train" in plan.passes for plan in plans("torch", target, "normal"))
    with pytest.raises(BadArgumentError, match="int8"):
        parse_plan("litert int16x8 passes=train")
