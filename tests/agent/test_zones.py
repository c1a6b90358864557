"""Boxes of detectors, and zones: on hand-made outputs and on a real detector's."""

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.boxes import decode
from edge.errors import BadConfigError
from edge.manifest import BoxTensors, Head
from edge_agent.deciders import Inputs, check_reads
from edge_agent.deciders.zones import Zones, contains

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"
LABELS = ("person", "cat", "car")
ACTIONS = ("stop", "go")
STOP, GO = 0, 1
LEFT_HALF = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]


def output(*boxes: tuple[float, float, float, float, int, float]) -> np.ndarray:
    """yolo, [1, 4 + labels, n]: centre, size, label and score of each box, in shares."""
    columns = np.zeros((4 + len(LABELS), max(1, len(boxes))), np.float32)
    for index, (x, y, width, height, label, score) in enumerate(boxes):
        columns[:4, index] = x, y, width, height
        columns[4 + label, index] = score
    return columns[None]


def zones(**options: object) -> Zones:
    zone = {"corners": LEFT_HALF, "labels": ["person"]}
    given = {"boxes": "yolo", "clear_s": 0.0, "zones": [zone]} | options
    import msgspec

    return Zones(msgspec.convert(given, Zones.Options), LABELS, ACTIONS)


def act(decider: Zones, out: np.ndarray, now_s: float = 0.0) -> int:
    return decider.decide(Inputs(out, {}, now_s)).action


def test_a_person_in_the_zone_stops_and_one_beside_it_does_not() -> None:
    decider = zones()
    assert act(decider, output((0.2, 0.5, 0.1, 0.2, 0, 0.9))) == STOP
    assert act(decider, output((0.8, 0.5, 0.1, 0.2, 0, 0.9))) == GO


def test_other_labels_and_unsure_boxes_do_not_count() -> None:
    decider = zones()
    assert act(decider, output((0.2, 0.5, 0.1, 0.2, 1, 0.9))) == GO
    assert act(decider, output((0.2, 0.5, 0.1, 0.2, 0, 0.4))) == GO


def test_a_thing_stands_where_its_foot_is_or_where_its_middle_is() -> None:
    floor = [{"corners": [[0, 0.7], [1, 0.7], [1, 1], [0, 1]], "labels": ["person"]}]
    tall = output((0.5, 0.5, 0.1, 0.6, 0, 0.9))
    assert act(zones(zones=floor), tall) == STOP
    assert act(zones(zones=floor, foot=False), tall) == GO
    beyond = output((0.5, 0.9, 0.1, 0.6, 0, 0.9))  # its foot is below the picture
    assert act(zones(zones=floor), beyond) == STOP


def test_it_goes_again_only_after_the_zones_were_empty_for_a_while() -> None:
    decider, person, nobody = zones(clear_s=0.5), output((0.2, 0.5, 0.1, 0.2, 0, 0.9)), output()
    seen = [(nobody, 0.0), (nobody, 0.5), (person, 0.6), (nobody, 0.7), (nobody, 1.1), (nobody, 1.3)]
    assert [act(decider, out, t) for out, t in seen] == [STOP, GO, STOP, STOP, STOP, GO]


def test_the_first_zone_that_is_not_empty_is_obeyed() -> None:
    import msgspec

    both = [
        {"corners": LEFT_HALF, "labels": ["person"]},
        {"corners": [[0, 0], [1, 0], [1, 1], [0, 1]], "labels": ["person", "car"], "action": "slow"},
    ]
    options = msgspec.convert({"boxes": "yolo", "clear_s": 0.0, "clear": "go", "zones": both}, Zones.Options)
    decider = Zones(options, LABELS, ("stop", "slow", "go"))
    right, left = (0.8, 0.5, 0.1, 0.2, 2, 0.9), (0.2, 0.5, 0.1, 0.2, 0, 0.6)
    decisions = [decider.decide(Inputs(out, {}, 0.0)) for out in (output(right), output(right, left), output())]
    assert [(d.action, d.label, round(d.score, 2)) for d in decisions] == [(1, 2, 0.9), (0, 0, 0.6), (2, -1, 0.0)]


def test_classes_may_be_named_where_the_bundle_has_no_labels() -> None:
    import msgspec

    given = {"boxes": "yolo", "names": LABELS, "zones": [{"corners": LEFT_HALF, "labels": ["person"]}]}
    decider = Zones(msgspec.convert(given, Zones.Options), (), ACTIONS)
    decision = decider.decide(Inputs(output((0.2, 0.5, 0.1, 0.2, 0, 0.9)), {}, 0.0))
    assert (decision.action, decision.label, round(decision.score, 2)) == (STOP, -1, 0.9)


def test_nan_stops() -> None:
    decider = zones()
    assert act(decider, output()) == GO
    broken = output()
    broken[0, 0, 0] = math.nan
    assert act(decider, broken) == STOP


