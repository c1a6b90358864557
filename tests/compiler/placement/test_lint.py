"""Slow paths and traps, on real files: found where they are, and nowhere else."""

from collections.abc import Callable

import pytest

from compiler.placement.lint import lint_tflite
from edge.manifest import RuntimeName
from edge.target import load_target

Read = Callable[[str], bytes]
CASES: tuple[tuple[str, str, RuntimeName, set[str]], ...] = (
    ("models/mobilenet_v2_1.0_224_quant", "raspberrypi5", "litert", {"LEGACY_UINT8"}),
    ("models/mobilenet_v2_1.0_224_quant", "x86-64", "litert", set()),
    ("models/tf2_mobilenet_v2_1.0_224_ptq", "raspberrypi5", "litert", set()),
    ("mlperf_tiny/kws_dscnn_int8", "raspberrypi5", "tflite-runtime", set()),
    ("mlperf_tiny/kws_dscnn_fp32", "raspberrypi5", "tflite-runtime", {"DYNAMIC_RANGE", "PER_TENSOR_WEIGHTS"}),
    ("mlperf_tiny/kws_dscnn_fp32", "raspberrypi5", "litert", {"PER_TENSOR_WEIGHTS"}),
    ("mlperf_tiny/ic01_resnet8_fp32", "raspberrypi5", "tflite-runtime", set()),
)


@pytest.mark.parametrize(("model", "target", "runtime", "codes"), CASES)
def test_a_trap_is_found_where_it_is(
    shared_model: Read, model: str, target: str, runtime: RuntimeName, codes: set[str]
) -> None:
    found = lint_tflite(shared_model(model), load_target(target), runtime)
    assert {one.code for one in found} == codes
    assert all(one.sentence and one.remedy and one.operators for one in found)


def test_a_legacy_model_names_each_operator_that_cannot_use_dot_products(shared_model: Read) -> None:
    content = shared_model("models/mobilenet_v2_1.0_224_quant")
    (found,) = lint_tflite(content, load_target("raspberrypi5"), "litert")
    assert len(found.operators) == 53  # 52 convolutions and the classifier, of MobileNetV2's definition
    assert "53 operators" in found.sentence


def test_a_mean_that_vela_would_leave_to_the_cpu_is_named_for_its_target_only(mobilenet: bytes) -> None:
    (found,) = lint_tflite(mobilenet, load_target("ethos-u55-128"), "litert")
    assert found.code == "MEAN_NCHW"
    assert lint_tflite(mobilenet, load_target("raspberrypi4"), "litert") == ()
