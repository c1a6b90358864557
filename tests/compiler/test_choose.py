"""The choice between candidates: a rule that gives its reasons, on the select part alone."""

from dataclasses import replace
from typing import Literal

import msgspec
import numpy as np
import pytest

from compiler.budget import Budget
from compiler.candidate import Candidate
from compiler.choose import Choice, choose
from compiler.compare import Comparison
from compiler.measure import Measured
from compiler.plan import Plan
from compiler.run import Scores
from compiler.timing import Timing
from edge.errors import BadModelError
from edge.manifest import Latency, Quality, RuntimeName, TensorSpec, Variant
from edge.target import Target, load_target

PI = load_target("raspberrypi4")  # litert first, int8 published as faster there; nothing published for onnxruntime
SAMPLES = 1000


def measured(
    runtime: RuntimeName,
    dtype: Literal["float32", "int8", "mixed"],
    *,
    lost: int = 0,
    agreement: float = 1.0,
    size: int = 1000,
    ms: float | None = None,
) -> Measured:
    spec = TensorSpec(name="x", shape=(1, 2), dtype="float32")
    variant = Variant(
        runtime=runtime, dtype=dtype, file="m", sha256="0" * 64, size_bytes=size, input=spec, outputs=(spec,)
    )
    drop = lost / SAMPLES
    quality = Quality(
        metric="accuracy",
        reference=0.9,
        compiled=0.9 - drop,
        drop=drop,
        ci95=(drop - 0.005, drop + 0.005),
        agreement=agreement,
        samples=SAMPLES,
    )
    nothing = np.zeros((1, 2), np.float32)
    scores = Scores(nothing, nothing, np.zeros(1, np.int64), np.zeros(1, bool))
    predicted = ms and Latency(
        core="cortex-a72", runtime=runtime, kind="predicted", ms=ms, low=0.8 * ms, high=1.2 * ms, source="a table"
    )
    return Measured(
        Candidate(runtime, dtype, bytes(size), variant, ""),
        scores,
        Comparison(quality, lost, 0, SAMPLES, ()),
        Timing("x86", 1, 1, 1),
        predicted or None,
    )


def take(candidates: list[Measured], target: Target = PI, budget: Budget | None = None, report: int = 3000) -> Choice:
    return choose(candidates, target, budget or Budget(), report_samples=report)


FLOAT, INT8 = measured("litert", "float32"), measured("litert", "int8", lost=2, agreement=0.99)
ORT_FLOAT, ORT_INT8 = measured("onnxruntime", "float32"), measured("onnxruntime", "int8", lost=1)


def test_int8_runs_where_it_is_good_and_published_as_faster() -> None:
    choice = take([FLOAT, INT8, ORT_FLOAT, ORT_INT8])
    assert choice.main == 1
    assert "2.9x faster on raspberrypi4" in choice.sentence
    assert "0.20 points on the 1000 samples that choose" in choice.sentence


def test_an_integer_file_that_is_clearly_slower_on_a_machine_of_the_targets_kind_is_left() -> None:
    slow = replace(INT8, timing=Timing("x86", 2.9, 2.8, 3.0))
    choice = choose([FLOAT, slow], PI, Budget(), report_samples=3000, here=True)
    assert choice.main == 0
    assert "int8 there takes 2.9 times as long as float32 on this machine" in choice.sentence
    assert choose([FLOAT, slow], PI, Budget(), report_samples=3000).main == 1
    assert choose([FLOAT, INT8], PI, Budget(), report_samples=3000, here=True).main == 1


def test_the_fallback_is_a_float_of_another_runtime() -> None:
    choice = take([FLOAT, INT8, ORT_FLOAT, ORT_INT8])
    assert choice.taken == (1, 2)
    assert "where the first runtime is missing" in choice.reasons[2]
    assert take([FLOAT, INT8]).taken == (1, 0)
    assert take([FLOAT]).taken == (0,)


def test_every_candidate_gets_a_reason() -> None:
    choice = take([FLOAT, INT8, ORT_FLOAT, ORT_INT8])
    assert choice.reasons[choice.main] == choice.sentence
    assert all(choice.reasons)
    assert sum(reason.startswith("not taken") for reason in choice.reasons) == 2


@pytest.mark.parametrize(
    ("int8", "why"),
    [
        (measured("litert", "int8", lost=20), "loses 2.00 points, more than 1.00 points by more than one standard"),
        (measured("litert", "int8", agreement=0.96), "decides like the float model on 96.0%"),
    ],
)
def test_float_runs_where_int8_costs_too_much(int8: Measured, why: str) -> None:
    choice = take([FLOAT, int8])
    assert choice.taken == (0,)
    assert why in choice.sentence
    assert why in choice.reasons[1]


