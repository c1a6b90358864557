"""What goes round in integers: where it is kept in float, with which scale, and what is learned along sequences."""

import re
from pathlib import Path

import numpy as np
import pytest
from memories import GATHERER, drifting, unrolled

from compiler.builder import Builder
from compiler.effort import LEARNED, learning_plans, plans
from compiler.load import load_model
from compiler.plan import Plan
from edge.manifest import RuntimeName
from edge.runtimes import open_model
from edge.target import load_target


@pytest.mark.parametrize("runtime", ["litert", "onnxruntime"])
def test_a_long_memory_is_kept_in_float_where_eight_bits_would_forget(gatherer: Path, runtime: str) -> None:
    model = load_model(str(gatherer), GATHERER)
    # long enough for the state to grow, and so little noise that what is rounded away does not average out
    calibration, long = drifting(8, 300, noise=0.02), drifting(1, 1000, seed=9, noise=0.02)[0]
    exact = np.stack(list(model.unroll(long)))
    builder, late = Builder(model, lambda: iter(calibration)), {}
    for passes in ((), ("float-state",)):
        made = builder.build(Plan(runtime, "int8", passes=passes))  # type: ignore[arg-type]
        session = open_model(made.data, made.variant)
        late[passes] = float(np.sqrt(((unrolled(session, long) - exact)[-200:] ** 2).mean()))
        session.close()
    assert "float-state: kept" in made.note
    assert (made.variant.state[0].input.dtype, made.variant.state[0].output.dtype) == ("float32", "float32")
    assert late[("float-state",)] < late[()] / 3
    assert late[("float-state",)] < 0.1 * float(np.abs(exact).max())


def test_a_file_with_a_memory_is_judged_by_the_same_steps_before_and_after_a_pass(gatherer: Path) -> None:
    calibration = drifting(8, 300, noise=0.02)
    bench = Builder(load_model(str(gatherer), GATHERER), lambda: iter(calibration)).bench("litert")
    plain, passed = bench.make(Plan("litert", "int8")), bench.make(Plan("litert", "int8", passes=("float-state",)))
    assert abs(plain.sqnr_db - bench.reference.judge(plain.content, most=20)) > 3  # so it matters which they are
    assert f"float-state: kept, {plain.sqnr_db:.1f} to {passed.sqnr_db:.1f} dB" in passed.note


def test_a_state_in_integers_comes_in_with_the_scale_with_which_it_left(gatherer: Path) -> None:
    made = Builder(load_model(str(gatherer), GATHERER), lambda: iter(drifting(24, 60))).build(Plan("litert", "int8"))
    (state,) = made.variant.state
    assert state.input.dtype == "int8"
    assert (state.input.scale, state.input.zero_point) == (state.output.scale, state.output.zero_point)


def test_only_a_network_with_a_memory_tries_to_keep_it_in_float() -> None:
    target = load_target("raspberrypi4")
    assert all("float-state" not in plan.passes for plan in plans("onnx", target, "thorough"))
    ints = [plan for plan in plans("onnx", target, "normal", stateful=True) if plan.precision == "int8"]
    assert ints
    assert all(plan.passes[0] == "float-state" for plan in ints)
    learned = learning_plans(ints[0], "onnx", stateful=True)
    assert [plan.passes for plan in learned] == [("float-state", *LEARNED)]


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
def test_weights_are_learned_along_sequences_and_never_trained(gatherer: Path, runtime: RuntimeName) -> None:
    model = load_model(str(gatherer), GATHERER)
    assert all("train" not in plan.passes for plan in plans("onnx", load_target("x86-64"), "thorough", stateful=True))
    builder = Builder(model, lambda: iter(drifting(40, 6, seed=4)))
    made = builder.build(Plan(runtime, "int8", passes=("float-state", "learn-rounding")))
    assert re.search(r"learn-rounding: (kept|not kept), ", made.note)
    assert "networks without a state" in builder.build(Plan(runtime, "int8", passes=("train",))).note
