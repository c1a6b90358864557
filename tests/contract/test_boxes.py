"""Boxes of every format, on outputs made by hand."""

import msgspec
import numpy as np
import pytest

from edge.boxes import MOST_BOXES, Boxes, check_head, count_labels, detect, overlaps, parts_of, suppress
from edge.errors import BadInputContractError
from edge.manifest import BoxTensors, Head, ImageInput, Priors
from edge.picture import fit, moved
from edge.priors import make_priors


def boxes(*rows: tuple[float, float, float, float, int, float]) -> Boxes:
    table = np.array(rows, np.float32)
    return Boxes(table[:, :4], table[:, 4].astype(np.intp), table[:, 5])


def test_of_overlapping_boxes_of_a_label_the_best_one_stays_and_other_labels_do_not_matter() -> None:
    near, far = (0.1, 0.1, 0.5, 0.5), (0.6, 0.6, 0.9, 0.9)
    shifted = (0.12, 0.1, 0.52, 0.5)
    kept = suppress(boxes((*near, 0, 0.6), (*shifted, 0, 0.9), (*shifted, 1, 0.5), (*far, 0, 0.4)), 0.5)
    assert [(int(label), round(float(score), 1)) for label, score in zip(kept.labels, kept.scores, strict=True)] == [
        (0, 0.9), (1, 0.5), (0, 0.4),
    ]  # fmt: skip


def test_boxes_that_are_no_numbers_are_none_and_a_picture_has_a_hundred_at_most() -> None:
    broken = boxes((np.nan, 0, 1, 1, 0, 0.9), (0, 0, 1, 1, 0, 0.8))
    assert suppress(broken, 0.5).scores.tolist() == pytest.approx([0.8])
    many = boxes(*[(i / 300, 0, i / 300 + 0.001, 1, 0, 0.5) for i in range(300)])
    assert len(suppress(many, 0.5).scores) == MOST_BOXES


def test_suppression_is_that_of_the_definition() -> None:
    rng = np.random.default_rng(3)
    corners = rng.uniform(0, 0.5, (80, 2))
    found = Boxes(
        np.concatenate([corners, corners + rng.uniform(0.1, 0.4, (80, 2))], axis=1).astype(np.float32),
        rng.integers(0, 3, 80),
        rng.permutation(80).astype(np.float32) / 80,
    )
    expected: list[int] = []
    for index in np.argsort(-found.scores):
        rivals = [at for at in expected if found.labels[at] == found.labels[index]]
        if not rivals or overlaps(found.corners[rivals], found.corners[[index]]).max() <= 0.4:
            expected.append(int(index))
    assert suppress(found, 0.4).scores.tolist() == found.scores[expected].tolist()


@pytest.mark.parametrize("order", ["xyxy", "yxyx", "centre"])
def test_boxes_and_scores_in_tensors_of_their_own_are_read_in_any_order(order: str) -> None:
    told = {"xyxy": [20, 60, 40, 90], "yxyx": [60, 20, 90, 40], "centre": [30, 75, 20, 30]}[order]
    tensors = msgspec.convert({"boxes": 1, "scores": 0, "order": order, "background": True}, BoxTensors)
    head = Head(format="boxes", size=(200, 100), floor=0.5, tensors=tensors)
    outputs = [np.array([[[0.2, 0.1, 0.7]]], np.float32), np.array([[told]], np.float32)]
    found = detect(head, outputs, 2)
    assert found.corners[0] == pytest.approx([0.1, 0.6, 0.2, 0.9])
    assert (found.labels.tolist(), found.scores.tolist()) == ([1], pytest.approx([0.7]))


def test_labels_may_come_as_numbers_and_a_number_that_is_no_label_is_no_box() -> None:
    tensors = BoxTensors(boxes=0, classes=1, scores=2, order="yxyx")
    outputs = [
        np.array([[[0.1, 0.2, 0.3, 0.4], [0.1, 0.6, 0.3, 0.8], [0, 0, 1, 1]]], np.float32),
        np.array([[1, 7, 0]], np.float32),
        np.array([[0.9, 0.9, 0.1]], np.float32),
    ]
    found = detect(Head(format="boxes", tensors=tensors), outputs, 3)
    assert (found.labels.tolist(), found.corners[0].tolist()) == ([1], pytest.approx([0.2, 0.1, 0.4, 0.3]))


def test_priors_are_shifted_and_stretched_by_the_formula_of_ssd() -> None:
    priors = Priors(strides=(8, 16), sizes=((10, 16), (32,)))
    fixed = make_priors(priors, (32, 16))
    assert fixed.shape == (4 * 2 * 2 + 2 * 1, 4)
    assert fixed[3] == pytest.approx([12 / 32, 4 / 16, 16 / 32, 1.0])  # second cell, second square
    numbers = np.zeros((1, 18, 4), np.float32)
    numbers[0, 3] = [1.0, -1.0, np.log(0.5) / 0.2, np.log(0.25) / 0.2]
    scores = np.zeros((1, 18, 1), np.float32)
    scores[0, 3] = 0.8
    head = Head(format="boxes", size=(32, 16), tensors=BoxTensors(priors=priors))
    (box,) = detect(head, [numbers, scores], 1).corners
    x, y, w, h = 12 / 32 + 0.1 * 0.5, 4 / 16 - 0.1, 0.25, 0.25
    assert box == pytest.approx([x - w / 2, y - h / 2, x + w / 2, y + h / 2], abs=1e-6)
    with pytest.raises(BadInputContractError, match="18 priors for 17 boxes"):
        check_head(head, [(1, 17, 4), (1, 17, 1)], 1)


def test_the_outputs_tell_how_many_labels_there_are() -> None:
    one = Head(format="boxes", tensors=BoxTensors(background=True))
    assert count_labels(Head(format="yolo"), [(1, 84, 2100)]) == 80
    assert count_labels(Head(format="yolo-objectness"), [(1, 300, 7)]) == 2
    assert count_labels(Head(format="fastestdet"), [(1, 85, 22, 22)]) == 80
    assert count_labels(one, [(1, 50, 4), (1, 50, 2)]) == 1
    with pytest.raises(BadInputContractError, match="is not yolo of any number of labels"):
        count_labels(Head(format="yolo"), [(1, 4, 100)])


def test_parts_cover_the_output_and_do_not_overlap() -> None:
    places = np.arange(85 * 4).reshape(1, 85, 2, 2)
    parts = parts_of(Head(format="fastestdet"), [places], 80)
    assert sorted(np.concatenate([part.ravel() for part in parts.values()]).tolist()) == list(range(85 * 4))
    assert parts["boxes"][0].tolist() == [4, 8, 12, 16]


@pytest.mark.parametrize("how", ["stretch", "crop", "letterbox"])
def test_boxes_move_as_pixels_do(how: str) -> None:
    contract = msgspec.convert(
        {"kind": "image", "width": 96, "height": 96, "colour": "BGR", "layout": "NHWC", "resize": how}, ImageInput
    )
    picture = np.zeros((120, 200, 3), np.uint8)
    picture[30:90, 60:140] = 255
    seen = fit(picture, 96, 96, contract.resize)[..., 0] > 200
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    (box,) = moved(np.array([[60.0, 30, 140, 90]]), 200, 120, 96, 96, contract.resize) * 96
    assert box == pytest.approx([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], abs=1.01)
