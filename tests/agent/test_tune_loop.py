"""`edge bench BUNDLE --config FILE --write`: the agent runs with what was chosen."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.bundle import open_bundle
from edge.errors import AgentError, BadArgumentError, BadBundleError, BadConfigError, FileMissingError
from edge.manifest import AudioInput, ImageInput, SeriesInput
from edge_agent import tune_loop
from edge_agent.choose_loop import Outcome, Round, settings_of
from edge_agent.cli import bench_command
from edge_agent.config import LoopConfig, load_config
from edge_agent.loop_trials import prepare_trials

EDGE = [sys.executable, "-m", "edge.cli"]
KEPT = "loop: {hang_s: 5}  # longer than any inference\n"


def edge(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*EDGE, *map(str, words)], capture_output=True, text=True, check=False, timeout=300)


def test_the_agent_runs_with_what_was_chosen_and_told(
    make_bundle: Any,
    make_config: Any,
    start_agent: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("edge_agent.choose_loop.ROUNDS", 1)
    bundle, config = make_bundle(), make_config(fps=100, more=KEPT)
    before = config.read_text()
    bench_command(bundle, config=config, write=True, frames=50, json=True)
    tuned = msgspec.json.decode(capsys.readouterr().out, type=tune_loop.Tuned)
    assert tuned.start.age_p50_ms > 0
    assert (tuned.fps, tuned.written) == (100, True)
    loop = load_config(config).loop
    assert (loop.hang_s, settings_of(loop)) == (5, tuned.loop)
    assert config.read_text().startswith(before.partition("loop:")[0])
    assert config.read_text().endswith("  # longer than any inference\n")
    assert not (config.parent / "applied.txt").exists()
    table = tune_loop.describe(tuned)
    assert all(step.setting in table and step.verdict in table for step in tuned.steps)
    assert table.endswith(tuned.line)
    agent = start_agent(config, bundle)
    agent.goes()
    assert agent.stop() == 0


def test_a_decider_of_sensors_is_timed_without_them(make_bundle: Any, make_config: Any) -> None:
    more = "sensors: [{name: door, kind: pins, max_age_ms: 100, pins: [{name: a, pin: 4}]}]\n"
    config = make_config(fps=100, more=more)
    config.write_text(config.read_text().replace("{kind: classify,", "{kind: limits, sensor: door, low: 0}  # "))
    path = make_bundle()
    with prepare_trials(config, path, open_bundle(path), fps=100, frames=50) as trials:
        assert trials.run(LoopConfig()).age_p50_ms > 0


def test_an_agent_that_runs_meanwhile_is_mentioned(
    make_bundle: Any, make_config: Any, start_agent: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    config = make_config()
    tune_loop.mention_agent(load_config(config))
    assert capsys.readouterr().err == ""
    agent = start_agent(config, make_bundle())
    agent.goes()
    agent.until(agent.status, "its status")
    tune_loop.mention_agent(load_config(config))
    assert capsys.readouterr().err == (
        f"an agent runs on this device (process {agent.process.pid}): its work is in the figures\n"
    )


def test_an_agent_that_ends_says_why(make_bundle: Any, make_config: Any, tmp_path: Path) -> None:
    config = make_config(fps=100)
    config.write_text(config.read_text().replace("green", "mauve"))
    with pytest.raises(AgentError, match="mauve"):
        tune_loop.tune_loop(make_bundle(), config, frames=50, write=False)


def test_errors_are_those_of_the_agent_and_come_before_any_measuring(make_bundle: Any, make_config: Any) -> None:
    bundle, config = make_bundle(name="other"), make_config()
    with pytest.raises(BadBundleError, match="is a bundle of 'other', this device runs 'light'"):
        tune_loop.tune_loop(bundle, config, frames=50, write=True)
    with pytest.raises(FileMissingError):
        tune_loop.tune_loop(bundle.with_name("none.edge"), config, frames=50, write=True)
    config.write_text(config.read_text() + "...\n")
    with pytest.raises(BadConfigError, match="without changing something else"):
        tune_loop.tune_loop(make_bundle(), config, frames=50, write=True)


@pytest.mark.parametrize("words", [("--write",), ("--config", "a.yaml", "--calibration", "b.json")])
def test_options_that_do_not_go_together_are_refused(make_bundle: Any, words: tuple[str, ...]) -> None:
    done = edge("bench", make_bundle(), *words, "--json")
    assert done.returncode == BadArgumentError.exit_code
    assert json.loads(done.stdout)["error"] == "BadArgumentError"


def test_the_rate_is_that_at_which_the_model_sees_something_new() -> None:
    picture = ImageInput(width=8, height=8, colour="RGB", layout="NHWC")
    series = SeriesInput(window=50, stride=10, columns=("a",))
    sound = AudioInput(
        sample_rate=16000, window=50, stride=25, win_length=400, hop_length=160, n_fft=512, n_mels=40, f_max=8000.0
    )
    assert [tune_loop.frames_per_s(30, contract) for contract in (picture, series, sound)] == [30, 3, 4]


def test_frames_come_no_faster_than_the_model_and_no_slower_than_people_wait() -> None:
    assert tune_loop.bounded(30, inference_ms=1.0) == 30
    assert tune_loop.bounded(30, inference_ms=40.0) == 10
    assert tune_loop.bounded(0.5, inference_ms=1.0) == tune_loop.LEAST_FPS


@pytest.mark.parametrize(
    ("fps", "word"),
    [(10.0, "(not 30: inference would take more than 40% of the time)"), (50.0, "too long"), (30.0, "")],
)
def test_another_rate_than_the_configured_one_is_told(fps: float, word: str) -> None:
    start = Round(age_p50_ms=1.0, age_p99_ms=2.0, loop_p50_ms=0.5)
    tuned = tune_loop.Tuned(
        bundle="a.edge", runtime="litert", frames=50, wanted_fps=30.0, fps=fps, start=start, line="loop: {threads: 1}",
        steps=(Outcome(setting="cpu 1", verdict="not tried: there is no other processor"),),
        loop=settings_of(LoopConfig()), written=False,
    )  # fmt: skip
    assert word in tune_loop.describe(tuned)
    assert ("(not" in tune_loop.describe(tuned)) == bool(word)


def test_a_priority_that_this_user_may_not_have_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_words: object) -> None:
        raise PermissionError

    assert tune_loop.hindrance_of(LoopConfig(cpu=1023)) == "loop.cpu: there is no processor 1023 for this process"
    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert not tune_loop.look_at_machine().may_be_urgent
