"""The plans that a study may try: each has its parameters, and the parameters give it back."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import pytest

from compiler.plan import Plan, parse_plan
from compiler.tuning.space import PASSES, PERCENTS, Setting, Space

T = TypeVar("T", str, bool)
WIDE = Space("onnxruntime", ("int8", "uint8"), (("a",), ("a", "b"), ("a", "b", "c")))
NARROW = Space("litert", ("int8",))
REMEMBERS = Space("litert", ("int8",), passes=("float-state", *PASSES))


class Fixed:
    """Chooses what it was told, and remembers what it was asked."""

    def __init__(self, settings: Mapping[str, Setting]) -> None:
        self.settings, self.asked = settings, set[str]()

    def suggest_categorical(self, name: str, choices: Sequence[T]) -> T:
        self.asked.add(name)
        assert self.settings[name] in choices
        return self.settings[name]  # type: ignore[return-value]

    def suggest_int(self, name: str, low: int, high: int) -> int:
        self.asked.add(name)
        assert low <= int(self.settings[name]) <= high
        return int(self.settings[name])


@pytest.mark.parametrize(("space", "size"), [(WIDE, 8 * 11 * 2 * 4), (NARROW, 8 * 11), (REMEMBERS, 16 * 11)])
def test_every_plan_has_parameters_that_give_it_back_and_no_others(space: Space, size: int) -> None:
    plans = list(space.plans())
    assert len(plans) == len(set(plans)) == size
    for plan in plans[::7]:
        settings = space.settings(plan)
        assert settings is not None
        fixed = Fixed(settings)
        assert space.draw(fixed) == plan
        assert fixed.asked == settings.keys()
        assert parse_plan(str(plan)) == plan


def test_a_plan_of_another_runtime_or_precision_has_no_parameters() -> None:
    assert NARROW.settings(Plan("onnxruntime", "int8")) is None
    assert NARROW.settings(Plan("litert")) is None
    assert NARROW.settings(Plan("litert", "mixed", keep_float=("a",))) is None


def test_the_percentile_of_an_effort_is_among_those_that_are_searched() -> None:
    assert Plan("litert", "int8", ranges="percentile").percent in PERCENTS
    assert list(PERCENTS) == sorted(PERCENTS)
