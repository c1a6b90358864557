"""What a worker does with its time: seeds first, nothing twice, and an end when nothing is left."""

from collections.abc import Callable
from random import Random

import pytest

pytest.importorskip("optuna", reason="needs edgewright[tune]")

from msgspec.structs import replace

from compiler.candidate import Candidate
from compiler.plan import Plan
from compiler.tuning.bound import Bound
from compiler.tuning.space import Space
from compiler.tuning.study import Book, join
from compiler.tuning.tried import Tried
from compiler.tuning.worker import Worker
from edge.errors import BadModelError
from edge.manifest import TensorInput, TensorSpec, Variant

BOUND = Bound(
    model="a", data="b", input=TensorInput(shape=(4,)), labels=(), label_column="label", task="regress", metric="mae",
    target="raspberrypi4", facts="c", runtime="litert", unit="KiB", code="d", tools={},
)  # fmt: skip
SPACE = Space("litert", ("int8",))
SEEDS = (Plan("litert"), Plan("litert", "int8"), Plan("litert", "int8", ranges="mse"))


class Bench:
    """Makes a file for each kind of ranges; `equalize` changes none; `moving-average` cannot be built."""

    def __init__(self) -> None:
        self.built: list[Plan] = []
        self.measured: list[Plan] = []

    def build(self, plan: Plan) -> Candidate:
        self.built.append(plan)
        if plan.ranges == "moving-average":
            raise BadModelError("no", remedy="none")
        content = f"{plan.precision} {plan.ranges} {plan.percent} {set(plan.passes) - {'equalize'}}".encode()
        spec = TensorSpec(name="x", shape=(1, 2), dtype="float32")
        variant = Variant(
            runtime="litert", dtype="int8", file="m", sha256=content.hex(), size_bytes=9, input=spec, outputs=(spec,)
        )
        return Candidate("litert", "int8", content, variant, "", plan)

    def measure(self, plan: Plan, candidate: Candidate) -> Tried:
        self.measured.append(plan)
        better = {"mse": 4.0, "percentile": plan.percent / 50}.get(plan.ranges, 1.0) + len(plan.passes) / 9
        return Tried(
            plan=str(plan), sqnr_db=better, drop=0, agreement=1, cost=2, size_bytes=9, sha256=candidate.variant.sha256,
            predicted=None, ms=1, core="a", note="",
        )  # fmt: skip

    def retold(self, plan: Plan, candidate: Candidate, seen: Tried) -> Tried:
        assert seen.sha256 == candidate.variant.sha256
        return replace(seen, plan=str(plan))


@pytest.fixture
def worker() -> Callable[[], tuple[Worker, Bench, list[str]]]:
    from optuna.storages import InMemoryStorage

    storage = InMemoryStorage()

    def make() -> tuple[Worker, Bench, list[str]]:
        bench, heard = Bench(), list[str]()
        book: Book = join(storage, "s", BOUND)
        book.steer(1)
        one = Worker(book, bench, SPACE, SEEDS, Random(1), lambda found: heard.append(found.plan), stale=1)
        return one, bench, heard

    return make


def test_the_plans_of_an_effort_come_first_and_later_workers_do_not_repeat_them(
    worker: Callable[[], tuple[Worker, Bench, list[str]]],
) -> None:
    first, _, heard = worker()
    first.go(trials=5)
    assert heard[:3] == [str(seed) for seed in SEEDS]
    second, bench, more = worker()
    second.go(trials=5)
    assert not {str(plan) for plan in bench.measured} & set(heard)
    assert not set(more) & set(heard)


def test_a_worker_ends_when_every_plan_was_tried_once_and_each_file_measured_once(
    worker: Callable[[], tuple[Worker, Bench, list[str]]],
) -> None:
    one, bench, heard = worker()
    one.go(trials=1000)
    assert one.exhausted
    everything = {*SPACE.plans(), *SEEDS}
    assert len(bench.built) == len(set(bench.built)) == len(everything)
    assert set(bench.built) == everything
    assert one.refused == 8  # moving-average with each set of passes
    assert len(heard) == one.measured == len(everything) - 8
    files = [bench.build(plan).variant.sha256 for plan in bench.measured]
    assert len(files) == len(set(files))
    assert len(one.book.tried()) == one.measured


def test_time_is_an_end_too(worker: Callable[[], tuple[Worker, Bench, list[str]]]) -> None:
    one, bench, _ = worker()
    one.go(trials=1000, seconds=0)
    assert bench.built == []
