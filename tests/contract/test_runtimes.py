"""Every runtime behind one interface, tried on real models; golden samples decide whether one may be used."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import get_args

import msgspec
import numpy as np
import pytest

from edge import runtimes
from edge.bundle import Bundle, Golden, open_bundle
from edge.errors import BadBundleError, BadModelError, GoldenMismatchError, MissingExtraError
from edge.manifest import Dtype, RuntimeName, StateSpec, TensorSpec, Tolerance, Variant
from edge.quantization import dequantize
from edge.runtimes import check_golden, open_model, open_session, probe, run_float
from edge.runtimes.memory import StateLine
from edge.runtimes.tensors import RealOutput

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"
NAMES: tuple[RuntimeName, ...] = get_args(RuntimeName)
MakeBundle = Callable[..., Path]


def need(runtime: RuntimeName) -> None:
    problem = probe.works(runtime)
    if problem is not None:
        pytest.skip(f"{runtime}: {problem}")


@pytest.mark.parametrize("runtime", NAMES)
def test_a_session_computes_from_its_own_buffer_again_and_again(runtime: RuntimeName) -> None:
    need(runtime)
    session = open_model(*probe.tiny_model(runtime))
    for x in ([[1, -2]], [[-3, 4]]):
        session.input_buffer()[...] = np.array(x, np.float32)
        session.invoke()
        held = session.output()
        assert held.tolist() == np.maximum(x, 0).tolist()
    session.set_input(np.array([5, 6], np.float32))
    session.invoke()  # the held output does not keep a runtime from running
    assert session.output().tolist() == [[5, 6]]
    session.close()
    session.close()


@pytest.mark.parametrize("values", [1, 10, 32, 33, 1000])  # few are looked up, many computed
@pytest.mark.parametrize(("dtype", "zero_point"), [("uint8", 0), ("uint8", 3), ("int8", 0), ("int8", -128)])
def test_an_output_is_dequantized_exactly_however_large_it_is(values: int, dtype: Dtype, zero_point: int) -> None:
    spec = TensorSpec(name="y", shape=(1, values), dtype=dtype, scale=0.00390625 / 3, zero_point=zero_point)
    output = RealOutput(spec)
    for seed in range(3):
        codes = np.random.default_rng(seed).integers(0, 256, spec.shape, np.uint8).view(dtype)
        read = output.read(codes)
        assert read.dtype == np.float32
        assert np.array_equal(read, dequantize(codes, spec))


@pytest.mark.parametrize("runtime", NAMES)
def test_an_input_of_another_dtype_or_shape_is_refused(runtime: RuntimeName) -> None:
    need(runtime)
    session = open_model(*probe.tiny_model(runtime))
    for x in (np.zeros((1, 2), np.float64), np.zeros((2, 2), np.float32)):
        with pytest.raises(ValueError, match="takes float32"):
            session.set_input(x)


@pytest.mark.parametrize("runtime", NAMES)
@pytest.mark.parametrize("data", [b"", b"not a model", b"\0" * 100, b"\x18\0\0\0TFL3" + b"\xff" * 50])
def test_bytes_that_are_no_model_are_a_known_error(runtime: RuntimeName, data: bytes) -> None:
    need(runtime)
    if runtime == "tflite-runtime" and b"TFL3" in data:
        pytest.skip("tflite-runtime 2.14 verifies nothing and ends the process: a child process tries new models first")
    with pytest.raises(BadModelError):
        open_model(data, probe.tiny_model(runtime)[1])


@pytest.mark.parametrize("runtime", NAMES)
def test_a_model_whose_tensors_are_not_those_of_the_manifest_is_refused(runtime: RuntimeName) -> None:
    need(runtime)
    data, variant = probe.tiny_model(runtime)
    other = TensorSpec(name="x", shape=(1, 3), dtype="float32")
    for wrong in (
        msgspec.structs.replace(variant, input=other),
        msgspec.structs.replace(variant, outputs=(other,)),
        msgspec.structs.replace(variant, outputs=(*variant.outputs, other)),
    ):
        with pytest.raises(BadModelError):
            open_model(data, wrong)


@pytest.mark.parametrize("runtime", NAMES)
def test_golden_samples_are_reproduced(make_bundle: MakeBundle, runtime: RuntimeName) -> None:
    need(runtime)
    bundle = open_bundle(make_bundle("tiny-1.edge", runtime))
    report = check_golden(bundle, open_session(bundle))
    assert report.samples == 3
    assert report.max_error == 0
    assert report.p95_us > 0


def test_a_bundle_for_an_npu_that_is_not_here_says_so(make_bundle: MakeBundle) -> None:
    if probe.works("ethos-u") is None:
        pytest.skip("this machine has an Ethos-U")
    bundle = open_bundle(make_bundle("npu-1.edge", "ethos-u", target="ethos-u65-256"))
    with pytest.raises(MissingExtraError, match="ethos-u: the Ethos-U delegate is not installed") as caught:
        open_session(bundle)
    assert "libethosu_delegate.so" in caught.value.remedy


def with_outputs(bundle: Bundle, outputs: np.ndarray) -> Bundle:
    golden = Golden(bundle.golden.input, outputs)
    return Bundle(
        bundle.path, bundle.manifest, golden, bundle.baseline, bundle.sha256, bundle.size_bytes, bundle._members
    )


def test_a_golden_value_beyond_the_tolerance_is_an_error(make_bundle: MakeBundle) -> None:
    need("litert")
    bundle = open_bundle(make_bundle())
    session = open_session(bundle)
    with pytest.raises(GoldenMismatchError, match=r"sample 0 differs by 0\.5"):
        check_golden(with_outputs(bundle, bundle.golden.outputs + np.float32(0.5)), session)


def test_another_label_is_an_error_even_within_the_tolerance(make_bundle: MakeBundle) -> None:
    need("litert")
    bundle = open_bundle(make_bundle("wide-1.edge", golden=Tolerance(atol=100.0, rtol=0.0)))
    with pytest.raises(GoldenMismatchError, match="sample 0 chooses 0, not 1"):
        check_golden(with_outputs(bundle, bundle.golden.outputs[:, ::-1]), open_session(bundle))


def test_the_first_variant_whose_runtime_works_is_opened(
    make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("onnxruntime")
    bundle = open_bundle(make_bundle("two-1.edge", "litert", "onnxruntime"))
    monkeypatch.setattr(runtimes, "works", lambda name: "broken" if name == "litert" else probe.works(name))
    assert open_session(bundle).variant.runtime == "onnxruntime"


def test_no_runtime_at_all_names_the_pip_line(make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = open_bundle(make_bundle())
    monkeypatch.setattr(runtimes, "works", lambda _: "ai_edge_litert is not installed")
    with pytest.raises(MissingExtraError) as caught:
        open_session(bundle)
    assert "pip install 'edgewright[agent]'" in caught.value.remedy
    assert "ai_edge_litert is not installed" in caught.value.problem


def test_a_runtime_that_imports_but_cannot_construct_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interpreter:
        def __init__(self, **_: object) -> None:
            raise SystemError("numpy.core.multiarray failed to import")

    package, module = ModuleType("tflite_runtime"), ModuleType("tflite_runtime.interpreter")
    module.Interpreter = Interpreter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tflite_runtime", package)
    monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", module)
    assert "SystemError" in (probe.works.__wrapped__("tflite-runtime") or "")


def test_a_runtime_that_computes_wrong_numbers_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_relu", lambda _: [1.0, 2.0])
    assert "computed" in (probe.works.__wrapped__("litert") or "")


def test_a_bundle_that_holds_no_model_is_a_bundle_error(
    make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("litert")
    bundle = open_bundle(make_bundle())
    monkeypatch.setattr(Bundle, "read", lambda *_: b"TFL3" * 9)
    with pytest.raises(BadBundleError):
        open_session(bundle)


def test_loading_a_model_writes_nothing_to_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    for runtime in runtimes.installed():
        open_model(*probe.tiny_model(runtime))
    assert capfd.readouterr() == ("", "")


KWS = {"dtype": "int8", "scale": 0.5847029089927673, "zero_point": 83}


@pytest.mark.parametrize("runtime", ["litert", "tflite-runtime"])
def test_a_real_int8_model_keeps_its_accuracy(runtime: RuntimeName) -> None:
    need(runtime)
    model, samples = DATA / "mlperf_tiny" / "kws_dscnn_int8.tflite", DATA / "ready" / "kws.npz"
    if not samples.exists():
        pytest.skip("shared data is not here")
    variant = Variant(
        runtime=runtime,
        dtype="int8",
        file="kws",
        sha256="0" * 64,
        size_bytes=1,
        input=TensorSpec(name="input_1", shape=(1, 49, 10, 1), **KWS),
        outputs=(TensorSpec(name="Identity", shape=(1, 12), dtype="int8", scale=0.00390625, zero_point=-128),),
    )
    session = open_model(model.read_bytes(), variant)
    with np.load(samples) as data:
        x, y = data["x"][:300], data["y"][:300]
    outputs = np.stack([run_float(session, sample.reshape(49, 10, 1)) for sample in x])
    assert (outputs.argmax(1) == y).mean() > 0.88
    assert outputs.min() >= 0
    assert outputs.sum(1) == pytest.approx(1, abs=0.03)


def test_a_state_that_leaves_in_another_scale_is_converted() -> None:
    coarse = TensorSpec(name="h", shape=(1, 2), dtype="int8", scale=0.5, zero_point=10)
    fine = TensorSpec(name="h_next", shape=(1, 2), dtype="int8", scale=0.25, zero_point=-4)
    entrance, leaving = np.full((1, 2), 99, np.int8), np.array([[-4, 8]], np.int8)  # 0 and 3 in the fine scale
    line = StateLine(StateSpec(input=coarse, output=fine), lambda: entrance, lambda: leaving)
    line.put()
    assert entrance.tolist() == [[10, 10]]  # zero at first
    line.take()
    line.put()
    assert entrance.tolist() == [[10, 16]]
    line.reset()
    line.put()
    assert entrance.tolist() == [[10, 10]]
