"""A bundle and the whole agent on an emulated Raspberry Pi 4 and 5: the board's instructions, not its speed."""

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from colour_bundles import GREEN, MODEL, pictures

from edge_agent.actuators.recorder import read_lines

FRAMES = 60


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
        "model": MODEL,
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


def test_a_board_ends_with_a_command_that_a_signal_ends(
    on_board: Callable[..., "subprocess.CompletedProcess[str]"],
) -> None:
    killed = on_board("cortex-a72", "python3", "-c", "import os, signal; os.kill(os.getpid(), signal.SIGTERM)")
    assert killed.returncode == 128 + signal.SIGTERM
