"""The whole agent from the outside: `edge run`, `edge status`, `edge bench`."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.errors import AgentError, BadBundleError, BadConfigError, FileMissingError, GoldenMismatchError
from edge_agent.actuators.recorder import read_lines

MakeBundle = Callable[..., Path]
MakeConfig = Callable[..., Path]
StartAgent = Callable[..., Any]
EDGE = [sys.executable, "-m", "edge.cli"]


def edge(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*EDGE, *map(str, words)], capture_output=True, text=True, check=False, timeout=120)


def test_each_frame_leads_to_its_own_decision_and_sigterm_ends_in_the_safe_state(
    make_bundle: MakeBundle, make_config: MakeConfig, start_agent: StartAgent
) -> None:
    colours = "rggbbrgrrr"
    agent = start_agent(make_config(colours=colours), make_bundle())
    agent.until(lambda: len(agent.lines()) > 60)
    children = agent.children()
    assert len(children) == 3
    assert agent.stop() == 0
    lines = agent.lines()
    assert (lines[0].safe, lines[-1].safe, lines[-1].action) == (True, True, "stop")
    for line in lines:
        if not line.safe:
            assert line.action == ("go" if colours[(line.frame - 1) % len(colours)] == "g" else "stop")
            assert line.applied_ns - line.captured_ns <= 300e6
    frames = [line.frame for line in lines if not line.safe]
    assert frames == sorted(set(frames))
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)
    assert not (agent.folder / "state" / "run").exists()


def test_a_recording_that_shall_not_begin_again_ends_the_agent_cleanly(
    make_bundle: MakeBundle, make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config(colours="rg" * 10, fps=40)
    config.write_text(config.read_text().replace("fps: 40", "fps: 40, loop: false"))
    done = edge("run", config, "--unsigned", make_bundle())
    assert (done.returncode, done.stdout) == (0, "")
    lines = read_lines(tmp_path / "applied.txt")
    assert lines[-1].safe
    assert max(line.frame for line in lines) == 20


def test_a_folder_of_large_pictures_drives_a_light_through_gpiozero(
    make_bundle: MakeBundle, make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index, colour in enumerate([(0, 0, 200), (0, 200, 0)] * 5):
        cv2.imwrite(str(folder / f"{index}.png"), np.full((240, 320, 3), colour, np.uint8))
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    others = "  - {kind: led, pin: 17}\n  - {kind: print}\n"
    config = make_config(fps=25)
    text = config.read_text().replace("kind: frames, path: frames.npy", "kind: images, path: pictures, loop: false")
    config.write_text(text + others)
    done = edge("run", config, "--unsigned", make_bundle())
    assert done.returncode == 0, done.stderr
    actions = [line.action for line in read_lines(tmp_path / "applied.txt") if not line.safe]
    assert {"stop", "go"} <= set(actions)
    assert "stop (safe state)" in done.stderr


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda bundle, _config: bundle.write_bytes(bundle.read_bytes()[:-100]), BadBundleError),
        (lambda bundle, _config: bundle.unlink(), FileMissingError),
        (
            lambda _b, config: config.write_text(config.read_text().replace("model: light", "model: dark")),
            BadBundleError,
        ),
        (lambda _b, config: config.write_text(config.read_text().replace("frames.npy", "none.npy")), FileMissingError),
        (lambda _b, config: config.write_text(config.read_text().replace("[green]", "[grin]")), BadConfigError),
    ],
    ids=["truncated", "missing", "another-model", "no-source", "no-such-label"],
)
def test_what_cannot_run_ends_with_one_clear_line_and_its_exit_code(
    make_bundle: MakeBundle, make_config: MakeConfig, spoil: Callable[[Path, Path], object], error: type[Exception]
) -> None:
    bundle, config = make_bundle(), make_config()
    spoil(bundle, config)
    done = edge("run", config, "--unsigned", bundle)
    assert done.returncode == error.exit_code, done.stderr  # type: ignore[attr-defined]
    assert "Traceback" not in done.stderr


def test_a_model_that_does_not_reproduce_its_golden_samples_never_runs(
    make_bundle: MakeBundle, make_config: MakeConfig, tmp_path: Path
) -> None:
    done = edge("run", make_config(), "--unsigned", make_bundle(golden_gain=5.0))
    assert done.returncode == GoldenMismatchError.exit_code
    assert [line.safe for line in read_lines(tmp_path / "applied.txt")] == [True]


def test_an_agent_without_model_and_fleet_says_what_to_do(make_config: MakeConfig) -> None:
    done = edge("run", make_config())
    assert done.returncode == AgentError.exit_code
    assert "--unsigned" in done.stderr


def test_status_says_how_the_agent_is_and_a_second_agent_is_refused(
    make_bundle: MakeBundle, make_config: MakeConfig, tmp_path: Path
) -> None:
    config, bundle = make_config(), make_bundle(version=3)
    first = subprocess.Popen([*EDGE, "run", str(config), "--unsigned", str(bundle)], stderr=subprocess.PIPE, text=True)
    try:
        report: dict[str, Any] = {}
        limit = time.monotonic() + 60
        while not (report and report["agent"]["guard"] and report["agent"]["guard"]["applied"] > 3):
            assert time.monotonic() < limit
            assert first.poll() is None
            asked = edge("status", tmp_path / "state", "--json")
            report = json.loads(asked.stdout) if asked.returncode == 0 else {}
        agent = report["agent"]
        assert (agent["model"], agent["version"], agent["bundle"]) == ("light", 3, "light-3.edge")
        assert set(agent["processes"]) == {"capture", "loop", "guard"}
        assert (report["update"], report["clock"]) == (None, "unchecked")
        assert 0 < report["frame_age_ms"] < 1000
        text = edge("status", config).stdout
        for word in ("version 3", "go", "no fleet", "frame age", "clock"):
            assert word in text
        second = edge("run", config, "--unsigned", bundle)
        assert second.returncode == AgentError.exit_code
        assert "another agent" in second.stderr
        os.kill(first.pid, signal.SIGINT)
        assert first.wait(60) == 0
    finally:
        first.kill()
        first.wait()
    assert edge("status", tmp_path / "state").returncode == AgentError.exit_code


def test_bench_times_the_real_agent(make_bundle: MakeBundle) -> None:
    done = edge("bench", make_bundle(), "--frames", "60", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    for name in ("floor_us", "loop_us", "overhead_us", "wake_us", "frame_age_ms"):
        assert 0 < result[name]["p50"] <= result[name]["p99"] <= result[name]["max"]
    assert result["overhead_us"]["p50"] < result["loop_us"]["p50"]
    assert result["frames"] >= 60
