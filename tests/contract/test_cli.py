"""The edge command: light to start, one way to fail, and a machine can read every answer."""

import errno
import importlib
import inspect
import json
import logging
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from edge import __version__, cli, errors
from edge.failure import BUG, explain

HEAVY = {"torch", "onnx", "onnxruntime", "cv2", "paho", "numpy", "tuf", "nicegui", "sqlalchemy", "ai_edge_litert"}
EDGE = [sys.executable, "-m", "edge.cli"]


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def edge(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run a command in this process: edge("targets", "--json")."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def run(*words: str) -> Done:
        capsys.readouterr()
        code = cli.run(list(words))
        return Done(code, *capsys.readouterr())

    yield run
    root.handlers[:], root.level = handlers, level


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["fleet", "--help"], ["fleet", "rollout", "--help"], ["targets"]]
)
def test_looking_around_loads_nothing_heavy(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "edge.cli", *words], capture_output=True, text=True, check=True
    )
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert "edge" in loaded
    assert loaded & HEAVY == set()


def test_help_takes_at_most_three_times_a_bare_cyclopts_help() -> None:
    bare = (
        "from cyclopts import App\napp = App(name='bare', version='1')\n@app.command\ndef go(): pass\napp(['--help'])"
    )
    ours, bares = [], []
    for _ in range(5):  # in turns, so that a busy machine slows both alike
        for command, times in (([*EDGE, "--help"], ours), ([sys.executable, "-c", bare], bares)):
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            times.append(time.perf_counter() - start)
    assert statistics.median(ours) <= 3 * statistics.median(bares)


@pytest.mark.parametrize("command", cli.COMMANDS, ids=lambda c: c.words)
def test_every_command_of_the_table_exists_and_has_a_docstring(command: cli.Command) -> None:
    module, _, name = command.function.partition(":")
    function = getattr(importlib.import_module(module), name)
    assert inspect.getdoc(function)
    assert command.help.endswith(".")


def test_help_lists_the_commands_in_the_order_of_a_models_life(edge: Run) -> None:
    out = edge("--help").stdout
    words = [c.words.split()[0] for c in cli.COMMANDS]
    places = [out.index(f"\u2502 {word} ") for word in dict.fromkeys(words)]
    assert places == sorted(places)


def test_version_is_one_line(edge: Run) -> None:
    assert edge("--version").stdout == f"{__version__}\n"


def test_a_called_command_shows_its_options(edge: Run) -> None:
    out = edge("inspect", "--help").stdout
    assert "BUNDLE" in out
    assert "--json" in out


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["inspct"], "no command `edge inspct`; did you mean inspect?"),
        (["fleet", "statsu"], "no command `edge fleet statsu`; did you mean status?"),
        (["inspect"], "requires an argument"),
        (["inspect", "x", "--jsn"], "did you mean --json?"),
        (["targets", "a", "b"], "b"),
    ],
)
def test_a_wrong_word_is_one_line_and_exit_code_2(edge: Run, words: list[str], problem: str) -> None:
    done = edge(*words)
    assert done.returncode == 2
    assert problem.lower() in done.stderr.lower()
    assert done.stderr.count("\n") == 2
    assert done.stderr.startswith("error: ")
    assert "\n  fix: see `edge" in done.stderr


def test_an_error_has_its_exit_code_two_lines_and_with_json_one_object(edge: Run) -> None:
    plain, machine = edge("targets", "raspbery4"), edge("targets", "raspbery4", "--json")
    assert plain.returncode == machine.returncode == errors.UnknownTargetError.exit_code
    assert plain.stdout == ""
    assert plain.stderr.splitlines()[0] == "error: no target 'raspbery4'"
    assert plain.stderr.splitlines()[1].startswith("  fix: did you mean raspberrypi4?")
    answer = json.loads(machine.stdout)
    assert answer["error"] == "UnknownTargetError"
    assert set(answer) == {"error", "problem", "remedy"}


def test_a_missing_bundle_says_so(edge: Run) -> None:
    done = edge("inspect", "none-1.edge")
    assert done.returncode == errors.FileMissingError.exit_code
    assert "no bundle none-1.edge" in done.stderr


