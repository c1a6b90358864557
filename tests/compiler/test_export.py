import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from compiler.builder import Builder
from compiler.candidate import Candidate
from compiler.load import SourceModel, load_model
from compiler.search import Scope, planned
from edge.errors import BadModelError
from edge.runtimes import open_model, run_float
from edge.target import load_target

ROOT = Path(__file__).parents[2]
NETWORK = ROOT / "tests" / "compiler" / "networks" / "tiny.py"
TINY = f"{NETWORK}:load"
BUILD = """
import sys
from pathlib import Path
import numpy as np
from compiler.builder import Builder
from compiler.load import load_model
from compiler.search import Scope, planned
from edge.target import load_target

def pictures():
    rng = np.random.default_rng(3)
    for _ in range(40):
        yield rng.standard_normal((1, 3, 16, 16), np.float32)

model = load_model(str(Path("tiny.py").resolve()) + ":load")
builder = Builder(model, pictures)
for plan in planned(model, load_target("x86-64"), Scope(effort="quick")):
    one = builder.build(plan)
    Path(one.variant.file).write_bytes(one.data)
"""


def pictures(count: int = 40) -> Iterator[NDArray[np.float32]]:
    rng = np.random.default_rng(3)
    for _ in range(count):
        yield rng.standard_normal((1, 3, 16, 16), np.float32)


def build_all(model: SourceModel, target: str = "x86-64") -> list[Candidate]:
    builder = Builder(model, pictures)
    return [builder.build(plan) for plan in planned(model, load_target(target), Scope(effort="quick"))]


@pytest.fixture(scope="module")
def tiny() -> SourceModel:
    return load_model(TINY)


