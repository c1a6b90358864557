"""Detectors: what is true, what precision is, and a whole compile of a small one."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from compiler.compare import bootstrap
from compiler.detection.annotations import labels_of, read_annotations
from compiler.detection.arrange import arrange_boxes
from compiler.detection.head import known_labels
from compiler.detection.packed import FIELDS, assumed_truth, pack_found, pack_truth, unpack_found, unpack_truth
from compiler.detection.pairs import agreement, differs
from compiler.metrics.mean_average_precision import COCO, MeanAveragePrecision
from compiler.read_data import open_data
from compiler.yardstick import Yardstick
from edge.boxes import Boxes, detect
from edge.errors import BadDataError, BadInputContractError
from edge.manifest import Head, ImageInput
from edge.picture import Resize

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"
PIXELS = 640.0


def found(*rows: tuple[int, float, float, float, float, float]) -> np.ndarray:
    """(label, score, left, top, right, bottom) of one picture, packed."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    order = np.argsort(-table[:, 1], kind="stable")
    return pack_found(Boxes(table[order, 2:], table[order, 0].astype(np.intp), table[order, 1]))


def true(*rows: tuple[int, float, float, float, float, int]) -> np.ndarray:
    """(label, left, top, right, bottom, crowd) of one picture."""
    return np.array(rows, np.float32).reshape(-1, FIELDS)


