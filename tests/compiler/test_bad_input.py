"""Bad input: one clear line, one line of what to do, and the error's own exit code.

The cases that users meet first go through the real command in a process of its own, the others through the same
function in this one, which takes a tenth of the time.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge.cli import run

EDGE = Path(sys.executable).with_name("edge")
Run = Callable[..., subprocess.CompletedProcess[str]]


def edge(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([EDGE, *words], cwd=cwd, capture_output=True, text=True, check=False, timeout=240)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs `edge` in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run_here(*words: str | Path) -> subprocess.CompletedProcess[str]:
        code = run([str(word) for word in words])
        told = capfd.readouterr()
        return subprocess.CompletedProcess(words, code, told.out, told.err)

    return run_here


def saved(folder: Path, **arrays: object) -> Path:
    np.savez(folder / "d.npz", **arrays)  # type: ignore[arg-type]
    return folder / "d.npz"


def x(samples: int = 60) -> np.ndarray:
    return np.random.default_rng(1).random((samples, 3, 8, 8), np.float32)


def tensor(folder: Path, model: Path) -> Path:
    """The same model without a contract beside it."""
    (folder / "plain.onnx").write_bytes(model.read_bytes())
    return folder / "plain.onnx"


def nan_in_data(folder: Path) -> Path:
    values = x()
    values[17, 0, 3, 3] = np.nan
    return saved(folder, x=values, y=np.arange(60) % 3)


def empty_folder(folder: Path) -> Path:
    (folder / "data").mkdir()
    return folder / "data"


CASES: dict[str, tuple[Callable[[Path], Path], int, str]] = {
    "missing data": (lambda folder: folder / "none", 20, "no data at"),
    "empty data": (lambda folder: saved(folder, x=np.zeros((0, 3, 8, 8)), y=[]), 8, "holds no samples"),
    "empty folder": (empty_folder, 8, "no class folders"),
    "shape that does not fit": (
        lambda folder: saved(folder, x=np.zeros((60, 3, 9, 9), np.float32), y=np.arange(60) % 3),
        8,
        "3 x 9 x 9, but the model wants 3 x 8 x 8",
    ),
    "one class only": (lambda folder: saved(folder, x=x(), y=np.zeros(60, int)), 8, "of one class, '0'"),
    "NaN in the data": (nan_in_data, 8, "sample 17 holds NaN"),
    "labels out of range": (lambda folder: saved(folder, x=x(), y=np.arange(60) % 4), 8, "not in 0..2"),
    "too few samples": (lambda folder: saved(folder, x=x(20), y=np.arange(20) % 3), 8, "20 samples leave 12 to prove"),
}

REAL = {"missing data", "empty data", "shape that does not fit", "one class only", "NaN in the data"}


@pytest.mark.parametrize("case", CASES)
def test_bad_data(tmp_path: Path, here: Run, colour_model: Path, case: str) -> None:
    make, code, problem = CASES[case]
    words = ("compile", tensor(tmp_path, colour_model), "--target", "x86-64", "--data", make(tmp_path))
    refused(edge(*words, cwd=tmp_path) if case in REAL else here(*words), code, problem)
    assert not list(tmp_path.glob("*.edge"))


MODELS: dict[str, tuple[str, bytes | None, int, str]] = {
    "missing model": ("none.onnx", None, 20, "none.onnx"),
    "not a model": ("text.onnx", b"this is no model", 7, "text.onnx"),
    "truncated model": ("cut.tflite", b"\x1c\x00\x00\x00TFL3" + bytes(20), 7, "cut.tflite"),
    "not a kind of model": ("weights.h5", b"\x89HDF", 7, "weights.h5"),
}


def with_unknown_operator() -> bytes:
    import onnx
    from onnx import TensorProto, helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])
    node = helper.make_node("Divine", ["x"], ["y"], name="oracle", domain="com.example")
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)]
    model = helper.make_model(helper.make_graph([node], "g", [x], [y]), opset_imports=opsets, ir_version=9)
    return bytes(onnx.ModelProto.SerializeToString(model))


def test_an_operator_that_no_runtime_knows_is_named(tmp_path: Path) -> None:
    (tmp_path / "oracle.onnx").write_bytes(with_unknown_operator())
    data = saved(tmp_path, x=x(), y=np.arange(60) % 3)
    refused(edge("compile", "oracle.onnx", "--target", "x86-64", "--data", data, cwd=tmp_path), 7, "Divine")


@pytest.mark.parametrize("case", MODELS)
def test_bad_model(tmp_path: Path, here: Run, case: str) -> None:
    name, content, code, problem = MODELS[case]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    data = saved(tmp_path, x=x(), y=np.arange(60) % 3)
    words = ("compile", name, "--target", "x86-64", "--data", data)
    refused(edge(*words, cwd=tmp_path) if case == "not a model" else here(*words), code, problem)


def test_bad_words(tmp_path: Path, here: Run, colour_model: Path) -> None:
    data = saved(tmp_path, x=x(), y=np.arange(60) % 3)
    for words, code, problem in (
        (["--target", "x86-64", "--data", data, "--max-drop", "lots"], 2, "'lots' is no share"),
        (["--target", "x86-64", "--data", data, "-o", "nowhere/m.edge"], 20, "no folder nowhere"),
        (["--target", "x86-64", "--data", data, "--name", "a/b"], 2, "'a/b' cannot name a model"),
        (["--target", "x86-64", "--data", data, "--labels", "none.txt"], 20, "no labels file"),
    ):
        refused(here("compile", tensor(tmp_path, colour_model), *words), code, problem)


def test_an_unknown_target(tmp_path: Path) -> None:
    done = edge("compile", "m.onnx", "--target", "rasberrypi4", "--data", "d.npz", cwd=tmp_path)
    refused(done, 10, "no target 'rasberrypi4'")
    assert "raspberrypi4" in done.stderr


def test_an_open_contract_lists_what_is_missing_as_a_file(
    tmp_path: Path, here: Run, colour_model: Path, colour_pictures: Path
) -> None:
    done = here("compile", tensor(tmp_path, colour_model), "--target", "x86-64", "--data", colour_pictures)
    refused(done, 9, "open: colour, scale, mean, std")
    assert 'colour = "RGB"  # OPEN' in done.stderr


def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path, here: Run, colour_model: Path) -> None:
    for name in ("blue", "green", "red"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in range(20):
            (tmp_path / "data" / name / f"{index}.png").write_bytes(f"no picture {name} {index}".encode())
    done = here("compile", colour_model, "--target", "x86-64", "--data", tmp_path / "data")
    refused(done, 8, "cannot read the picture")


def test_a_bundle_that_is_cut_short_is_not_evaluated(tmp_path: Path, here: Run) -> None:
    (tmp_path / "cut.edge").write_bytes(b"PK\x03\x04")
    refused(here("evaluate", "cut.edge", "--data", "d.npz"), 6, "cut.edge is not a bundle")


def test_errors_are_one_json_object_for_scripts(tmp_path: Path) -> None:
    done = edge("compile", "m.onnx", "--target", "none", "--data", "d", "--json", cwd=tmp_path)
    assert done.returncode == 10
    assert set(json.loads(done.stdout)) == {"error", "problem", "remedy"}


def refused(done: subprocess.CompletedProcess[str], code: int, problem: str) -> None:
    """One line of what happened, then what to do; no traceback, nothing on stdout."""
    assert done.returncode == code, done.stderr
    lines = done.stderr.splitlines()
    said = next(at for at, line in enumerate(lines) if line.startswith("error: "))
    assert problem in lines[said]
    assert lines[said + 1].strip().startswith("fix: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