@pytest.fixture(scope="module")
def other_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, "subprocess.Popen[str]"]]:
    """Compile the same network in another folder, time zone and process, whose sets are ordered differently."""
    folder = tmp_path_factory.mktemp("elsewhere") / "deeper"
    folder.mkdir()
    shutil.copy(NETWORK, folder)
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": str(ROOT), "TZ": "UTC+9"}
    process = subprocess.Popen(
        [sys.executable, "-c", BUILD],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield folder, process
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def elsewhere(other_process: tuple[Path, "subprocess.Popen[str]"], built: list[Candidate]) -> tuple[Path, str]:
    """Where the other process wrote its files, and all that it printed; it ran beside `built`."""
    folder, process = other_process
    said, errors = process.communicate(timeout=280)
    assert process.returncode == 0, errors
    return folder, said + errors


@pytest.fixture(scope="module")
def built(tiny: SourceModel, other_process: tuple[Path, "subprocess.Popen[str]"]) -> list[Candidate]:
    return build_all(tiny)


def test_a_torch_network_becomes_float_and_int8_in_both_formats(built: list[Candidate]) -> None:
    assert [(one.runtime, one.dtype, one.variant.file) for one in built] == [
        ("litert", "float32", "model-float32.tflite"),
        ("litert", "int8", "model-int8.tflite"),
        ("onnxruntime", "float32", "model-float32.onnx"),
        ("onnxruntime", "int8", "model-int8.onnx"),
    ]


def test_every_candidate_computes_what_the_source_computes(tiny: SourceModel, built: list[Candidate]) -> None:
    for candidate in built:
        session = open_model(candidate.data, candidate.variant)
        expected = np.stack([tiny.run(x) for x in pictures(20)])
        found = np.stack([run_float(session, x) for x in pictures(20)])
        noise_db = 10 * np.log10((expected**2).sum() / ((expected - found) ** 2).sum())
        assert noise_db > (100 if candidate.dtype == "float32" else 25), candidate.variant.file


def test_all_variants_take_the_networks_own_layout(built: list[Candidate]) -> None:
    assert {one.variant.input.shape for one in built} == {(1, 3, 16, 16)}


def test_tflite_int8_takes_and_gives_int8(built: list[Candidate]) -> None:
    variant = built[1].variant
    assert (variant.input.dtype, variant.outputs[0].dtype) == ("int8", "int8")
    assert variant.input.scale is not None
    assert "full integer" in built[1].note


def test_weights_are_int8_per_channel_and_activations_suit_the_processor(
    tiny: SourceModel, built: list[Candidate]
) -> None:
    def kinds(content: bytes) -> tuple[set[int], int]:
        graph = onnx.load_model_from_string(content).graph
        tensors = {tensor.name: tensor for tensor in graph.initializer}
        activations = {tensors[node.input[2]].data_type for node in graph.node if node.op_type == "QuantizeLinear"}
        scales = [tensors[node.input[1]].dims for node in graph.node if node.op_type == "DequantizeLinear"]
        return activations, max(int(np.prod(dims)) if dims else 1 for dims in scales)

    assert kinds(built[3].data) == ({onnx.TensorProto.UINT8}, 8)
    as_onnx = SourceModel(
        kind="onnx",
        name="tiny",
        input_shape=tiny.input_shape,
        input_dtype="float32",
        outputs=tiny.outputs,
        sha256=tiny.sha256,
        payload=built[2].data,
        reference=tiny.reference,
    )
    on_arm = build_all(as_onnx, "raspberrypi4")
    assert [(one.runtime, one.dtype) for one in on_arm] == [(one.runtime, one.dtype) for one in built]
    assert kinds(on_arm[3].data) == ({onnx.TensorProto.INT8}, 8)


def test_a_tflite_source_stays_as_it_is_and_an_int8_one_is_packed_untouched(
    built: list[Candidate], tmp_path: Path
) -> None:
    for number, dtypes in ((0, ["float32", "int8"]), (1, ["int8"])):
        path = tmp_path / built[number].variant.file
        path.write_bytes(built[number].data)
        candidates = build_all(load_model(str(path)))
        assert [one.dtype for one in candidates] == dtypes
        assert candidates[0].data == built[number].data


def test_a_network_that_computes_something_else_each_time_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "noisy.py"
    path.write_text(
        "import torch\n\n"
        "class Noisy(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        return torch.nn.functional.dropout(x, 0.5, training=True).flatten(1)\n\n"
        "def load():\n    return Noisy(), torch.zeros(1, 3, 16, 16)\n"
    )
    with pytest.raises(BadModelError, match=r"changed the model|has no equivalent|cannot be written"):
        build_all(load_model(f"{path}:load"))


def test_an_operator_that_no_format_has_is_named(tmp_path: Path) -> None:
    path = tmp_path / "odd.py"
    path.write_text(
        "import torch\n\n"
        "class Odd(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        return torch.special.bessel_j0(x).flatten(1)\n\n"
        "def load():\n    return Odd(), torch.zeros(1, 3, 16, 16)\n"
    )
    with pytest.raises(BadModelError, match="bessel_j0") as caught:
        build_all(load_model(f"{path}:load"))
    assert "\n" not in caught.value.problem


def test_two_processes_in_two_folders_write_the_same_bytes(built: list[Candidate], elsewhere: tuple[Path, str]) -> None:
    folder, _ = elsewhere
    assert len(built) == 4
    assert [one.variant.file for one in built if (folder / one.variant.file).read_bytes() != one.data] == []


def test_no_path_of_the_machine_is_in_the_files(built: list[Candidate], elsewhere: tuple[Path, str]) -> None:
    traces = [str(elsewhere[0]), "deeper", "/home", "/tmp", "/root", "site-packages", "tiny.py", str(ROOT)]
    for one in built:
        assert [trace for trace in traces if trace.encode() in one.data] == [], one.variant.file


def test_building_says_nothing_on_the_terminal(elsewhere: tuple[Path, str]) -> None:
    assert elsewhere[1] == ""


def test_building_says_nothing_where_stdout_was_replaced(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    build_all(load_model(TINY))
    heard = capfd.readouterr()
    assert (heard.out, heard.err) == ("", "")
