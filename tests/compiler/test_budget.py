"""Kept, broken, or not provable with these samples: what follows from each, and what is offered instead."""

from typing import Literal

import numpy as np
import pytest

from compiler.budget import Budget, insist, judge
from compiler.candidate import Candidate
from compiler.compare import Comparison
from compiler.measure import Measured
from compiler.paired import lower_bound, upper_bound
from compiler.run import Scores
from compiler.timing import Timing
from edge.errors import BudgetBrokenError, BudgetUnprovenError
from edge.manifest import Latency, Quality, TensorSpec, Variant

STRICT = Budget(0.01, asked=True)


def proved(lost: int, samples: int, *, dtype: Literal["float32", "int8"] = "int8", ms: float | None = None) -> Measured:
    spec = TensorSpec(name="x", shape=(1, 2), dtype="float32")
    variant = Variant(
        runtime="litert", dtype=dtype, file="m", sha256="0" * 64, size_bytes=1, input=spec, outputs=(spec,)
    )
    quality = Quality(
        metric="accuracy",
        reference=0.9,
        compiled=0.9 - lost / samples,
        drop=lost / samples,
        ci95=(lower_bound(lost, 0, samples, 0.025), upper_bound(lost, 0, samples, 0.025)),
        agreement=1.0,
        samples=samples,
        upper95=upper_bound(lost, 0, samples),
    )
    nothing = np.zeros((1, 2), np.float32)
    predicted = ms and Latency(
        core="cortex-a72", runtime="litert", kind="predicted", ms=ms, low=0.8 * ms, high=1.2 * ms, source="a table"
    )
    return Measured(
        Candidate("litert", dtype, b"", variant, ""),
        Scores(nothing, nothing, np.zeros(1, np.int64), np.zeros(1, bool)),
        Comparison(quality, lost, 0, samples, ()),
        Timing("x86", 1, 1, 1),
        predicted or None,
    )


@pytest.mark.parametrize(
    ("lost", "samples", "verdict"),
    [(0, 301, "kept"), (0, 299, "unproven"), (2, 1000, "kept"), (6, 1000, "unproven"), (11, 1000, "broken")],
)
def test_kept_means_that_the_bound_lies_within_the_budget(lost: int, samples: int, verdict: str) -> None:
    assert judge(proved(lost, samples), STRICT).verdict == verdict


def test_without_a_budget_only_a_sure_loss_is_broken() -> None:
    assert judge(proved(1, 60), Budget()).verdict == "unproven"
    assert judge(proved(1, 60), STRICT).verdict == "broken"
    assert judge(proved(8, 60), Budget()).verdict == "broken"


def test_what_is_kept_is_packed_without_a_word() -> None:
    one = proved(0, 301)
    assert insist(judge(one, STRICT), STRICT, [one]) == ()


def test_a_broken_budget_is_refused_with_the_three_nearest_options() -> None:
    tried = [proved(30, 1000), proved(12, 1000), proved(0, 1000, dtype="float32"), proved(90, 1000)]
    with pytest.raises(BudgetBrokenError, match=r"drops by 3.00 points on 1000 samples, and 1.00 points") as caught:
        insist(judge(tried[0], STRICT), STRICT, tried)
    assert caught.value.exit_code == 4
    assert [option.partition(":")[0] for option in caught.value.options] == ["float32 on litert"] + [
        "int8 on litert"
    ] * 2
    assert caught.value.options[0].endswith("drop 0.00 points, at most 0.30 points; --max-drop 0.31%")
    assert "drop 1.20 points" in caught.value.options[1]


def test_what_too_few_samples_cannot_prove_says_how_many_would() -> None:
    one = proved(0, 200)
    with pytest.raises(BudgetUnprovenError, match="about 301 samples in the report part would prove it") as caught:
        insist(judge(one, STRICT), STRICT, [one])
    assert caught.value.exit_code == 5
    assert "--accept-unproven" in caught.value.remedy


def test_no_number_of_samples_proves_a_drop_of_nothing() -> None:
    one, nothing = proved(0, 1000), Budget(0.0, asked=True)
    with pytest.raises(BudgetUnprovenError, match="no number of samples"):
        insist(judge(one, nothing), nothing, [one])


def test_the_unproven_may_be_accepted_and_is_warned_of() -> None:
    one, accepting = proved(0, 200), Budget(0.01, asked=True, accept_unproven=True)
    assert insist(judge(one, accepting), accepting, [one])[0].startswith("unproven: accuracy drops by 0.00 points")
    assert insist(judge(one, Budget()), Budget(), [one])[0].startswith("unproven")
    broken = proved(30, 1000)
    with pytest.raises(BudgetBrokenError):
        insist(judge(broken, accepting), accepting, [broken])


@pytest.mark.parametrize(("ms", "verdict"), [(20, "kept"), (28, "unproven"), (35, "broken"), (None, "unproven")])
def test_a_time_is_kept_if_the_upper_end_of_the_prediction_is(ms: float | None, verdict: str) -> None:
    judgement = judge(proved(0, 1000, ms=ms), Budget(max_ms=30))
    assert judgement.latency is not None
    assert (judgement.latency.verdict, judgement.drop.verdict) == (verdict, "kept")
    assert judgement.verdict == verdict


def test_a_time_that_nobody_can_predict_is_unproven_even_if_no_drop_was_asked_for() -> None:
    one, budget = proved(0, 1000), Budget(max_ms=30)
    with pytest.raises(BudgetUnprovenError, match="nobody can say how long it takes"):
        insist(judge(one, budget), budget, [one])


def test_options_name_the_time_too() -> None:
    tried = [proved(0, 1000, dtype="float32", ms=40), proved(2, 1000, ms=20)]
    budget = Budget(0.01, max_ms=10, asked=True)
    with pytest.raises(BudgetBrokenError, match=r"40 ms predicted \(32 to 48\) on cortex-a72") as caught:
        insist(judge(tried[0], budget), budget, tried)
    assert caught.value.options[0].startswith("int8 on litert: drop 0.20 points")
    assert caught.value.options[0].endswith("20 ms predicted (16 to 24); --max-drop 0.64% --max-ms 24")
