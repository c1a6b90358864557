"""What no other plan beats; and for what a study was made."""

from itertools import permutations

import pytest
from msgspec.structs import replace

from compiler.plan import Plan
from compiler.tuning.bound import Bound, hold_same
from compiler.tuning.front import front, front_plans, gains, unbeaten
from compiler.tuning.tried import Tried
from edge.errors import StudyError
from edge.manifest import TensorInput


def tried(plan: str, sqnr_db: float, cost: float) -> Tried:
    return Tried(
        plan=plan, sqnr_db=sqnr_db, drop=0, agreement=1, cost=cost, size_bytes=9, sha256=plan, predicted=None, ms=1,
        core="a", note="",
    )  # fmt: skip


FLOAT, PLAIN, MSE = tried("litert float32", 150, 9), tried("litert int8", 30, 2), tried("litert int8 ranges=mse", 33, 2)
SMALL, LARGE = tried("litert mixed float=a", 32, 3), tried("litert mixed float=a,b", 40, 4)
OTHER = tried("onnxruntime int8", 20, 5)
ALL = (FLOAT, PLAIN, MSE, SMALL, LARGE, OTHER)


def test_each_runtime_and_precision_has_a_front_whatever_the_order_of_the_trials() -> None:
    expected = (MSE, SMALL, LARGE, FLOAT, OTHER)
    assert {front(order) for order in permutations(ALL)} == {expected}
    assert front_plans(ALL)[0] == Plan("litert", "int8", ranges="mse")


def test_over_all_precisions_only_what_is_better_than_everything_cheaper_is_left() -> None:
    assert unbeaten(ALL) == (MSE, LARGE, FLOAT, OTHER)


def test_of_two_alike_the_shorter_plan_stays() -> None:
    longer = tried("litert int8 passes=equalize", 30, 2)
    assert front([longer, PLAIN]) == front([PLAIN, longer]) == (PLAIN,)


def test_the_gain_is_over_the_best_plan_of_an_effort() -> None:
    (litert, other) = gains(ALL, frozenset({PLAIN.plan, OTHER.plan}))
    assert (litert.before, litert.after) == (PLAIN, MSE)
    assert other.before is other.after is OTHER


BOUND = Bound(
    model="a" * 64, data="b" * 64, input=TensorInput(shape=(4,)), labels=("x", "y"), label_column="label",
    task="classify", metric="accuracy", target="raspberrypi4", facts="c" * 64, runtime="litert", unit="ms",
    code="d" * 64, tools={"numpy": "1.26.4", "onnx": "1.17"},
)  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"model": "f" * 64}, "another model (aaaaaaaaaaaa..., here ffffffffffff...)"),
        ({"data": "f" * 64}, "other data"),
        ({"target": "raspberrypi5"}, r"another target (raspberrypi4, here raspberrypi5)"),
        ({"labels": ("y", "x")}, "other class names"),
        ({"code": "f" * 64}, "another release of edgewright"),
        ({"tools": {"numpy": "2.0"}}, "numpy 1.26.4, here 2.0; onnx 1.17, here absent"),
    ],
)
def test_another_question_is_refused_with_what_differs(changed: dict[str, object], words: str) -> None:
    hold_same("s", BOUND, replace(BOUND))
    with pytest.raises(StudyError) as caught:
        hold_same("s", BOUND, replace(BOUND, **changed))
    assert words in caught.value.problem
    assert "--study-name" in caught.value.remedy
