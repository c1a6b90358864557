"""The one number a frame by which a model is known to drift."""

import math
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.detection.packed import BoxReader
from edge.boxes import surest_score
from edge.bundle import open_bundle
from edge.manifest import BoxTensors, Head, Manifest, TensorSpec, Variant
from edge.messages import scores_to_compare
from edge.score import LARGEST, make_scorer, mean_number, mean_square_error
from edge.statistics import SCORE_EDGES, softmax_top1

LABELS, BOXES = 3, 20
HEADS = {
    "yolo": (Head(format="yolo"), [(1, 4 + LABELS, BOXES)]),
    "yolo-objectness": (Head(format="yolo-objectness"), [(1, BOXES, 5 + LABELS)]),
    "fastestdet": (Head(format="fastestdet"), [(1, 5 + LABELS, 4, 5)]),
    "scores": (Head(format="boxes", tensors=BoxTensors(background=True)), [(1, BOXES, 4), (1, BOXES, LABELS + 1)]),
    "classes": (Head(format="boxes", tensors=BoxTensors(classes=2)), [(1, BOXES, 4), (1, BOXES), (1, BOXES)]),
}  # fmt: skip


@pytest.fixture
def manifest(make_bundle: Callable[..., Path]) -> Manifest:
    return open_bundle(make_bundle()).manifest


def of(manifest: Manifest, task: str, *shapes: tuple[int, ...], head: Head | None = None) -> tuple[Manifest, Variant]:
    """The manifest of a model of that task, whose outputs have these shapes."""
    outputs = tuple(TensorSpec(name=f"y{i}", shape=shape, dtype="float32") for i, shape in enumerate(shapes))
    variant = msgspec.structs.replace(
        manifest.variants[0], input=TensorSpec(name="x", shape=(1, 4), dtype="float32"), outputs=outputs
    )
    labels = tuple("abc"[:LABELS])
    extra = {} if head is None else {"head": head}
    return msgspec.structs.replace(manifest, task=task, labels=labels, variants=(variant,), **extra), variant


@pytest.mark.parametrize("form", HEADS)
@given(seed=st.integers(0, 2**32 - 1), level=st.floats(0.0, 1.0))
def test_a_detector_is_known_by_the_box_that_the_compiler_finds_the_surest(form: str, seed: int, level: float) -> None:
    head, shapes = HEADS[form]
    rng = np.random.default_rng(seed)
    outputs = [(level * rng.random(shape, np.float32)).astype(np.float32) for shape in shapes]
    if form == "classes":
        outputs[2] = rng.integers(-1, LABELS + 1, shapes[2]).astype(np.float32)
    packed = BoxReader(head, LABELS, tuple(shapes)).values(outputs)
    assert surest_score(head, outputs, LABELS) == pytest.approx(max(0.0, float(packed[0])), rel=1e-6)


def test_a_detector_that_sees_nothing_or_no_number_scores_zero(manifest: Manifest) -> None:
    head, shapes = HEADS["yolo"]
    score = make_scorer(*of(manifest, "detect", *shapes, head=head))
    assert score is not None
    assert score([np.zeros(shapes[0], np.float32)], None) == 0.0
    assert score([np.full(shapes[0], 0.009, np.float32)], None) == 0.0
    assert score([np.full(shapes[0], np.nan, np.float32)], None) == 0.0


def test_a_classifier_is_known_by_its_top_score_whatever_decides_on_it(manifest: Manifest) -> None:
    score = make_scorer(*of(manifest, "classify", (1, 3)))
    assert score is not None
    output = np.array([[1.0, 3.0, 2.0]], np.float32)
    assert (score.needs_sample, score([output], None)) == (False, softmax_top1(output)[1])


def test_an_autoencoder_is_known_by_its_error_and_a_scorer_by_its_one_number(manifest: Manifest) -> None:
    rebuilding, telling = (make_scorer(*of(manifest, "anomaly", shape)) for shape in ((1, 4), (1, 1)))
    assert rebuilding is not None
    assert telling is not None
    sample, output = np.zeros((1, 4), np.float32), np.array([[2.0, 0, 0, 0]], np.float32)
    assert (rebuilding.needs_sample, rebuilding([output], sample)) == (True, 1.0)
    assert (telling.needs_sample, telling([np.array([[0.25]], np.float32)], None)) == (False, 0.25)
    assert make_scorer(*of(manifest, "anomaly", (1, 3))) is None


def test_a_regression_is_known_by_the_mean_of_its_numbers(manifest: Manifest) -> None:
    score = make_scorer(*of(manifest, "regress", (1, 2)))
    assert score is not None
    assert score([np.array([[1.0, -4.0]], np.float32)], None) == -1.5


@given(st.lists(st.floats(width=32), min_size=1, max_size=8), st.floats(width=32))
def test_a_score_is_a_number_that_a_record_can_hold(numbers: list[float], other: float) -> None:
    output = np.array(numbers, np.float32)
    with np.errstate(all="ignore"):
        mean, error = mean_number(output), mean_square_error(output, np.full(output.size, other, np.float32))
    assert -LARGEST <= mean <= LARGEST
    assert error >= 0
    assert not math.isnan(error)


def test_only_what_was_counted_alike_is_compared() -> None:
    own, decided = (1, 2), (3, 4)
    assert scores_to_compare(own, decided, edges=()) == own
    assert scores_to_compare((), decided, edges=()) == decided
    assert scores_to_compare(own, decided, edges=SCORE_EDGES) == own
    assert scores_to_compare((), decided, edges=SCORE_EDGES) == ()
