"""What compiling costs, measured on the runtimes themselves."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from compiler.builder import Builder
from compiler.compare import compare
from compiler.dataset import Samples
from compiler.inputs import real_inputs, statistics_of
from compiler.measure import measure_again, measure_candidates
from compiler.opening import Request, open_subject
from compiler.packing import Order
from compiler.prediction import no_prediction
from compiler.run import run_reference, run_session, score
from compiler.search import Scope, planned
from compiler.split import split
from compiler.subject import Subject
from compiler.yardstick import Run, fit
from edge import console
from edge.errors import BadDataError
from edge.manifest import TensorInput, TensorSpec, Variant
from edge.runtimes import open_model
from edge.target import load_target


@pytest.fixture
def subject(colour_model: Path, colour_pictures: Path) -> Subject:
    request = Request(model=str(colour_model), data=colour_pictures, order=Order(target="x86-64"))
    return open_subject(request, console.progress)[0]


def test_agreement_counts_decisions_right_or_wrong() -> None:
    labels = np.array([0, 1, 1, 0])
    reference = np.array([[2, 1], [0, 1], [5, 1], [1, 0]], np.float32)
    compiled = np.array([[2, 1], [0, 1], [4, 3], [0, 1]], np.float32)
    yardstick = fit("classify", None, reference, labels)
    found = compare(Run(reference, reference), Run(compiled, compiled), labels, yardstick)
    quality = found.quality
    assert (quality.reference, quality.compiled, quality.drop) == (0.75, 0.5, 0.25)
    assert (found.lost, found.gained, quality.agreement, quality.samples) == (1, 0, 0.75, 4)
    assert [figure.name for figure in found.figures] == [
        "SQNR of the outputs", "correlation with float", "false alarms", "missed alarms",
    ]  # fmt: skip
    assert [figure.value for figure in found.figures[2:]] == [0.5, 0.5]


def test_a_regression_of_many_numbers_agrees_by_their_root_mean_square() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 1, (20, 500)).astype(np.float32)
    near = truth + rng.normal(0, 0.05, truth.shape).astype(np.float32)  # one of 500 is always off by more than 0.1
    yardstick = fit("regress", "correlation", truth, truth)
    assert yardstick.agreement(truth, near) == 1.0
    assert yardstick.agreement(truth, truth + 0.2) == 0.0


def test_candidates_are_measured_on_their_own_runtime_and_again_on_other_samples(subject: Subject) -> None:
    parts = split(subject.samples.digests)
    select, report = subject.part(parts.select), subject.part(parts.report)
    run = run_reference(select, lambda: None)
    yardstick = fit("classify", None, run.values, select.samples.truth)
    reference = score(run, select.samples, yardstick)
    assert reference.accuracy > 0.9
    builder = Builder(subject.model, lambda: real_inputs(subject.part(parts.calibrate)))
    plans = planned(subject.model, load_target("x86-64"), Scope(effort="quick"))
    candidates = [builder.build(plan) for plan in plans]
    steps: list[int] = []
    measured = measure_candidates(
        candidates,
        subject=select,
        reference=reference,
        yardstick=yardstick,
        predict=no_prediction,
        step=lambda: steps.append(1),
    )
    assert [one.candidate.dtype for one in measured] == ["float32", "int8", "float32", "int8"]
    assert measured[0].quality.agreement == 1.0
    assert np.allclose(measured[0].scores.outputs, reference.outputs, atol=1e-5)
    assert measured[1].quality.agreement > 0.9
    assert all(0 < one.timing.low <= one.timing.ms <= one.timing.high for one in measured)
    assert len(steps) == len(candidates) * len(parts.select)

    before = score(run_reference(report, lambda: None), report.samples, yardstick)
    again = measure_again(measured[1], subject=report, reference=before, yardstick=yardstick, step=lambda: None)
    assert again.quality.samples == len(parts.report)
    assert again.timing is measured[1].timing


def test_channel_statistics_know_the_spread_inside_a_picture(subject: Subject) -> None:
    statistics = statistics_of(subject)
    everything = np.stack([x[0] for x in real_inputs(subject)])
    assert statistics.mean.shape == (3, 8, 8)
    assert 0 <= statistics.low < statistics.high <= 1
    mean, std = statistics.per_channel(0)
    assert np.allclose(mean, everything.mean(axis=(0, 2, 3)), atol=1e-5)
    assert np.allclose(std, everything.std(axis=(0, 2, 3)), atol=1e-5)


def test_a_sample_that_the_runtime_cannot_compute_is_named() -> None:
    """Whose number is an index that the table does not have."""
    table = numpy_helper.from_array(np.arange(3, dtype=np.float32), "table")
    nodes = [
        helper.make_node("Cast", ["x"], ["at"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "at"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [table])
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    specs = [TensorSpec(name=name, shape=(1, 2), dtype="float32") for name in "xy"]
    variant = Variant(
        runtime="onnxruntime", dtype="float32", file="m.onnx", sha256="0" * 64, size_bytes=1, input=specs[0],
        outputs=(specs[1],),
    )  # fmt: skip
    data = np.array([[0, 2], [1, 9]], np.float32)
    samples = Samples(
        labels=np.zeros(2, np.int64), classes=("a",), raw=lambda index: data[index], where=("first", "second"),
        digests=(b"1", b"2"), sha256="0" * 64, pictures=False,
    )  # fmt: skip
    session = open_model(content, variant)
    with pytest.raises(BadDataError, match=r"float32 on onnxruntime fails on second: .*Gather"):
        run_session(session, TensorInput(shape=(1, 2)), samples, "regress", lambda: None)
