"""The commands of `edge fleet`: one clear line and the right exit code for what goes wrong."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge.errors import BadConfigError, EdgeError, FileMissingError
from fleet.plan import Plan
from fleet.rollout_cli import read_plan


def edge(*words: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "edge.cli", "fleet", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_init_prints_one_object_and_a_second_one_is_refused(tmp_path: Path) -> None:
    made = edge("init", tmp_path / "dir", "--keys", tmp_path / "keys", "--tenant", "acme", "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["tenant"] == "acme"
    again = edge("init", tmp_path / "dir", "--keys", tmp_path / "more", "--json")
    assert again.returncode == 2
    assert json.loads(again.stdout).keys() == {"error", "problem", "remedy"}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["status", "--dir", "."], 20),
        (["enrol", "car-1", "--dir", "."], 20),
        (["pictures", "car-1", "--dir", "."], 20),
        (["rollout", "start", "m", "1", "--plan", "missing.yaml"], 20),
        (["publish", "missing.edge", "--keys", "keys", "--fleet", "https://127.0.0.1:1"], 20),
    ],
)
def test_a_command_that_finds_no_fleet_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = edge(*words, "--json")
    assert answer.returncode == code, answer.stderr
    assert json.loads(answer.stdout)["remedy"]


def test_without_a_running_service_a_command_says_how_to_start_one(fleet: Any) -> None:
    answer = edge("status", "--dir", fleet.folder.root, "--json")
    assert answer.returncode == 18
    assert "edge fleet serve" in json.loads(answer.stdout)["remedy"]


def test_a_plan_comes_from_a_file_with_options_over_it(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("waves: [0.5, 1.0]\nsoak_s: 5\n")
    plan = read_plan(path, {"soak_s": 6.0})
    assert (plan.waves, plan.soak_s) == ((0.5, 1.0), 6.0)
    assert read_plan(None, {}) == Plan()


@pytest.mark.parametrize(
    "text", ["soka_s: 5", "[1, 2]", "waves: []", "waves: {", "just words", "soak_s: .nan", "soak_s: 9e9"]
)
def test_a_plan_that_cannot_be_meant_is_one_known_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    with pytest.raises(BadConfigError) as caught:
        read_plan(path, {})
    assert "soak_s" in caught.value.remedy


def test_a_plan_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileMissingError):
        read_plan(tmp_path / "none.yaml", {})
    assert issubclass(BadConfigError, EdgeError)