def test_a_polygon_holds_its_inside_and_its_edge_also_where_it_is_dented() -> None:
    dented = np.array([[0, 0], [1, 0], [1, 1], [0.5, 0.5], [0, 1]], float)
    points = np.array([[0.5, 0.4], [0.5, 0.7], [0.1, 0.8], [0, 0.5], [1, 1], [0.5, 0], [1.1, 0.5]], np.float32)
    assert contains(dented, points).tolist() == [True, False, True, True, True, True, False]


def test_the_bundle_says_how_boxes_are_read_also_from_several_outputs() -> None:
    import msgspec

    tensors = BoxTensors(boxes=1, scores=0, background=True)
    head = Head(format="boxes", floor=0.6, tensors=tensors)
    zone = {"corners": LEFT_HALF, "labels": ["person"]}
    decider = Zones(msgspec.convert({"clear_s": 0.0, "zones": [zone]}, Zones.Options), LABELS, ACTIONS)
    scores = np.array([[[0.1, 0.9, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0]]], np.float32)
    left, right = [0.1, 0.1, 0.3, 0.9], [0.6, 0.1, 0.8, 0.9]
    inputs = Inputs(scores, {}, 0.0, None, (np.array([[left, right]], np.float32),), head)
    assert decider.decide(inputs) == (STOP, 0, pytest.approx(0.9))
    assert decider.decide(inputs._replace(others=(np.array([[right, left]], np.float32),))).action == GO
    assert decider.floor == 0.6


def test_zones_without_a_format_refuse_a_bundle_that_says_nothing_of_boxes() -> None:
    with pytest.raises(BadConfigError, match="how the model's outputs become boxes"):
        check_reads(zones(boxes=None), None)
    check_reads(zones(), None)
    check_reads(zones(boxes=None), Head(format="yolo"))


def test_formats_tell_the_same_box() -> None:
    yolo = decode(Head(format="yolo"), [output((0.25, 0.5, 0.1, 0.2, 1, 0.8))], 3, 0.5)
    pixels = np.array([[[160, 240, 64, 96, 0.9, 0, 0.9, 0]]], np.float32)
    objectness = decode(Head(format="yolo-objectness", size=(640, 480)), [pixels], 3, 0.5)
    cells = np.full((1, 8, 4, 4), -50.0, np.float32)
    cells[0, :, 2, 1] = [0.9, 0, 0, math.log(0.1 / 0.9), math.log(0.2 / 0.8), 0.1, 0.8, 0.1]
    fastest = decode(Head(format="fastestdet"), [cells], 3, 0.5)
    for boxes in (yolo, objectness, fastest):
        assert boxes.labels.tolist() == [1]
        assert boxes.corners[0] == pytest.approx([0.2, 0.4, 0.3, 0.6], abs=1e-4)
    assert fastest.scores[0] == pytest.approx(0.9**0.6 * 0.8**0.4)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"zones": [{"corners": LEFT_HALF, "labels": ["dog"]}]}, "no label 'dog'"),
        ({"zones": [{"corners": [[0, 0], [0.5, 0.5], [1, 1]], "labels": ["cat"]}]}, "no area"),
        ({"clear": "drive"}, "no action 'drive'"),
    ],
)
def test_options_that_do_not_fit_are_explained(options: dict[str, object], problem: str) -> None:
    with pytest.raises(BadConfigError, match=problem):
        zones(**options)


def test_an_output_that_is_no_detectors_is_explained() -> None:
    with pytest.raises(BadConfigError, match="not yolo of 3 labels"):
        act(zones(), np.zeros((1, 3), np.float32))


def test_a_real_detector_finds_large_people_where_they_are() -> None:
    model, folder = SHARED / "models" / "fastestdet_352.onnx", SHARED / "coco_sample"
    if not model.is_file():
        pytest.skip("no detector here (shared/data/models)")
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    found = wanted = 0
    for name, truth in sorted(json.loads((folder / "labels_yolo.json").read_text()).items()):
        large = [row[1:] for row in truth if row[0] == 0 and row[3] * row[4] > 0.1]  # of a tenth of the picture
        if large and wanted < 20:
            picture = cv2.imread(str(folder / f"{Path(name).stem}.jpg"))
            pixels = cv2.resize(picture, (352, 352)).transpose(2, 0, 1)[None].astype(np.float32) / 255
            (raw,) = session.run(None, {session.get_inputs()[0].name: pixels})
            boxes = decode(Head(format="fastestdet"), [raw], 80, 0.4)
            people = boxes.corners[boxes.labels == 0]
            wanted += len(large)
            found += sum(any(overlap(box, corners) > 0.5 for corners in people) for box in large)
    assert wanted >= 10
    assert found >= 0.6 * wanted


def overlap(box: tuple[float, ...], corners: np.ndarray) -> float:
    """Intersection over union of (centre, size) and corners."""
    x, y, w, h = box
    left, top = max(x - w / 2, corners[0]), max(y - h / 2, corners[1])
    right, bottom = min(x + w / 2, corners[2]), min(y + h / 2, corners[3])
    both = max(0.0, right - left) * max(0.0, bottom - top)
    return both / (w * h + (corners[2] - corners[0]) * (corners[3] - corners[1]) - both)
