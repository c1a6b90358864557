"""Knowing one subject: the decider on hand-made embeddings, and the command on pictures through a real bundle."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from edge.errors import BadConfigError, BadDataError, FileMissingError
from edge_agent.deciders.identity import Identity, Subject, read_subject

MakeBundle = Callable[..., Path]
ACTIONS = ("shut", "open")
SHUT, OPEN = 0, 1


def identity(folder: Path, **options: object) -> Identity:
    subject = Subject(name="mine", model="m", version=1, prototypes=((1.0, 0.0), (0.8, 0.6)), cohort=((0.0, 1.0),))
    path = folder / "mine.subject"
    path.write_bytes(msgspec.json.encode(subject))
    return Identity(Identity.Options(**{"subject": path, "floor": 0.9, "hold_s": 0.0} | options), (), ACTIONS)


def at(angle_deg: float, length: float = 3.0) -> np.ndarray:
    angle = math.radians(angle_deg)
    return np.array([[length * math.cos(angle), length * math.sin(angle)]], np.float32)


def test_the_subject_is_known_by_direction_alone_and_a_stranger_is_not(tmp_path: Path) -> None:
    decider = identity(tmp_path)  # prototypes at 0 and 36.9 degrees, the cohort at 90
    for angle, action in ((5, OPEN), (40, OPEN), (-20, OPEN), (-40, SHUT), (90, SHUT), (180, SHUT)):
        decision = decider.step(at(angle), 0.0)
        assert decision.action == action
        assert 0 <= decision.score <= 1


def test_who_is_as_much_like_the_cohort_is_not_let_in(tmp_path: Path) -> None:
    assert identity(tmp_path).step(at(60), 0.0).action == OPEN
    assert identity(tmp_path, margin=0.1).step(at(60), 0.0).action == SHUT
    assert identity(tmp_path, margin=0.1).step(at(20), 0.0).action == OPEN


def test_it_must_be_known_for_a_while_without_a_break(tmp_path: Path) -> None:
    decider = identity(tmp_path, hold_s=0.3)
    seen = [(0, 0.0), (0, 0.3), (180, 0.4), (0, 0.5), (0, 0.7), (0, 0.85)]
    assert [decider.step(at(a), t).action for a, t in seen] == [SHUT, OPEN, SHUT, SHUT, SHUT, OPEN]


def test_nan_and_nothing_are_nobody(tmp_path: Path) -> None:
    decider = identity(tmp_path)
    for output in (np.full((1, 2), math.nan, np.float32), np.zeros((1, 2), np.float32)):
        assert decider.step(output, 0.0).action == SHUT


def test_a_file_that_is_no_subject_or_of_another_model_is_explained(tmp_path: Path) -> None:
    with pytest.raises(BadConfigError, match="embeddings of 2 values"):
        identity(tmp_path).step(np.ones((1, 3), np.float32), 0.0)
    with pytest.raises(FileMissingError):
        read_subject(tmp_path / "none")
    (tmp_path / "odd").write_text('{"name": "a", "model": "m", "version": 1, "prototypes": [[1, 0], [1]]}')
    (tmp_path / "junk").write_bytes(b"\xff")
    for name in ("odd", "junk"):
        with pytest.raises(BadDataError):
            read_subject(tmp_path / name)


def paint(folder: Path, name: str, bgr: tuple[int, int, int]) -> None:
    folder.mkdir(exist_ok=True)
    assert cv2.imwrite(str(folder / f"{name}.png"), np.full((32, 32, 3), bgr, np.uint8))


def test_the_command_enrols_pictures_and_says_how_alike_they_are(make_bundle: MakeBundle, tmp_path: Path) -> None:
    for index, red in enumerate((180, 200, 220)):
        paint(tmp_path / "own", str(index), (10, 10, red))
    paint(tmp_path / "others", "0", (200, 10, 10))
    out = tmp_path / "red.subject"
    done = subprocess.run(
        [sys.executable, "-m", "edge.cli", "enrol-subject", str(make_bundle(gain=2.0)), "--pictures",
         str(tmp_path / "own"), "--cohort", str(tmp_path / "others"), "-o", str(out), "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["subject"], told["pictures"], told["cohort"]) == ("red", 3, 1)
    assert told["lowest_own"] > told["highest_other"]
    subject = read_subject(out)
    assert (subject.model, subject.version, len(subject.prototypes), len(subject.cohort)) == ("light", 1, 3, 1)
    assert all(math.isclose(sum(x * x for x in vector), 1.0, abs_tol=1e-5) for vector in subject.prototypes)