def test_inspect_prints_the_whole_bundle_for_people_and_machines(edge: Run, make_bundle: Callable[..., Path]) -> None:
    path = str(make_bundle())
    assert "tiny version 1, for x86-64" in edge("inspect", path).stdout
    answer = json.loads(edge("inspect", path, "--json").stdout)
    assert answer["manifest"]["quality"]["float"] == 0.9
    assert answer["golden_samples"] == 3


def test_targets_are_listed_and_shown(edge: Run) -> None:
    listed = json.loads(edge("targets", "--json").stdout)["targets"]
    assert {t["name"] for t in listed} >= {"raspberrypi4", "rk3588"}
    assert json.loads(edge("targets", "x86-64", "--json").stdout)["runtimes"][0] == "litert"
    assert "Rockchip RK3588" in edge("targets").stdout


def failing(monkeypatch: pytest.MonkeyPatch, exc: BaseException) -> None:
    def fail(*_: object) -> int:
        raise exc

    monkeypatch.setattr(cli, "_call", fail)


def test_a_bug_is_called_a_bug_and_traced_only_with_v(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, KeyError("x"))
    assert cli.run(["targets"]) == BUG
    assert capsys.readouterr().err.splitlines()[0] == "error: a bug in edge: KeyError: 'x'"
    assert cli.run(["targets", "-v", "--json"]) == BUG
    out, err = capsys.readouterr()
    assert "Traceback" in err
    assert json.loads(out)["error"] == "Bug"


def test_an_interrupted_command_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, KeyboardInterrupt())
    assert cli.run(["targets"]) == 130


@pytest.mark.parametrize(
    ("name", "tokens", "extra"),
    [
        ("torch", ["compile"], "compiler"),
        ("paho.mqtt", ["run"], "agent"),
        ("tuf", ["fleet", "publish"], "fleet"),
        ("litert_torch", [], "tflite"),
        ("cv2", ["demo", "stop-go"], "demos"),
    ],
)
def test_a_missing_package_names_the_extra_that_brings_it(name: str, tokens: list[str], extra: str) -> None:
    wrapped = ImportError("Cannot import module")
    wrapped.__cause__ = ModuleNotFoundError(f"No module named {name!r}", name=name)
    failure = explain(wrapped, tokens)
    assert failure.code == errors.MissingExtraError.exit_code
    assert failure.remedy == f"pip install 'edgewright[{extra}]'"


def test_a_missing_module_of_ours_is_a_bug() -> None:
    assert explain(ModuleNotFoundError("No module named 'fleet.x'", name="fleet.x")).code == BUG


@pytest.mark.parametrize(
    ("number", "path", "kind"),
    [
        (errno.ENOSPC, "slots/a", errors.DiskFullError),
        (errno.EADDRINUSE, None, errors.PortTakenError),
        (errno.ENOENT, "x.toml", errors.FileMissingError),
        (errno.ECONNREFUSED, None, errors.BrokerError),
        (errno.EACCES, "keys", errors.EdgeError),
    ],
)
def test_what_the_system_refuses_has_its_exit_code(number: int, path: str | None, kind: type[errors.EdgeError]) -> None:
    failure = explain(OSError(number, os.strerror(number), path))
    assert (failure.error, failure.code) == (kind.__name__, kind.exit_code)
    assert path is None or path in failure.problem


def test_a_reader_that_leaves_early_is_no_error() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m edge.cli targets --json | true; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout.strip() in {"0", "141"}


def test_verbosity_is_taken_anywhere_but_not_behind_two_dashes() -> None:
    assert cli.take_verbosity(["-v", "run", "x", "-q", "--", "-v"]) == (["run", "x", "--", "-v"], 0)
    assert cli.take_verbosity(["run", "-vv"]) == (["run"], 2)
    assert cli.take_verbosity(["--quiet", "run"]) == (["run"], -1)


def test_completion_scripts_can_be_made() -> None:
    script = cli.build_app().generate_completion(shell="bash")
    assert "fleet" in script
    assert "rollout" in script


def test_every_error_has_an_exit_code_of_its_own() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.EdgeError)]
    codes = [kind.exit_code for kind in kinds]
    assert len(set(codes)) == len(codes)
    assert not set(codes) & {0, BUG, cli.INTERRUPTED, cli.BROKEN_PIPE}