def test_a_drop_within_one_standard_error_of_the_aim_is_no_reason_to_refuse() -> None:
    assert take([FLOAT, measured("litert", "int8", lost=13)]).main == 1


def test_more_may_be_allowed() -> None:
    assert take([FLOAT, measured("litert", "int8", lost=30)], budget=Budget(0.05, asked=True)).main == 1


def test_a_budget_that_was_asked_for_takes_what_can_be_proven() -> None:
    near = measured("litert", "int8", lost=8)
    assert take([FLOAT, near], budget=Budget(0.01, asked=True), report=600).main == 0
    assert take([FLOAT, near], budget=Budget(0.01, asked=True), report=60_000).main == 1
    assert take([FLOAT, near]).main == 1


def test_a_time_that_is_predicted_to_be_too_long_is_a_reason_to_refuse() -> None:
    slow, fast = measured("litert", "float32", ms=40), measured("litert", "int8", lost=2, ms=20)
    assert take([slow, fast], budget=Budget(max_ms=30)).taken == (1,)
    assert (
        "takes 40 ms predicted (32 to 48), more than 30 ms" in take([slow, fast], budget=Budget(max_ms=30)).reasons[0]
    )


def test_int8_that_is_predicted_not_to_be_faster_is_refused_with_both_figures() -> None:
    choice = take([measured("litert", "float32", ms=10), measured("litert", "int8", ms=11)])
    assert choice.main == 0
    assert "takes 11 ms predicted (8.8 to 13.2)" in choice.sentence
    assert "float32 10 ms predicted (8 to 12): it is not faster" in choice.sentence


def test_a_prediction_counts_for_more_than_what_was_published() -> None:
    choice = take([measured("onnxruntime", "float32", ms=10), measured("onnxruntime", "int8", ms=5)])
    assert choice.main == 1
    assert "takes 5 ms predicted (4 to 6) on raspberrypi4 and float32 10 ms" in choice.sentence


def test_float_runs_where_nobody_has_published_that_int8_is_faster() -> None:
    choice = take([ORT_FLOAT, ORT_INT8])
    assert choice.taken == (0, 1)
    assert "no published speed-up on raspberrypi4" in choice.sentence


def test_a_model_that_is_only_there_as_int8_runs_as_int8() -> None:
    choice = take([ORT_INT8])
    assert choice.taken == (0,)
    assert "the only form of the model" in choice.sentence


def test_the_targets_order_of_runtimes_decides() -> None:
    turned: Target = msgspec.structs.replace(PI, runtimes=("onnxruntime", "litert"))
    assert take([FLOAT, INT8, ORT_FLOAT, ORT_INT8], turned).taken == (2, 0)


def test_a_runtime_or_size_that_the_target_lacks_is_not_taken() -> None:
    only: Target = msgspec.structs.replace(PI, runtimes=("onnxruntime",), ram_mib=1)
    choice = take([FLOAT, ORT_FLOAT], only)
    assert choice.taken == (1,)
    assert "does not list litert" in choice.reasons[0]
    with pytest.raises(BadModelError, match="larger than the 1 MiB"):
        take([measured("onnxruntime", "float32", size=2 * 2**20)], only)


def test_where_nothing_keeps_the_budget_the_nearest_is_taken_to_the_proof() -> None:
    choice = take([measured("litert", "int8", lost=90), measured("onnxruntime", "int8", lost=50)])
    assert choice.main == 1
    assert "comes nearest to the budget, but loses 5.00 points" in choice.sentence


def test_the_same_measurements_give_the_same_choice_whatever_the_clock_said() -> None:
    late = replace(INT8, timing=Timing("x86", 99, 98, 100))
    assert take([FLOAT, late]) == take([FLOAT, INT8])


def test_of_several_good_mixed_plans_the_one_with_the_fewest_float_layers_runs() -> None:
    bad = measured("litert", "int8", lost=40, agreement=0.99)
    mixed = [measured("litert", "mixed", lost=lost, agreement=0.99) for lost in (1, 3, 40)]
    layers = ("a", "b", "c", "d"), ("a", "b"), ("a",)
    made = [
        replace(one, candidate=replace(one.candidate, plan=Plan("litert", "mixed", keep_float=names)))
        for one, names in zip(mixed, layers, strict=True)
    ]
    choice = take([FLOAT, bad, *made])
    assert choice.main == 3  # one layer is not enough, four are more than are needed
    assert choice.reasons[2] == "not taken: the chosen one is good enough with 2 layers in float"
    assert "more than 1.00 points" in choice.reasons[4]
