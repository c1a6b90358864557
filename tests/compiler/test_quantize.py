from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils
from numpy.typing import NDArray

from compiler.builder import Builder
from compiler.candidate import Candidate
from compiler.load import SourceModel, load_model
from compiler.load.state import Port
from compiler.load.torch_module import from_module
from compiler.plan import Plan
from compiler.quantize.error import sqnr_db
from compiler.quantize.tflite_model import SIGNATURE, float_operators, modernize
from compiler.search import Scope, planned
from edge.runtimes import open_model, run_float
from edge.target import load_target

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"
CALIBRATION = 300


@pytest.fixture(scope="module", params=[("kws_dscnn_fp32", "kws"), ("ic01_resnet8_fp32", "cifar10_nhwc_0_255")])
def case(request: pytest.FixtureRequest) -> tuple[SourceModel, NDArray[np.float32], NDArray[np.int64]]:
    """A real model, and its samples in a fixed random order."""
    model, data = request.param
    path, samples = SHARED / "mlperf_tiny" / f"{model}.tflite", SHARED / "ready" / f"{data}.npz"
    if not (path.exists() and samples.exists()):
        pytest.skip("needs the shared data folder")
    source = load_model(str(path))
    with np.load(samples) as arrays:
        x, y = arrays["x"], arrays["y"]
    order = np.random.default_rng(0).permutation(len(x))
    return source, x[order].reshape(-1, *source.input_shape).astype(np.float32), y[order]


@pytest.fixture(scope="module")
def built(case: tuple[SourceModel, NDArray[np.float32], NDArray[np.int64]]) -> list[Candidate]:
    source, x, _ = case

    def calibration() -> Iterator[NDArray[np.float32]]:
        return iter(x[:CALIBRATION])

    builder = Builder(source, calibration)
    plans = planned(source, load_target("raspberrypi4"), Scope(effort="quick"))
    return [builder.build(plan) for plan in plans]


def test_int8_decides_as_float_does_on_samples_it_never_saw(
    case: tuple[SourceModel, NDArray[np.float32], NDArray[np.int64]], built: list[Candidate]
) -> None:
    source, x, y = case
    held_out, labels = x[CALIBRATION:], y[CALIBRATION:]
    before = np.stack([source.run(sample) for sample in held_out]).argmax(axis=1)
    session = open_model(built[1].data, built[1].variant)
    after = np.stack([run_float(session, sample) for sample in held_out]).argmax(axis=1)
    assert (before == after).mean() >= 0.97
    assert int((before == labels).sum()) - int((after == labels).sum()) <= 0.01 * len(labels)


def test_the_int8_file_computes_in_integers_only_and_is_smaller(built: list[Candidate]) -> None:
    as_float, as_int8 = built
    assert float_operators(as_int8.data) == ()
    assert as_int8.variant.input.dtype == as_int8.variant.outputs[0].dtype == "int8"
    assert len(as_int8.data) < 0.6 * len(as_float.data)


def test_old_files_get_a_signature_new_operator_numbers_and_a_mean(
    case: tuple[SourceModel, NDArray[np.float32], NDArray[np.int64]],
) -> None:
    content, input_name = modernize(case[0].payload)
    after = flatbuffer_utils.read_model_from_bytearray(content)
    assert input_name == "input"
    assert [one.signatureKey.decode() for one in after.signatureDefs] == [SIGNATURE]
    numbers = [after.operatorCodes[op.opcodeIndex].builtinCode for op in after.subgraphs[0].operators]
    assert numbers[0] == schema.BuiltinOperator.CONV_2D  # 0, which is ADD, in a file from 2020
    assert schema.BuiltinOperator.MEAN in numbers
    assert schema.BuiltinOperator.AVERAGE_POOL_2D not in numbers


def test_a_padded_max_pool_does_not_widen_the_range_to_infinity() -> None:
    import torch

    torch.manual_seed(3)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.MaxPool2d(3, 2, 1), torch.nn.Conv2d(8, 4, 3)
    )
    model = from_module(net.eval(), [Port("x", (1, 3, 16, 16))], name="padded", sha256="0" * 64)
    samples = [np.random.default_rng(i).normal(0, 1, (1, 3, 16, 16)).astype(np.float32) for i in range(8)]
    made = Builder(model, lambda: iter(samples)).build(Plan("litert", "int8"))
    session = open_model(made.data, made.variant)
    found = [(model.run(x), run_float(session, x)) for x in samples]
    session.close()
    assert sqnr_db(found) > 25
