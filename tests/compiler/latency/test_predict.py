"""A prediction has an interval and a source; a board's own measurement replaces it; nobody's figure is None."""

import hashlib
from typing import Any

import pytest
from latency_variants import make_tflite, variant
from msgspec.structs import replace

from compiler.latency import predict
from compiler.latency.predict import estimate_ms
from compiler.latency.read import read_work
from compiler.latency.spread import half_width
from edge.calibration import Calibration, Timing
from edge.errors import BadArgumentError
from edge.manifest import Latency
from edge.target import load_target

PI4, PI5 = load_target("raspberrypi4"), load_target("raspberrypi5")


def wide(latency: Latency) -> float:
    return (latency.high - latency.low) / latency.ms


def large_onnx(channels: int = 64) -> bytes:
    """Pointwise and depthwise layers on 112 x 112: large enough to lie within the published tables."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    nodes, weights, name = [], [], "x"
    for index in range(6):
        for kind, shape, options in (
            ("p", (channels, channels, 1, 1), {}),
            ("d", (channels, 1, 3, 3), {"group": channels, "pads": [1, 1, 1, 1]}),
        ):
            weights.append(numpy_helper.from_array(np.ones(shape, np.float32), f"{kind}w{index}"))
            nodes.append(helper.make_node("Conv", [name, f"{kind}w{index}"], [f"{kind}{index}"], **options))
            name = f"{kind}{index}"
    size = [1, channels, 112, 112]
    graph = helper.make_graph(
        nodes,
        "large",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, size)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, size)],
        weights,
    )
    content: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    ).SerializeToString()
    return content


@pytest.fixture(scope="module")
def large() -> bytes:
    return large_onnx()


def calibration(content: bytes, ms: float, **other: Any) -> Calibration:
    timing = Timing(
        sha256=hashlib.sha256(content).hexdigest(),
        file="model.onnx",
        runtime="onnxruntime",
        dtype="float32",
        p10_ms=ms * 0.9,
        p50_ms=ms,
        p90_ms=ms * 1.1,
        p99_ms=ms * 1.2,
        inferences=100,
        model=content,
    )
    fields = {"cores": ("cortex-a72",), "cpu": "Cortex-A72", "threads": 1, "runtimes": {}, "taken": "2026-01-01"}
    return Calibration(timings=(timing,), **{**fields, **other})


def test_a_prediction_says_what_it_rests_on(large: bytes) -> None:
    latency = predict(large, variant("onnxruntime"), PI4)
    assert latency is not None
    assert (latency.kind, latency.core, latency.runtime) == ("predicted", "cortex-a72", "onnxruntime")
    assert latency.low < latency.ms < latency.high
    assert "analogy with ncnn" in latency.source
    assert "1 thread" in latency.source
    assert "smaller than every network" not in latency.source


def test_a_faster_core_is_predicted_to_be_faster(large: bytes) -> None:
    slow, fast = (predict(large, variant("onnxruntime"), target) for target in (PI4, PI5))
    assert slow is not None
    assert fast is not None
    assert slow.ms > 1.5 * fast.ms


@pytest.fixture(scope="module")
def medium_tflite() -> bytes:
    """27 million MACs."""
    return make_tflite(512)


def test_a_network_smaller_than_all_that_were_published_gets_a_wider_interval(large: bytes) -> None:
    tiny, usual = (predict(content, variant("onnxruntime"), PI4) for content in (large_onnx(8), large))
    assert tiny is not None
    assert usual is not None
    assert wide(tiny) > 1.5 * wide(usual)
    assert "smaller than every network" in tiny.source


def test_a_small_network_in_int8_is_predicted_but_with_no_more_certainty_than_in_float(medium_tflite: bytes) -> None:
    float_, int8 = (predict(medium_tflite, variant("litert", dtype), PI4) for dtype in ("float32", "int8"))
    assert float_ is not None
    assert int8 is not None
    assert "smaller than every network" in int8.source
    assert wide(int8) >= wide(float_)


def test_nobody_can_say_for_a_host_without_tables_or_for_kernels_of_years_ago(medium_tflite: bytes) -> None:
    assert predict(medium_tflite, variant(), load_target("x86-64")) is None
    assert predict(medium_tflite, variant("tflite-runtime", "int8"), PI4) is None
    assert predict(medium_tflite, variant("tflite-runtime"), PI4) is not None


def test_nobody_can_say_for_a_network_that_is_mostly_the_overhead_of_a_call(small_tflite: bytes) -> None:
    assert predict(small_tflite, variant(), PI4) is None


def test_int8_is_faster_but_not_by_much_on_a_core_without_dot_products(medium_tflite: bytes, large: bytes) -> None:
    gains = {}
    for runtime, content in (("litert", medium_tflite), ("onnxruntime", large)):
        float_, int8 = (predict(content, variant(runtime, dtype), PI4) for dtype in ("float32", "int8"))
        assert float_ is not None
        assert int8 is not None
        gains[runtime] = float_.ms / int8.ms
    assert 3 > gains["litert"] > 1
    assert 2 > gains["onnxruntime"] > 1


def test_exactly_the_file_that_a_board_timed_is_measured(large: bytes) -> None:
    board = calibration(large, 123.0)
    latency = predict(large, variant("onnxruntime"), PI4, calibration=board)
    assert latency is not None
    assert (latency.kind, latency.ms, latency.low) == ("measured", 123.0, pytest.approx(110.7))
    assert board.identity[:12] in latency.source


def test_a_measurement_speaks_even_where_nothing_is_published(large: bytes) -> None:
    board = calibration(large, 5.0, cores=("x86-64",))
    latency = predict(large, variant("onnxruntime"), load_target("x86-64"), calibration=board)
    assert latency is not None
    assert latency.kind == "measured"


def timed(contents: list[bytes], factor: float) -> Calibration:
    """A board that takes `factor` times what is predicted."""
    timings = []
    for content in contents:
        priced = estimate_ms(content, variant("onnxruntime"), PI4)
        assert priced is not None
        timings += calibration(content, factor * priced.ms).timings
    return replace(calibration(contents[0], 1.0), timings=tuple(timings))


def test_another_file_is_scaled_to_the_board_and_many_measurements_shrink_its_interval(large: bytes) -> None:
    other, contents = large_onnx(48), [large, *map(large_onnx, (16, 24, 32, 40, 56, 72, 80))]
    plain = predict(other, variant("onnxruntime"), PI4)
    few, many = (
        predict(other, variant("onnxruntime"), PI4, calibration=timed(contents[:count], 1.3)) for count in (1, 8)
    )
    assert plain is not None
    assert few is not None
    assert many is not None
    assert few.kind == "predicted"
    assert few.ms == pytest.approx(1.3 * plain.ms, rel=1e-3)
    assert wide(many) < min(wide(plain), wide(few))
    assert "scaled by 1.30" in few.source


def test_a_calibration_of_another_core_is_refused(large: bytes) -> None:
    with pytest.raises(BadArgumentError, match="cortex-a72"):
        predict(large, variant("onnxruntime"), PI5, calibration=calibration(large, 10.0))


def test_a_file_that_branches_is_not_guessed_at(large: bytes) -> None:
    import onnx

    model = onnx.load_from_string(large)
    model.graph.node[0].op_type = "If"
    assert read_work(model.SerializeToString(), variant("onnxruntime")) is None


def latency(ms: float, **other: Any) -> Latency:
    fields = {"core": "cortex-a76", "runtime": "onnxruntime", "kind": "predicted", "source": "a table"}
    return Latency(**{**fields, **other}, ms=ms, low=ms * 0.8, high=ms * 1.25)


def test_the_printed_interval_is_the_spread(large: bytes) -> None:
    estimate, printed = estimate_ms(large, variant("onnxruntime"), PI4), predict(large, variant("onnxruntime"), PI4)
    assert estimate is not None
    assert printed is not None
    spread = (estimate.prices_spread**2 + estimate.bridge_spread**2) ** 0.5
    assert wide(printed) / 2 == pytest.approx(half_width(spread), rel=0.02)


def test_a_variant_keeps_its_runtime(medium_tflite: bytes) -> None:
    old = predict(medium_tflite, replace(variant(), runtime="tflite-runtime"), PI4)
    assert old is not None
    assert old.runtime == "tflite-runtime"