def random_boxes(pictures: int, seed: int, *, ties: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Found and true boxes: some near, some not, with equal scores, crowds, and pictures without any."""
    rng = np.random.default_rng(seed)
    values, truth = [], []
    for _ in range(pictures):
        corner = rng.uniform(0, 0.6, (int(rng.integers(0, 7)), 2))
        corners = np.concatenate([corner, corner + rng.uniform(0.02, 0.4, corner.shape)], axis=1)
        labels = rng.integers(0, 4, len(corners))
        crowd = rng.random(len(corners)) < 0.15
        truth.append(np.concatenate([labels[:, None], corners, crowd[:, None]], axis=1).astype(np.float32))
        near = np.repeat(corners, 2, axis=0)
        near = np.clip(near + rng.normal(0, 0.03, near.shape), 0, 1)
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 0.01)
        scores = rng.random(len(near)) / 2 + 0.3
        scores = np.round(scores, 1) if ties else scores
        said = np.where(rng.random(len(near)) < 0.2, rng.integers(0, 5, len(near)), np.repeat(labels, 2))
        values.append(
            found(*[(int(k), float(s), *map(float, box)) for k, s, box in zip(said, scores, near, strict=True)])
        )
    return np.stack(values), pack_truth(truth)


def by_pycocotools(values: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """mAP and mAP at .50 as the reference tells them."""
    coco_module = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed (extra `dev`)")
    from pycocotools.cocoeval import COCOeval

    annotations, results = [], []
    for picture, (row, wanted) in enumerate(zip(values, truth, strict=True)):
        for label, left, top, right, bottom, crowd in unpack_truth(wanted).astype(np.float64) * [1, *[PIXELS] * 4, 1]:
            side = [left, top, right - left, bottom - top]
            annotations.append(
                {"id": len(annotations) + 1, "image_id": picture, "category_id": int(label), "bbox": side,
                 "area": side[2] * side[3], "iscrowd": int(crowd)}
            )  # fmt: skip
        seen = unpack_found(row)
        for label, score, corners in zip(
            seen.labels, seen.scores, seen.corners.astype(np.float64) * PIXELS, strict=True
        ):
            left, top, right, bottom = corners
            results.append(
                {"image_id": picture, "category_id": int(label), "score": float(score),
                 "bbox": [left, top, right - left, bottom - top]}
            )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        coco = coco_module.COCO()
        labels = sorted({one["category_id"] for one in annotations} | {one["category_id"] for one in results})
        coco.dataset = {
            "info": {}, "images": [{"id": index} for index in range(len(values))], "annotations": annotations,
            "categories": [{"id": label, "name": str(label)} for label in labels],
        }  # fmt: skip
        coco.createIndex()
        judge = COCOeval(coco, coco.loadRes(results), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return float(judge.stats[0]), float(judge.stats[1])


def ours(values: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    metrics = MeanAveragePrecision(), MeanAveragePrecision("map50", (0.5,))
    return tuple(metric.compare(values, values, truth).reference for metric in metrics)  # type: ignore[return-value]


@pytest.mark.parametrize("seed", range(3))
def test_precision_is_that_of_pycocotools_on_random_boxes(seed: int) -> None:
    values, truth = random_boxes(40, seed)
    assert ours(values, truth) == pytest.approx(by_pycocotools(values, truth), abs=1e-9)


def test_precision_is_that_of_pycocotools_on_a_real_detectors_boxes() -> None:
    model, folder = SHARED / "models" / "fastestdet_352.onnx", SHARED / "coco_sample"
    if not model.is_file():
        pytest.skip("no detector here (shared/data/models)")
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    head, values, truth = Head(format="fastestdet"), [], []
    for name, rows in sorted(json.loads((folder / "labels_yolo.json").read_text()).items())[:40]:
        picture = cv2.imread(str(folder / f"{Path(name).stem}.jpg"))
        pixels = cv2.resize(picture, (352, 352)).transpose(2, 0, 1)[None].astype(np.float32) / 255
        values.append(pack_found(detect(head, session.run(None, {session.get_inputs()[0].name: pixels}), 80, 0.01)))
        boxes = np.array(rows, np.float32).reshape(-1, 5)
        half = boxes[:, 3:] / 2
        corners = np.concatenate([boxes[:, 1:3] - half, boxes[:, 1:3] + half], axis=1)
        truth.append(np.concatenate([boxes[:, :1], corners, np.zeros((len(boxes), 1), np.float32)], axis=1))
    mine, theirs = ours(np.stack(values), pack_truth(truth)), by_pycocotools(np.stack(values), pack_truth(truth))
    assert mine == pytest.approx(theirs, abs=1e-6)
    assert mine[1] > 0.2


def test_boxes_that_are_all_right_have_a_precision_of_one_and_none_of_zero() -> None:
    truth = pack_truth([true((0, 0.1, 0.1, 0.4, 0.5, 0), (1, 0.5, 0.5, 0.9, 0.9, 0))])
    right = found((0, 0.9, 0.1, 0.1, 0.4, 0.5), (1, 0.8, 0.5, 0.5, 0.9, 0.9), (2, 0.9, 0.0, 0.0, 0.1, 0.1))[None]
    assert MeanAveragePrecision().compare(right, found()[None], truth) == (1.0, 0.0, 1.0)
    assert MeanAveragePrecision().by_label(right, truth) == {0: 1.0, 1: 1.0}


def test_drawing_pictures_again_needs_no_second_matching() -> None:
    values, truth = random_boxes(30, 5, ties=False)  # equal scores are ranked in the order of the pictures
    rare = int(np.flatnonzero(truth[:, 0, 0] >= 0)[0])
    truth[rare, 0, [0, 5]] = 7, 0  # a label of one picture: some draws are without it
    worse = values.copy()
    worse[::3] = found()
    metric = MeanAveragePrecision()
    judge, rng = metric.redraw(values, worse, truth), np.random.default_rng(0)
    draws = [rng.integers(0, 30, 30) for _ in range(8)]
    assert {rare in drawn for drawn in draws} == {True, False}
    for drawn in draws:
        fresh = metric.compare(values[drawn], worse[drawn], truth[drawn])
        assert tuple(judge(np.bincount(drawn, minlength=30))) == pytest.approx(tuple(fresh), abs=1e-12)


def test_the_interval_of_the_drop_holds_the_drop_and_is_the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compiler.compare.RESAMPLES", 300)
    values, truth = random_boxes(120, 9)
    worse = values.copy()
    worse[::10] = found()
    yardstick = Yardstick("detect", MeanAveragePrecision(), 0.5)
    first = bootstrap(values, worse, truth, yardstick)
    drop = yardstick.metric.compare(values, worse, truth).drop
    assert 0 < first[0] < drop < first[2] < first[1]
    assert bootstrap(values, worse, truth, yardstick) == first


def test_agreement_counts_boxes_that_both_see_and_slack_forgives_a_score_at_the_floor() -> None:
    box, moved, other = (0.1, 0.1, 0.5, 0.5), (0.15, 0.1, 0.55, 0.5), (0.6, 0.6, 0.9, 0.9)
    before = np.stack([found((0, 0.9, *box), (1, 0.8, *other)), found((0, 0.52, *box)), found()])
    after = np.stack([found((0, 0.7, *moved), (2, 0.8, *other)), found((0, 0.48, *box)), found()])
    assert agreement(before, before, 0.5) == 1.0
    assert agreement(before, after, 0.5) == pytest.approx(2 / 5)
    assert agreement(before, after, 0.5, slack=0.1) == pytest.approx(3 / 5)
    assert differs(before, after, 0.5).tolist() == [True, True, False]
    assert agreement(before[2:], after[2:], 0.5) == 1.0


def test_only_what_a_model_sees_surely_stands_for_the_truth_where_nobody_annotated() -> None:
    values = np.stack([found((1, 0.9, 0.1, 0.1, 0.4, 0.5), (0, 0.49, 0.5, 0.5, 0.9, 0.9)), found()])
    first, second = (unpack_truth(rows) for rows in assumed_truth(values, 0.5))
    np.testing.assert_allclose(first, [[1, 0.1, 0.1, 0.4, 0.5, 0]], rtol=1e-6)
    assert len(second) == 0


def test_outputs_that_the_head_cannot_read_are_refused_before_anything_is_measured() -> None:
    head = Head(format="boxes", size=(32, 32))
    assert known_labels(head, ((1, 16, 4), (1, 16, 2))) == 2
    with pytest.raises(BadInputContractError, match=r"\(1, 16, 5\) is not boxes of 2 labels"):
        known_labels(head, ((1, 16, 5), (1, 16, 2)))


# ---- data


def coco(folder: Path, **changed: Any) -> Path:
    """One picture of 60 x 40 with one box, as annotations.json."""
    folder.mkdir(exist_ok=True)
    cv2.imwrite(str(folder / "a.png"), np.zeros((40, 60, 3), np.uint8))
    content = {
        "images": [{"id": 3, "file_name": "a.png", "width": 60, "height": 40}],
        "annotations": [{"image_id": 3, "category_id": 18, "bbox": [6, 4, 30, 20], "score": "ignored"}],
        "categories": [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}],
    } | changed
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def test_boxes_are_read_from_coco_files_and_categories_get_the_models_numbers(tmp_path: Path) -> None:
    annotations = read_annotations(coco(tmp_path))
    assert annotations is not None
    assert annotations.categories == ("person", "dog")
    assert annotations.boxes[0].tolist() == [[1, 6, 4, 36, 24, 0]]
    assert labels_of(annotations, ("cat", "dog", "person")) == (2, 1)


@pytest.mark.parametrize(
    ("resize", "side", "expected"),
    [
        ("stretch", 30, [[0.1, 0.1, 0.6, 0.6], [0.0, 0.0, 8 / 60, 0.2]]),
        ("letterbox", 60, [[0.1, 14 / 60, 0.6, 34 / 60], [0.0, 10 / 60, 8 / 60, 18 / 60]]),
        ("crop", 40, [[0.0, 0.1, 0.65, 0.6]]),  # the left ten columns are cut off, and the second box with them
    ],
)
def test_true_boxes_move_as_the_contract_moves_the_pixels(
    resize: Resize, side: int, expected: list[list[float]], tmp_path: Path
) -> None:
    boxes = [{"image_id": 3, "category_id": 18, "bbox": box} for box in ([6, 4, 30, 20], [0, 0, 8, 8])]
    data = open_data(coco(tmp_path, annotations=boxes), task="detect")
    contract = ImageInput(width=side, height=side, colour="RGB", layout="NHWC", resize=resize, scale=1.0)
    targets = arrange_boxes(data, contract, labels=("dog", "person"), count=2).targets
    assert targets is not None
    rows = unpack_truth(targets[0])
    assert rows[:, 0].tolist() == [0] * len(expected)
    np.testing.assert_allclose(rows[:, 1:5], expected, atol=1e-6)


def test_the_same_pictures_with_other_boxes_are_other_data(tmp_path: Path) -> None:
    contract = ImageInput(width=60, height=40, colour="RGB", layout="NHWC", scale=1.0)
    boxes = [{"image_id": 3, "category_id": 18, "bbox": [6, 4, 30, width]} for width in (20, 21, 20)]
    found = [
        arrange_boxes(
            open_data(coco(tmp_path, annotations=[box]), task="detect"), contract, labels=("dog", "person"), count=2
        )
        for box in boxes
    ]
    assert len({one.digests for one in found}) == 1
    assert found[0].sha256 != found[1].sha256
    assert found[0].sha256 == found[2].sha256


def test_categories_may_be_renamed_and_left_out(tmp_path: Path) -> None:
    folder = coco(tmp_path)
    (folder / "categories.toml").write_text('dog = "animal"\n"*" = ""\n')
    annotations = read_annotations(folder)
    assert annotations is not None
    assert labels_of(annotations, ("thing", "animal")) == (-1, 1)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"images": [{"id": 3, "file_name": "b.png", "width": 60, "height": 40}]}, "b.png, which is not there"),
        (
            {"images": [{"id": 3, "file_name": "../a.png", "width": 60, "height": 40}]},
            r"names the picture '\.\./a.png'",
        ),
        ({"images": [{"id": 4, "file_name": "a.png", "width": 60, "height": 40}]}, "of image 3, which is not listed"),
        ({"images": []}, "names no pictures"),
        ({"images": [{"id": 3, "file_name": "a.png", "width": 60, "height": 40}] * 2}, "one id to two images"),
        ({"categories": [{"id": 1, "name": "person"}]}, "category 18, which is not listed"),
        (
            {"annotations": [{"image_id": 3, "category_id": 18, "bbox": [6, 4, 70, 20]}]},
            "outside the picture of 60 x 40",
        ),
        ({"annotations": [{"image_id": 3, "category_id": 18, "bbox": [6, 4, 0, 20]}]}, "has no area"),
        ({"annotations": [{"image_id": 3, "category_id": 18, "bbox": [6, 4, 20]}]}, "is not COCO's format"),
        ({"annotations": "none"}, "is not COCO's format"),
    ],
)
def test_annotations_that_cannot_be_are_explained(tmp_path: Path, changed: dict[str, Any], problem: str) -> None:
    with pytest.raises(BadDataError, match=problem):
        open_data(coco(tmp_path, **changed), task="detect")


def test_a_category_that_is_no_label_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    annotations = read_annotations(coco(tmp_path))
    assert annotations is not None
    with pytest.raises(BadDataError, match=r"'dog' .* no label of the model \(nearest: 'dogs'\)"):
        labels_of(annotations, ("person", "dogs"))


def test_the_thresholds_are_cocos() -> None:
    assert pytest.approx([0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]) == COCO
