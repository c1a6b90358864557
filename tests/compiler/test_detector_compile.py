"""A whole compile of a small detector: it sees red and green squares of one cell in a picture of 4 x 4 cells."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from on_a_device import counted_on_a_device

from compiler.builder import Builder
from compiler.cache import Cache
from compiler.contract import resolve_contract
from compiler.detection.head import shapes_of
from compiler.detection.packed import BoxReader
from compiler.evaluate import evaluate_bundle
from compiler.explain.bundle import Question, explain_bundle
from compiler.load import load_model
from compiler.metrics import sqnr_db
from compiler.opening import Request, open_subject
from compiler.packing import Order
from compiler.pipeline import compile_model
from compiler.plan import Plan
from compiler.read_data import open_data
from compiler.recipe import read_recipe, request_of
from compiler.result import Compiled
from compiler.search import Scope
from edge import console
from edge.bundle import open_bundle
from edge.errors import BadDataError, BadInputContractError
from edge.manifest import Head
from edge.runtimes import check_golden, open_model, open_session, run_float

CELL, CELLS = 8, 4
SIDE = CELL * CELLS
LABELS = ("red", "green")
CONTRACT = 'task = "detect"\nlabels = ["red", "green"]\ncolour = "RGB"\nscale = 0.00392156862745098\n'
HEAD = f'\n[head]\nformat = "yolo"\nsize = [{SIDE}, {SIDE}]\nfloor = 0.5\n'
TENSORS = '[head.tensors]\nscores = 0\nboxes = 1\norder = "centre"\n'
PLANS = (Plan("onnxruntime"), Plan("onnxruntime", "int8"), Plan("onnxruntime", "int8", passes=("split-outputs",)))


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An .onnx file [1, 3, 32, 32] -> [1, 6, 16]: centre and size in pixels, then two scores, in one tensor."""
    return make_detector(tmp_path_factory.mktemp("detector"), joined=True)


