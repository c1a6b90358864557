"""`edge tune`, `edge compile --study`: two processes share a study, it goes on later, and a recipe needs it no more."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna", reason="needs edgewright[tune]")
pytest.importorskip("litert_torch", reason="needs edgewright[tflite]")

from compiler.tuning.front import front
from compiler.tuning.storage import open_storage
from compiler.tuning.study import read
from edge.cli import run
from edge.errors import BadArgumentError, StudyError

EACH, NAME = 9, "small@raspberrypi4"


def words(model: Path, data: Path, *more: str | Path) -> list[str]:
    return [str(model), "--data", str(data), "--target", "raspberrypi4", *map(str, more)]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('study') / 'study.db'}"


@pytest.fixture(scope="module")
def both(url: str, tuned_model: Path, tuned_data: Path) -> list[dict[str, Any]]:
    """What two processes say that began a study at the same time, each without a cache."""
    more = ("--study", url, "--trials", str(EACH), "--no-cache", "--json")
    command = [sys.executable, "-m", "edge.cli", "tune", *words(tuned_model, tuned_data, *more)]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [worker.communicate(timeout=300) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said
    return [json.loads(out) for out, _ in said]


def test_two_processes_share_a_study_and_measure_no_plan_twice(url: str, both: list[dict[str, Any]]) -> None:
    assert [len(one["here"]) for one in both] == [EACH, EACH]
    assert not set(both[0]["here"]) & set(both[1]["here"])
    book = read(open_storage(url), NAME)
    trials = book.study.get_trials(deepcopy=False)
    measured = [one.user_attrs["found"]["plan"] for one in trials if "found" in one.user_attrs]
    assert sorted(measured) == sorted(both[0]["here"] + both[1]["here"])
    last = max(both, key=lambda one: int(one["tried"]))  # whoever ended later has seen all
    assert [point["plan"] for point in last["front"]] == [one.plan for one in front(book.tried())]


def test_it_goes_on_where_it_ended_and_every_worker_sees_the_same_front(
    url: str, both: list[dict[str, Any]], tuned_model: Path, tuned_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert run(["tune", *words(tuned_model, tuned_data, "--study", url, "--trials", "1", "--json")]) == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["tried"], second["tried"]) == (2 * EACH + 1, 2 * EACH + 2)
    assert not set(first["here"]) & set(both[0]["here"] + both[1]["here"])
    best = {point["plan"]: point["sqnr_db"] for point in both[0]["front"] + both[1]["front"]}
    for point in second["front"]:  # what was measured by one process is the same number to all others
        assert best.get(point["plan"], point["sqnr_db"]) == point["sqnr_db"]
    last = max(both, key=lambda one: int(one["tried"]))
    assert last["tried"] == 2 * EACH
    float32 = next(point for point in last["front"] if point["plan"] == "litert float32")
    assert float32["normal"]
    assert float32["sqnr_db"] == 150


@pytest.mark.usefixtures("both")
def test_a_compile_proves_the_front_and_its_recipe_gives_the_same_bytes_without_the_study(
    url: str, tuned_model: Path, tuned_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, again = tmp_path / "a.edge", tmp_path / "b.edge"
    assert run(["compile", *words(tuned_model, tuned_data, "--study", url, "-o", bundle, "--json")]) == 0
    told = json.loads(capsys.readouterr().out)
    plans = {one["plan"] for one in told["candidates"]}
    assert plans <= {one.plan for one in front(read(open_storage(url), NAME).tried())}
    assert {"litert float32"} < plans
    assert url not in (tmp_path / "a.report" / "report.json").read_text("utf-8")
    recipe = str(tmp_path / "a.report" / "report.json")
    model = [str(tuned_model), "--data", str(tuned_data), "--recipe", recipe, "--no-cache", "-o", str(again), "--json"]
    assert run(["compile", *model]) == 0
    assert again.read_bytes() == bundle.read_bytes()


@pytest.mark.usefixtures("both")
def test_another_model_is_refused_by_tune_and_by_compile(
    url: str, other_model: Path, tuned_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["tune", *words(other_model, tuned_data, "--study", url, "--trials", "1")]) == StudyError.exit_code
    assert f"study '{NAME}' was made for another model" in capsys.readouterr().err
    assert run(["compile", *words(other_model, tuned_data, "--study", url)]) == BadArgumentError.exit_code
    assert "the study is of another model" in capsys.readouterr().err


def test_what_a_study_says_already_is_not_said_again(
    url: str, tuned_model: Path, tuned_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for more in (("--effort", "quick"), ("--task", "classify"), ("--metric", "top5"), ("--state", "h=1")):
        assert run(["compile", *words(tuned_model, tuned_data, "--study", url, *more)]) == BadArgumentError.exit_code
        assert "--study says already" in capsys.readouterr().err
    alone = words(tuned_model, tuned_data, "--study-name", "mine")
    assert run(["compile", *alone]) == BadArgumentError.exit_code
    for more in (("--trials", "0"), ("--minutes", "-1")):
        assert run(["tune", *words(tuned_model, tuned_data, "--study", url, *more)]) == BadArgumentError.exit_code
