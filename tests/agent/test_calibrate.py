"""`edge bench --calibration`: the board's cores by name, and a file that the compiler can use."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.bundle import open_bundle
from edge.calibration import read_calibration
from edge.errors import BadArgumentError
from edge_agent.cpu import Cpu, parse_cpu

PI4 = """processor\t: 0
CPU implementer\t: 0x41
CPU part\t: 0xd08

processor\t: 1
CPU implementer\t: 0x41
CPU part\t: 0xd08

Model\t\t: Raspberry Pi 4 Model B Rev 1.4
"""


@pytest.mark.parametrize(
    ("text", "machine", "cpu"),
    [
        (PI4, "aarch64", Cpu(("cortex-a72",), "Raspberry Pi 4 Model B Rev 1.4")),
        (PI4.replace("0xd08", "0xd05", 1).replace("0xd08", "0xd0b"), "aarch64", ("cortex-a55", "cortex-a76")),
        (PI4.replace("0xd08", "0xfff"), "aarch64", ("arm-0xfff",)),
        (PI4.replace("0x41", "0x61"), "aarch64", ("aarch64",)),
        ("model name\t: Some Processor\n", "x86_64", Cpu(("x86-64",), "Some Processor")),
        ("", "x86_64", Cpu(("x86-64",), "x86_64")),
    ],
    ids=["pi 4", "two kinds", "unknown part", "another maker", "pc", "no cpuinfo"],
)
def test_cores_get_the_names_that_targets_use(text: str, machine: str, cpu: Cpu | tuple[str, ...]) -> None:
    found = parse_cpu(text, machine)
    assert cpu in (found, found.cores)


def test_bench_writes_what_the_compiler_reads(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    bundle, board = make_bundle(), tmp_path / "board.json"
    command = [sys.executable, "-m", "edge.cli", "bench", str(bundle), "--calibration", str(board), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    printed, read = json.loads(done.stdout), read_calibration(board)
    variant = open_bundle(bundle).manifest.variants[0]
    timing = read.timing_of(variant.sha256, "onnxruntime")
    assert timing is not None
    assert 0 < timing.p10_ms <= timing.p50_ms <= timing.p90_ms <= timing.p99_ms
    assert timing.model == open_bundle(bundle).read(variant.file)
    assert printed["sha256"] == read.identity
    assert printed["timings"][0]["p50_ms"] == timing.p50_ms
    assert "model" not in printed["timings"][0]


def test_a_calibration_that_cannot_be_written_is_an_error(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    from edge_agent.calibrate import calibrate

    with pytest.raises(BadArgumentError, match="cannot write"):
        calibrate(make_bundle(), tmp_path / "absent" / "board.json", inferences=20)
