"""Who measures what: real processes, one of them killed, on every kind of storage."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Barrier, Thread

import pytest

pytest.importorskip("optuna", reason="needs edgewright[tune]")

from compiler.tuning.bound import Bound
from compiler.tuning.storage import open_storage, shown
from compiler.tuning.study import Book, TakenError, join, read
from compiler.tuning.tried import Tried
from edge.errors import StudyError
from edge.manifest import TensorInput

GRACE_S = 5
BOUND = Bound(
    model="a", data="b", input=TensorInput(shape=(4,)), labels=(), label_column="label", task="regress", metric="mae",
    target="raspberrypi4", facts="c", runtime="litert", unit="KiB", code="d", tools={},
)  # fmt: skip
PLAN, ANOTHER = "litert int8", "litert int8 ranges=mse"
HANGS = """
import sys, time
from tests_study import *
book = open_book(sys.argv[1])
def hang(trial):
    assert book.claim(trial, sys.argv[2]) is None
    print("claimed", flush=True)
    time.sleep(600)
book.study.optimize(hang, n_trials=1)
"""


def open_book(url: str) -> Book:
    """Join the study of these tests; who is silent for GRACE_S is dead, whatever the storage."""
    book = join(open_storage(url, grace_s=GRACE_S), "s", BOUND)
    return replace(book, lease_s=min(book.lease_s, GRACE_S))


def found(plan: str) -> Tried:
    return Tried(
        plan=plan, sqnr_db=30, drop=0, agreement=1, cost=2, size_bytes=9, sha256=plan, predicted=None, ms=1, core="a",
        note="",
    )  # fmt: skip


def once(book: Book, plan: str) -> str:
    """Run one trial of a plan; says what became of it."""
    said = []

    def objective(trial: object) -> tuple[float, float]:
        try:
            known = book.claim(trial, plan)  # type: ignore[arg-type]
        except TakenError:
            said.append("taken")
            raise
        said.append("measured" if known is None else "known")
        book.keep(trial, known or found(plan))  # type: ignore[arg-type]
        return 30.0, 2.0

    book.bury()
    book.study.optimize(objective, n_trials=1, catch=(TakenError,))
    return said[0]


@pytest.fixture(params=["sqlite", "journal", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "postgresql":
        base = str(request.getfixturevalue("postgres_url"))
        yield base.replace("postgresql+psycopg", "postgresql")
    else:
        yield f"{request.param}:///{tmp_path / 'study'}"


def test_a_killed_worker_blocks_its_plan_for_the_grace_only_and_other_plans_never(url: str, tmp_path: Path) -> None:
    (tmp_path / "tests_study.py").write_text(Path(__file__).read_text("utf-8"), "utf-8")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    book = open_book(url)
    hung = subprocess.Popen(
        [sys.executable, "-c", HANGS, url, PLAN],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    try:
        assert hung.stdout is not None
        assert hung.stdout.readline() == "claimed\n"
        assert once(book, PLAN) == "taken"
        assert once(book, ANOTHER) == "measured"
        hung.send_signal(signal.SIGKILL)
        hung.wait(10)
        assert once(book, ANOTHER) == "known"
        deadline = time.monotonic() + 30
        while (last := once(book, PLAN)) == "taken" and time.monotonic() < deadline:
            time.sleep(0.5)
        assert last == "measured"
        assert {one.plan for one in book.tried()} == {PLAN, ANOTHER}
        book.bury()
        states = [one.state.name for one in book.study.get_trials(deepcopy=False)]
        assert "RUNNING" not in states
    finally:
        hung.kill()
        hung.wait(10)


def test_of_workers_that_claim_a_plan_at_the_same_moment_one_measures_it(tmp_path: Path) -> None:
    url, together, said = f"sqlite:///{tmp_path / 'study.db'}", Barrier(4), []
    open_book(url)

    def work() -> None:
        book = open_book(url)
        for number in range(3):
            together.wait(30)
            said.append((number, once(book, f"{PLAN} ranges={number}")))

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(said) == 12
    assert sorted(number for number, what in said if what == "measured") == [0, 1, 2]


def test_a_study_of_something_else_or_of_nobody_is_refused(tmp_path: Path) -> None:
    import msgspec
    import optuna

    url = f"sqlite:///{tmp_path / 'study.db'}"
    open_book(url)
    with pytest.raises(StudyError, match="another target"):
        join(open_storage(url), "s", msgspec.structs.replace(BOUND, target="x86-64"))
    with pytest.raises(StudyError, match="no study 't' lies there; there are 's'"):
        read(open_storage(url), "t")
    optuna.create_study(storage=url, study_name="strange")
    with pytest.raises(StudyError, match="no study of this release"):
        read(open_storage(url), "strange")


def test_a_place_that_cannot_be_opened_is_named_without_its_password(tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path}/absent/study.db", f"journal:///{tmp_path}/absent/study.log"):
        with pytest.raises(StudyError, match="absent"):
            open_storage(url)
    with pytest.raises(StudyError, match="no URL"):
        open_storage("study.db")
    assert "secret" not in shown("postgresql://me:secret@host/db")
