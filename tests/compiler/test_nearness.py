"""Behind a soft-max every file looks good: candidates are ranked by what goes into it."""

from pathlib import Path

import numpy as np
import pytest

from compiler.builder import Builder
from compiler.cache import Cache
from compiler.ground import lay_ground
from compiler.load import load_model
from compiler.measure import Measured, measuring, sqnr_of
from compiler.nearness import Nearness
from compiler.opening import Request
from compiler.packing import Order
from compiler.plan import Plan
from compiler.prediction import no_prediction
from compiler.quantize.onnx_qdq import quantize_onnx
from compiler.search import Scope, Shelf, search
from compiler.tuning.terrain import survey
from edge import console

X = [np.random.default_rng(3).random((1, 3, 8, 8), np.float32) for _ in range(20)]


@pytest.fixture(scope="module")
def builder(colour_model: Path) -> Builder:
    return Builder(load_model(str(colour_model)), lambda: iter(X))


def measured(builder: Builder, plan: Plan) -> Measured:
    from compiler.compare import Comparison
    from compiler.run import Scores
    from compiler.timing import Timing
    from edge.manifest import Quality

    quality = Quality(
        metric="accuracy", reference=1, compiled=1, drop=0, ci95=(0, 0), agreement=1, samples=20, upper95=0
    )
    nothing = np.zeros((1, 3), np.float32)
    scores = Scores(nothing, nothing, np.zeros(1, np.int64), np.zeros(1, bool))
    return Measured(builder.build(plan), scores, Comparison(quality, 0, 0, 20, ()), Timing("here", 1, 1, 1))


def test_an_integer_file_is_ranked_by_its_scores_before_the_soft_max(builder: Builder, tmp_path: Path) -> None:
    exact, plan = builder.build(Plan("onnxruntime")), Plan("onnxruntime", "int8", "uint8")
    near = Nearness(lambda: iter(X), [bytes([at]) for at in range(20)], Cache(tmp_path), lambda _: exact)
    one, as_float = near.after(lambda _: (measured(builder, plan), measured(builder, Plan("onnxruntime"))))([])
    assert one.before_squash_db == pytest.approx(builder.bench("onnxruntime").reference.judge(one.candidate.data))
    assert sqnr_of(one) == one.before_squash_db
    assert as_float.before_squash_db is None
    again = Nearness(lambda: iter(()), near.digests, Cache(tmp_path), lambda _: exact)  # samples would be missed
    assert again.after(lambda _: (measured(builder, plan),))([])[0].before_squash_db == one.before_squash_db


def test_a_last_dense_layer_ends_in_float_and_the_file_still_computes_in_integers() -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weight = np.random.default_rng(0).normal(0, 1, (6, 4)).astype(np.float32)
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["b"], name="bend"),
        helper.make_node("Gemm", ["b", "v"], ["y"], name="second"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(weight[:4], "v")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    ranges = {"x": (-3.0, 3.0), "a": (-9.0, 9.0), "b": (0.0, 9.0), "y": (-30.0, 30.0)}
    made = onnx.load_model_from_string(quantize_onnx(model.SerializeToString(), ranges, activations="uint8")).graph
    (last,) = [node for node in made.node if "y" in node.output]
    assert last.op_type == "Gemm"
    assert sum(node.op_type == "QuantizeLinear" for node in made.node) == 2  # of x and b
    read = {name for node in made.node for name in node.input}
    assert {tensor.name for tensor in made.initializer} <= read


def test_a_study_and_a_compile_of_int8_alone_rank_a_file_alike(colour_model: Path, colour_pictures: Path) -> None:
    order = Order(target="raspberrypi4")
    ground = lay_ground(Request(str(colour_model), colour_pictures, order), stage=console.progress, warn=lambda _: None)
    plan = Plan("litert", "int8")
    (found,) = search(  # as for an Ethos-U, no plan asks for a float file
        ground.select,
        calibration=ground.calibration,
        calibrated=(),
        target=ground.here,
        scope=Scope("quick", plans=(plan,)),
        measure=measuring(
            ground.select,
            reference=ground.reference,
            yardstick=ground.yardstick,
            predict=no_prediction,
            stage=console.progress,
        ),
        fine=lambda _: True,
        stage=console.progress,
    ).measured
    behind = next(figure.value for figure in found.compared.figures if figure.unit == "dB")
    assert found.before_squash_db is not None
    assert behind is not None
    assert abs(found.before_squash_db - behind) > 1
    terrain = survey(ground, Shelf(ground.select, ground.calibration, (), Cache(None)), no_prediction)
    assert terrain.measure(plan, terrain.build(plan)).sqnr_db == found.before_squash_db