def make_detector(folder: Path, *, joined: bool) -> Path:
    """Write the file; not `joined`: scores [1, 16, 2] and boxes [1, 16, 4] are outputs of their own."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    y, x = np.mgrid[0:CELLS, 0:CELLS].astype(np.float32) * CELL + CELL / 2
    grid = np.stack([x, y, np.zeros_like(x), np.zeros_like(x)])[None]
    weights = np.zeros((6, 3, 1, 1), np.float32)
    weights[2:4] = CELL
    weights[4, 0], weights[5, 1] = 16, 16
    arrays = {
        "boxes_w": weights[:4], "scores_w": weights[4:], "scores_b": np.full(2, -8, np.float32), "grid": grid,
        "boxes_shape": np.array([1, 4, -1]), "scores_shape": np.array([1, 2, -1]),
    }  # fmt: skip
    nodes = [
        helper.make_node("AveragePool", ["x"], ["cells"], name="pool", kernel_shape=[CELL] * 2, strides=[CELL] * 2),
        helper.make_node("Conv", ["cells", "boxes_w"], ["sizes"], name="size"),
        helper.make_node("Add", ["sizes", "grid"], ["boxes"], name="place"),
        helper.make_node("Conv", ["cells", "scores_w", "scores_b"], ["logits"], name="label"),
        helper.make_node("Sigmoid", ["logits"], ["scores"], name="share"),
        helper.make_node("Reshape", ["boxes", "boxes_shape"], ["boxes_flat"], name="flat1"),
        helper.make_node("Reshape", ["scores", "scores_shape"], ["scores_flat"], name="flat2"),
    ]
    outputs = {"y": [1, 6, CELLS * CELLS]}
    if joined:
        nodes.append(helper.make_node("Concat", ["boxes_flat", "scores_flat"], ["y"], name="join", axis=1))
    else:
        nodes += [
            helper.make_node("Transpose", [f"{name}_flat"], [f"{name}_rows"], name=f"turn_{name}", perm=[0, 2, 1])
            for name in ("boxes", "scores")
        ]
        outputs = {"scores_rows": [1, CELLS * CELLS, 2], "boxes_rows": [1, CELLS * CELLS, 4]}
    graph = helper.make_graph(
        nodes,
        "squares",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "squares.onnx")
    (folder / "squares.input.toml").write_text(CONTRACT + (HEAD if joined else HEAD.replace("yolo", "boxes") + TENSORS))
    return folder / "squares.onnx"


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 pictures with annotations.json: one to three squares each, some so dark that they are hard to see."""
    folder, rng = tmp_path_factory.mktemp("squares"), np.random.default_rng(11)
    images, annotations = [], []
    for number in range(100):
        picture = rng.integers(0, 40, (SIDE, SIDE, 3))
        for place in rng.choice(CELLS * CELLS, int(rng.integers(1, 4)), replace=False):
            top, left, label = *(int(i) * CELL for i in divmod(int(place), CELLS)), int(rng.integers(2))
            picture[top : top + CELL, left : left + CELL, 2 - label] += int(rng.integers(90, 200))  # BGR
            annotations.append({"image_id": number, "category_id": label, "bbox": [left, top, CELL, CELL]})
        cv2.imwrite(str(folder / f"{number:03}.png"), picture.astype(np.uint8))
        images.append({"id": number, "file_name": f"{number:03}.png", "width": SIDE, "height": SIDE})
    categories = [{"id": index, "name": name} for index, name in enumerate(LABELS)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def request(folder: Path, detector: Path, data: Path, **more: object) -> Request:
    order = Order(target="raspberrypi4", output=folder / "squares-1.edge")
    scope = Scope("quick", PLANS, Cache(None))
    return Request(model=str(detector), data=data, order=order, scope=scope, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory, detector: Path, squares: Path) -> Compiled:
    folder = tmp_path_factory.mktemp("compiled")
    return compile_model(request(folder, detector, squares), stage=console.progress, warn=lambda _: None)


def test_the_bundle_says_how_boxes_are_read_and_how_good_they_are(compiled: Compiled) -> None:
    manifest = open_bundle(compiled.bundle).manifest
    assert manifest == compiled.manifest
    assert (manifest.task, manifest.labels) == ("detect", LABELS)
    assert manifest.head == Head(format="yolo", size=(SIDE, SIDE), floor=0.5)
    assert manifest.quality.metric == "map"
    assert manifest.quality.reference > 0.3
    assert manifest.quality.samples == 60
    assert manifest.quality.ci95[0] <= manifest.quality.drop <= manifest.quality.ci95[1]


def test_its_baseline_counts_the_surest_box_of_each_picture_as_a_device_does(compiled: Compiled) -> None:
    counted = counted_on_a_device(compiled, range(len(compiled.report_part)))
    assert counted == open_bundle(compiled.bundle).baseline.scores.tolist()


def test_golden_samples_hold_on_the_devices_runtime(compiled: Compiled) -> None:
    bundle = open_bundle(compiled.bundle)
    for variant in bundle.manifest.variants:
        session = open_session(bundle, variant=variant)
        assert check_golden(bundle, session, invocations=3).samples >= 2
        session.close()


def test_splitting_outputs_keeps_the_scores_that_one_scale_for_boxes_and_scores_drowns(compiled: Compiled) -> None:
    scores = {}
    for one in compiled.measured:
        if one.candidate.plan is not None and one.candidate.dtype != "float32":
            figures = {figure.name: figure.value for figure in one.compared.figures}
            scores[bool(one.candidate.plan.passes)] = figures["SQNR of scores"], one.quality
    plain, split = scores[False], scores[True]
    assert plain[0] is not None
    assert split[0] is not None
    assert split[0] > plain[0] + 10
    assert split[1].drop <= plain[1].drop
    assert split[1].agreement >= plain[1].agreement


def test_the_report_draws_the_pictures_in_which_boxes_changed(compiled: Compiled) -> None:
    page = (compiled.report / "report.html").read_text()
    assert "mAP .50:.95" in page
    assert "boxes of 2 labels" in page
    judged = compiled.judged.quality
    assert judged.agreement == 1.0 or "data:image/jpeg;base64," in page


def test_evaluating_the_bundle_finds_the_float_variants_precision(compiled: Compiled, squares: Path) -> None:
    evaluation = evaluate_bundle(compiled.bundle, squares, label_column="label", stage=console.progress)
    assert evaluation.metric == "map"
    assert all(0.3 < one.value <= 1 for one in evaluation.variants)


def test_the_recipe_makes_the_same_bundle_again(
    tmp_path: Path, compiled: Compiled, detector: Path, squares: Path
) -> None:
    recipe = read_recipe(compiled.report / "report.json")
    assert recipe.head == compiled.manifest.head
    again = request_of(recipe, model=str(detector), data=squares, output=tmp_path / "again.edge", cache=Cache(None))
    compile_model(again, stage=console.progress, warn=lambda _: None)
    assert (tmp_path / "again.edge").read_bytes() == compiled.bundle.read_bytes()


def test_a_bundle_of_a_detector_can_be_explained(compiled: Compiled, detector: Path, squares: Path) -> None:
    question = Question(compiled.bundle, str(detector), squares, scope=Scope("quick"))
    told = explain_bundle(question, stage=console.progress)
    assert told.same_data
    assert {row.op for row in told.layers} >= {"Conv", "AveragePool"}


def test_without_annotations_the_float_model_stands_for_the_truth_and_that_is_said(
    tmp_path: Path, detector: Path, squares: Path
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for picture in squares.glob("*.png"):
        (bare / picture.name).write_bytes(picture.read_bytes())
    said: list[str] = []
    result = compile_model(request(tmp_path, detector, bare), stage=console.progress, warn=said.append)
    assert result.manifest.quality.reference == 1.0
    assert any("nobody annotated the pictures" in text for text in said)
    assert "nobody annotated" in result.manifest.provenance.recipe["truth"]


def test_all_outputs_of_a_detector_with_two_of_them_are_golden(tmp_path: Path, squares: Path) -> None:
    model = make_detector(tmp_path, joined=False)
    result = compile_model(request(tmp_path, model, squares), stage=console.progress, warn=lambda _: None)
    bundle = open_bundle(result.bundle)
    assert bundle.manifest.quality.reference > 0.3
    assert bundle.golden.outputs.shape[1] == CELLS * CELLS * (2 + 4)
    session = open_session(bundle)
    check_golden(bundle, session, invocations=3)
    session.close()
    assert bundle.golden.outputs[:, : CELLS * CELLS * 2].max() <= 1 < bundle.golden.outputs.max()  # scores, then pixels


def test_without_a_head_the_table_to_fill_in_is_shown(tmp_path: Path, detector: Path, squares: Path) -> None:
    model, data = load_model(str(detector)), open_data(squares, task="detect")
    contract = tmp_path / "no-head.toml"
    contract.write_text(CONTRACT)
    with pytest.raises(BadInputContractError, match=r"\[head\]"):
        resolve_contract(model, data, contract, None, task="detect")
    contract.write_text(CONTRACT + HEAD.replace("yolo", "yolov99"))
    with pytest.raises(BadInputContractError, match="yolov99"):
        resolve_contract(model, data, contract, None, task="detect")


def test_a_picture_of_another_size_than_annotated_is_refused(tmp_path: Path, detector: Path, squares: Path) -> None:
    content = json.loads((squares / "annotations.json").read_text())
    content["images"][0] |= {"width": SIDE + 8}
    for picture in squares.glob("*.png"):
        (tmp_path / picture.name).write_bytes(picture.read_bytes())
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    subject, _ = open_subject(request(tmp_path, detector, tmp_path), console.progress)
    with pytest.raises(BadDataError, match="has 32 x 32 pixels, the annotations say 40 x 32"):
        subject.samples.raw(0)


def test_both_formats_of_a_detector_say_the_same_boxes(detector: Path, squares: Path) -> None:
    subject, _ = open_subject(request(squares, detector, squares), console.progress)
    reader = subject.reader
    assert isinstance(reader, BoxReader)
    assert shapes_of(subject.model) == ((1, 6, CELLS * CELLS),)
    x = np.random.default_rng(0).random((1, 3, SIDE, SIDE)).astype(np.float32)
    builder = Builder(subject.model, lambda: iter([x]))
    for runtime in ("litert", "onnxruntime"):
        made = builder.build(Plan(runtime))
        session = open_model(made.data, made.variant)
        said = run_float(session, x, every=True)
        session.close()
        assert sqnr_db(np.concatenate([one.ravel() for one in subject.model.run_all(x)]), said) > 80
