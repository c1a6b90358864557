"""Real networks and real data: what int8 costs, that two folders give the same bytes, and that no path leaks."""

import getpass
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

EDGE = Path(sys.executable).with_name("edge")
ROOT = Path(__file__).parents[2]
SHARED = ROOT / ".." / "shared" / "data"
MOST_DROP, LEAST_AGREEMENT = 0.01, 0.97


@dataclass(frozen=True)
class Case:
    """A model and samples of it; a `function` is looked up in a copy of the Python file."""

    model: Path
    data: str
    function: str = ""


CASES = {
    "keyword-spotting": Case(SHARED / "mlperf_tiny" / "kws_dscnn_fp32.tflite", "kws.npz"),
    "image-classification": Case(SHARED / "mlperf_tiny" / "ic01_resnet8_fp32.tflite", "cifar10_nhwc_0_255.npz"),
    "resnet20": Case(ROOT / "tests" / "compiler" / "networks" / "resnet20.py", "cifar10_nchw_normalized.npz", ":load"),
}


def compile_in(folder: Path, case: Case) -> tuple[dict[str, Any], float]:
    """Copy model and data into `folder`, compile there, and return what `--json` says and the seconds it took."""
    folder.mkdir(parents=True)
    model = Path(shutil.copy(case.model, folder))
    data = shutil.copy(SHARED / "ready" / case.data, folder)
    # a function finds its weights by its own path, so it stays where it is; the command still runs in `folder`
    spec = f"{case.model}{case.function}" if case.function else str(model)
    words = [EDGE, "compile", spec, "--target", "raspberrypi4", "--data", data, "-o", "m.edge", "--json", "--no-cache"]
    start = time.monotonic()
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=900)
    seconds = time.monotonic() - start
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result, seconds


@pytest.mark.timeout(1900)
@pytest.mark.parametrize("name", CASES)
def test_int8_keeps_the_models_decisions_and_two_folders_give_the_same_bytes(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    if not (SHARED / "ready" / case.data).is_file():
        pytest.skip(f"needs {case.data}, which users of the project do not have")
    first, seconds = compile_in(tmp_path / "one", case)
    second, _ = compile_in(tmp_path / "a longer name" / "two", case)
    quality = first["quality"]
    print(f"\n{name}: {first['chosen']} {quality} {seconds:.0f} s")
    assert first["chosen"] == {"runtime": "litert", "dtype": "int8"}
    assert quality["drop"] <= MOST_DROP
    assert quality["agreement"] >= LEAST_AGREEMENT
    assert quality["ci95"][0] <= quality["drop"] <= quality["ci95"][1]
    assert quality["samples"] >= 300

    content = (tmp_path / "one" / "m.edge").read_bytes()
    assert content == (tmp_path / "a longer name" / "two" / "m.edge").read_bytes()
    assert second["quality"] == quality
    for leak in (str(tmp_path), str(ROOT), str(Path.home()), f"/{getpass.getuser()}", "resnet20.py"):
        assert leak.encode() not in content
    # weights are random bytes: a host called "vm" is in every one of them, so only text can be searched for short names
    printable = b" ".join(re.findall(rb"[ -~]{6,}", content))
    for word in (socket.gethostname(), getpass.getuser()):
        assert not re.search(rb"(?<![A-Za-z0-9])" + re.escape(word.encode()) + rb"(?![A-Za-z0-9])", printable)
