"""A bundle and the whole agent on an emulated Raspberry Pi 4 and 5: the board's instructions, not its speed."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from edge_agent.actuators.recorder import read_lines

HERE = Path(__file__).parent
SIDE, FRAMES, GREEN = 32, 60, 1
CONTRACT = f"""kind = "image"
labels = ["red", "green", "blue"]
width = {SIDE}
height = {SIDE}
colour = "RGB"
layout = "NCHW"
resize = "stretch"
scale = {1 / 255!r}
"""


def pictures(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [count, SIDE, SIDE, 3], noise with one colour that stands out, and which one."""
    labels = rng.integers(0, 3, count)
    found = rng.integers(0, 130, (count, SIDE, SIDE, 3))
    found[np.arange(count), ..., labels] += rng.integers(60, 120, (count, 1, 1))
    return found.astype(np.uint8), labels


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled here for the board, by the real command."""
    folder = tmp_path_factory.mktemp("bundle")
    x, y = pictures(500, np.random.default_rng(4))
    np.savez(folder / "data.npz", x=x, y=y)
    (folder / "colours.input.toml").write_text(CONTRACT)
    words = ["--target", "raspberrypi4", "--data", folder / "data.npz", "--input", folder / "colours.input.toml"]
    command = [sys.executable, "-m", "edge.cli", "compile", f"{HERE / 'colours.py'}:load", *words]
    out = folder / "colours.edge"
    done = subprocess.run(
        [*map(str, command), "--name", "colours", "-o", str(out), "-q"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.parametrize("cpu", ["cortex-a72", "cortex-a76"])
def test_golden_samples_agree_on_a_board_and_the_agent_decides_there(
    cpu: str, bundle: Path, tmp_path: Path, on_board: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    (tmp_path / "colours.edge").write_bytes(bundle.read_bytes())
    frames, labels = pictures(FRAMES, np.random.default_rng(9))
    order = np.argsort(labels, kind="stable")
    np.save(tmp_path / "frames.npy", frames[order][..., ::-1])
    record = {"kind": "recorder", "path": "/mnt/test/record.txt", "max_age_ms": 10_000, "safe_state": "stop"}
    config: dict[str, Any] = {
        "device": "board",
        "model": "colours",
        "state_dir": "/mnt/test/state",
        "source": {"kind": "frames", "path": "/mnt/test/frames.npy", "fps": 5},
        "decider": {"kind": "classify", "go": ["green"], "floor": 0.5, "hold_s": 0.2, "max_gap_s": 10.0},
        "actuators": [record],
        "guard": {"hang_s": 30.0},
        "loop": {"hang_s": 30.0, "start_s": 120.0},
    }
    (tmp_path / "board.yaml").write_text(yaml.safe_dump(config))
    files = ["colours.edge", "board.yaml", "record.txt"]
    words = ["/opt/edgewright/tests/arm/on_the_board.py", *(f"/mnt/test/{name}" for name in files)]
    done = on_board(cpu, "python3", *words, timeout_s=240)
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    print(cpu, said)
    assert said["machine"] == "aarch64"
    assert {variant["runtime"] for variant in said["golden"]} == {"litert", "onnxruntime"}
    assert all(variant["samples"] >= 2 for variant in said["golden"])
    assert said["exit"] == 0, said["said"]
    shown = labels[order]
    decided = [line for line in read_lines(tmp_path / "record.txt") if line.frame and not line.safe]
    went = {shown[(line.frame - 1) % FRAMES] for line in decided if line.action == "go"}
    assert went == {GREEN}
    assert {line.action for line in decided} == {"go", "stop"}
