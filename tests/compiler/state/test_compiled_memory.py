"""A network with a memory is compiled, tuned and evaluated as any other."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from memories import GATHERER, drifting, request_to, saved

from compiler.evaluate import evaluate_bundle
from compiler.load import load_model
from compiler.opening import open_subject
from compiler.packing import Order
from compiler.pipeline import compile_model
from compiler.result import Compiled
from edge import console
from edge.bundle import open_bundle
from edge.errors import BadModelError, StudyError, TargetUnsupportedError
from edge.manifest import TaskName
from edge.runtimes import check_golden, open_session


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory, gatherer: Path) -> tuple[Compiled, Path]:
    """Which of two sides has it drifted to so far: one label a step."""
    folder = tmp_path_factory.mktemp("whole")
    x = drifting(160, 40, seed=3)
    model = load_model(str(gatherer), GATHERER)
    y = np.stack([[int(out.argmax()) for out in model.unroll(sequence)] for sequence in x])
    data = saved(folder / "d.npz", x=x, y=y)
    return compile_model(request_to(folder, gatherer, data), stage=console.progress, warn=lambda _: None), data


@pytest.mark.parametrize(
    ("task", "target", "error", "said"),
    [
        ("detect", "raspberrypi4", BadModelError, "a detector with a state"),
        ("classify", "rk3588", TargetUnsupportedError, "no network with a state"),
    ],
)
def test_a_memory_is_refused_where_nothing_would_carry_it(
    tmp_path: Path, gatherer: Path, task: TaskName, target: str, error: type[Exception], said: str
) -> None:
    asked = replace(request_to(tmp_path, gatherer, tmp_path), task=task, order=Order(target=target))
    with pytest.raises(error, match=said):
        open_subject(asked, console.progress)


def test_a_compiled_memory_says_so_and_holds_its_golden_sequence(compiled: tuple[Compiled, Path]) -> None:
    result, data = compiled
    bundle = open_bundle(result.bundle)
    manifest = bundle.manifest
    assert (manifest.format, manifest.stateful, manifest.provenance.recipe["state"]) == (2, True, "h=h_next")
    assert result.main.quality.samples == len(result.split.report) == 96  # sequences, not steps
    assert manifest.quality.agreement > 0.95
    assert bundle.golden.input.shape == (16, 2)
    assert bundle.baseline.scores.sum() == 96 * 40  # a device counts every step
    for variant in manifest.variants:
        session = open_session(bundle, variant=variant)
        assert check_golden(bundle, session, invocations=3).samples == 16
        assert check_golden(bundle, session, invocations=3).samples == 16  # from its beginning again
        session.close()
    evaluated = evaluate_bundle(result.bundle, data, label_column="label", stage=console.progress)
    assert evaluated.samples == 160
    assert all(one.agreement > 0.95 for one in evaluated.variants)


def test_a_compiled_memory_is_compiled_to_the_same_bytes(
    tmp_path: Path, gatherer: Path, compiled: tuple[Compiled, Path]
) -> None:
    result, data = compiled
    again = compile_model(request_to(tmp_path, gatherer, data), stage=console.progress, warn=lambda _: None)
    assert again.bundle.read_bytes() == result.bundle.read_bytes()


def test_a_study_of_a_memory_searches_with_its_state_and_gives_it_to_the_compile(
    tmp_path: Path, gatherer: Path, compiled: tuple[Compiled, Path]
) -> None:
    pytest.importorskip("optuna", reason="needs edgewright[tune]")
    from compiler.tuning.bound import Bound, hold_same
    from compiler.tuning.recall import ask_again, recall
    from compiler.tuning.tune import Quest, tune_model

    url, asked = f"sqlite:///{tmp_path / 'study.db'}", request_to(tmp_path, gatherer, compiled[1])
    tuned = tune_model(asked, Quest(url, "memory", trials=4), stage=console.progress, warn=lambda _: None)
    assert any("float-state" in one.plan for one in tuned.tried)
    with pytest.raises(StudyError, match="other states"):
        hold_same("memory", tuned.bound, msgspec.structs.replace(tuned.bound, states="h=0"))
    old = {name: value for name, value in msgspec.to_builtins(tuned.bound).items() if name != "states"}
    assert msgspec.convert(old, Bound).states == ""  # of a study from before there were states
    again = ask_again(replace(asked, states=()), recall(url, "memory"))
    assert again.states == GATHERER
    made = compile_model(again, stage=console.progress, warn=lambda _: None)
    assert open_bundle(made.bundle).manifest.stateful
    assert {str(one.candidate.plan) for one in made.measured} <= {one.plan for one in tuned.tried}
