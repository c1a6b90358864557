"""`edge compile` and `edge evaluate` as a person or a script calls them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from compiler.cli import share
from edge.errors import BadArgumentError

EDGE = Path(sys.executable).with_name("edge")


def edge(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([EDGE, *words], cwd=cwd, capture_output=True, text=True, check=False, timeout=240)


def test_json_is_one_object_on_stdout_and_people_are_told_on_stderr(
    tmp_path: Path, colour_model: Path, colour_pictures: Path
) -> None:
    done = edge("compile", colour_model, "--target", "x86-64", "--data", colour_pictures, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert Path(result["bundle"]) == Path("colour-1.edge")
    assert (tmp_path / "colour-1.edge").stat().st_size == result["size_bytes"]
    assert (tmp_path / "colour-1.report" / "report.html").is_file()
    assert result["chosen"]["runtime"] == "litert"
    assert set(result["quality"]) == {
        "metric", "float", "compiled", "drop", "ci95", "upper95", "agreement", "samples", "verdict",
    }  # fmt: skip
    assert result["contract"]["verdict"] == result["quality"]["verdict"] == "unproven"
    assert result["samples"] == {"calibrate": 24, "select": 24, "report": 72}
    assert all({"core", "runtime", "kind", "ms", "low", "high"} <= set(one) for one in result["latency"])
    assert "only 72 samples to prove with" in done.stderr
    assert "warning: unproven: accuracy drops by" in done.stderr

    words = ("evaluate", "colour-1.edge", "--data", colour_pictures)
    evaluated = json.loads(edge(*words, "--json", cwd=tmp_path).stdout)
    assert {"runtime", "dtype", "metric", "value", "agreement", "p50_ms"} == set(evaluated["variants"][0])
    assert evaluated["samples"] == 120
    table = edge(*words, cwd=tmp_path)
    assert "same decision" in table.stdout
    assert "120 samples" in table.stdout


def test_a_person_gets_a_table_the_classes_and_the_reason(
    tmp_path: Path, colour_model: Path, colour_pictures: Path
) -> None:
    words = ("compile", colour_model, "--target", "raspberrypi4", "--data", colour_pictures, "-o", "my.edge")
    done = edge(*words, "--name", "paint", "--model-version", "7", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for part in ("classes: 0 blue, 1 green, 2 red", "chosen:", "runs", "my.edge", "my.report/report.html"):
        assert part in done.stdout
    assert "paint version 7" in edge("inspect", "my.edge", cwd=tmp_path).stdout


@pytest.mark.parametrize(("text", "value"), [("1%", 0.01), ("0.02", 0.02), ("0", 0.0), ("100%", 1.0)])
def test_a_share_is_read_with_or_without_a_percent_sign(text: str, value: float) -> None:
    assert share(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["one", "-1%", "2", "nan", ""])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(BadArgumentError, match="is no share"):
        share(text)


def test_a_budget_that_cannot_be_kept_ends_with_its_code_the_options_and_no_bundle(
    tmp_path: Path, colour_model: Path, colour_pictures: Path
) -> None:
    words = ("compile", colour_model, "--target", "raspberrypi4", "--data", colour_pictures, "--json")
    done = edge(*words, "--max-drop", "1%", cwd=tmp_path)
    assert done.returncode == 5
    answer = json.loads(done.stdout)
    assert answer["error"] == "BudgetUnprovenError"
    assert any("--max-drop" in option for option in answer["options"])
    assert "  or:  " in done.stderr
    assert list(tmp_path.iterdir()) == []

    done = edge(*words, "--max-drop", "1%", "--accept-unproven", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["quality"]["verdict"] == "unproven"
    assert "budget    unproven: at most" in edge("inspect", "colour-1.edge", cwd=tmp_path).stdout


def test_a_time_is_no_promise_where_nobody_can_predict_it(
    tmp_path: Path, colour_model: Path, colour_pictures: Path
) -> None:
    words = ("compile", colour_model, "--target", "raspberrypi4", "--data", colour_pictures)
    done = edge(*words, "--max-ms", "30", cwd=tmp_path)
    assert done.returncode == 5
    assert "nobody can say how long it takes" in done.stderr
    assert edge(*words, "--max-ms", "-1", cwd=tmp_path).returncode == 2
