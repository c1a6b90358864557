"""The choice between candidates: a rule that gives its reasons."""

from typing import Literal

import msgspec
import numpy as np
import pytest

from compiler.candidate import Candidate
from compiler.choose import choose
from compiler.measure import Measured, Scores, Timing
from edge.errors import BadModelError
from edge.manifest import Quality, RuntimeName, TensorSpec, Variant
from edge.target import Target, load_target

PI = load_target("raspberrypi4")  # litert first, int8 published as faster there; nothing published for onnxruntime


def measured(
    runtime: RuntimeName,
    dtype: Literal["float32", "int8"],
    *,
    drop: float = 0.0,
    agreement: float = 1.0,
    size: int = 1000,
) -> Measured:
    spec = TensorSpec(name="x", shape=(1, 2), dtype="float32")
    variant = Variant(
        runtime=runtime, dtype=dtype, file="m", sha256="0" * 64, size_bytes=size, input=spec, outputs=(spec,)
    )
    quality = Quality(
        metric="accuracy",
        reference=0.9,
        compiled=0.9 - drop,
        drop=drop,
        ci95=(drop - 0.005, drop + 0.005),
        agreement=agreement,
        samples=1000,
    )
    nothing = Scores(np.zeros((1, 2), np.float32), np.zeros(1, np.int64), np.zeros(1, bool))
    return Measured(Candidate(runtime, dtype, bytes(size), variant, ""), nothing, quality, Timing("x86", 1, 1, 1))


FLOAT, INT8 = measured("litert", "float32"), measured("litert", "int8", drop=0.002, agreement=0.99)
ORT_FLOAT, ORT_INT8 = measured("onnxruntime", "float32"), measured("onnxruntime", "int8", drop=0.001)


def test_int8_runs_where_it_is_good_and_published_as_faster() -> None:
    choice = choose([FLOAT, INT8, ORT_FLOAT, ORT_INT8], PI)
    assert choice.main == 1
    assert "2.9x faster on raspberrypi4" in choice.sentence
    assert "0.20 points (95 % interval of the loss -0.30 points to 0.70 points)" in choice.sentence


def test_the_fallback_is_a_float_of_another_runtime() -> None:
    choice = choose([FLOAT, INT8, ORT_FLOAT, ORT_INT8], PI)
    assert choice.taken == (1, 2)
    assert "where the first runtime is missing" in choice.reasons[2]
    assert choose([FLOAT, INT8], PI).taken == (1, 0)
    assert choose([FLOAT], PI).taken == (0,)


def test_every_candidate_gets_a_reason() -> None:
    choice = choose([FLOAT, INT8, ORT_FLOAT, ORT_INT8], PI)
    assert choice.reasons[choice.main] == choice.sentence
    assert all(choice.reasons)
    assert sum(reason.startswith("not taken") for reason in choice.reasons) == 2


@pytest.mark.parametrize(
    ("int8", "why"),
    [
        (measured("litert", "int8", drop=0.011), "loses 1.10 points, more than 1.00 points"),
        (measured("litert", "int8", agreement=0.96), "decides like the float model on 96.0%"),
    ],
)
def test_float_runs_where_int8_costs_too_much(int8: Measured, why: str) -> None:
    choice = choose([FLOAT, int8], PI)
    assert choice.taken == (0,)
    assert why in choice.sentence
    assert why in choice.reasons[1]


def test_more_may_be_allowed() -> None:
    worse = measured("litert", "int8", drop=0.03)
    assert choose([FLOAT, worse], PI, max_drop=0.05).main == 1


def test_float_runs_where_nobody_has_published_that_int8_is_faster() -> None:
    choice = choose([ORT_FLOAT, ORT_INT8], PI)
    assert choice.taken == (0, 1)
    assert "no published speed-up on raspberrypi4" in choice.sentence


def test_a_model_that_is_only_there_as_int8_runs_as_int8() -> None:
    choice = choose([ORT_INT8], PI)
    assert choice.taken == (0,)
    assert "the only form of the model" in choice.sentence


def test_an_interval_that_reaches_beyond_the_limit_is_said() -> None:
    choice = choose([FLOAT, measured("litert", "int8", drop=0.008)], PI)
    assert "1000 samples cannot rule out more than 1.00 points" in choice.sentence


def test_the_targets_order_of_runtimes_decides() -> None:
    turned: Target = msgspec.structs.replace(PI, runtimes=("onnxruntime", "litert"))
    assert choose([FLOAT, INT8, ORT_FLOAT, ORT_INT8], turned).taken == (2, 0)


def test_a_runtime_or_size_that_the_target_lacks_is_not_taken() -> None:
    only: Target = msgspec.structs.replace(PI, runtimes=("onnxruntime",), ram_mib=1)
    choice = choose([FLOAT, ORT_FLOAT], only)
    assert choice.taken == (1,)
    assert "does not list litert" in choice.reasons[0]
    with pytest.raises(BadModelError, match="larger than the 1 MiB"):
        choose([measured("onnxruntime", "float32", size=2 * 2**20)], only)


def test_nothing_good_enough_is_an_error_that_lists_why() -> None:
    with pytest.raises(BadModelError, match=r"int8 on litert: loses 5\.00 points") as caught:
        choose([measured("litert", "int8", drop=0.05)], PI)
    assert "--max-drop" in caught.value.remedy


def test_the_same_measurements_give_the_same_choice_whatever_the_clock_said() -> None:
    late = Measured(INT8.candidate, INT8.scores, INT8.quality, Timing("x86", 99, 98, 100))
    assert choose([FLOAT, late], PI) == choose([FLOAT, INT8], PI)
