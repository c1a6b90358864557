"""The benchmark's own arithmetic: a wrong test or rule there would praise or blame the wrong tool."""

import sys
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def siblings(monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (Path(__file__).parent, Path(__file__).parents[1]):
        monkeypatch.syspath_prepend(str(folder))
    yield  # type: ignore[misc]
    for name in ("figures", "cells"):
        sys.modules.pop(name, None)


def one_hot(right: list[bool]) -> np.ndarray:
    return np.array([[0.0, 1.0] if each else [1.0, 0.0] for each in right], np.float32)


def test_the_exact_mcnemar_test_counts_only_samples_on_which_two_files_differ() -> None:
    from figures import mcnemar

    truth = np.ones(40, np.int64)
    ours = one_hot([True] * 40)
    theirs = one_hot([True] * 30 + [False] * 10)
    assert mcnemar(ours, theirs, truth) == pytest.approx(2 * 0.5**10)
    assert mcnemar(ours, ours, truth) == 1.0


def test_better_needs_the_test_or_half_a_decibel_and_never_a_worse_metric() -> None:
    from figures import Paired

    assert Paired(p=0.01, gain=0.02, gain_db=-3).better
    assert Paired(p=0.8, gain=0.0, gain_db=0.6).better
    assert not Paired(p=0.8, gain=0.01, gain_db=0.4).better
    assert not Paired(p=0.01, gain=-0.02, gain_db=9).better
    assert Paired(p=0.01, gain=-0.02, gain_db=9).worse


def test_a_file_that_loses_more_than_a_point_has_collapsed() -> None:
    from figures import Judged

    def lost(drop: float) -> Judged:
        return Judged(metric="accuracy", value=0.9, drop=drop, sqnr_db=20, agreement=1, size_bytes=1, seconds_p50=1e-3)

    assert lost(0.011).collapsed
    assert not lost(0.01).collapsed


def test_the_bootstrap_sees_a_lost_auc_and_finds_nothing_between_equal_scores() -> None:
    from figures import bootstrap

    rng = np.random.default_rng(1)
    truth = (np.arange(200) % 2).astype(np.int64)
    good = (truth + rng.normal(0, 0.3, 200))[:, None]
    noise = rng.normal(0, 1, (200, 1))
    assert bootstrap("auc", good[:, 0], noise[:, 0], truth) < 0.05
    assert bootstrap("auc", good[:, 0], good[:, 0], truth) == 1.0


def test_a_cell_that_fails_says_why_without_any_path(tmp_path: Path) -> None:
    from cells import run

    words = [sys.executable, "-c", f"raise ValueError('no {tmp_path}/model.onnx')"]
    found = run(words, tmp_path / "log")
    assert found.state == "failed"
    assert found.reason.startswith("ValueError: no ...")
    assert str(tmp_path) not in found.reason
