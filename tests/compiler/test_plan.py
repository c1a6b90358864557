import pytest

from compiler.effort import Effort, plans
from compiler.plan import Plan, parse_plan
from edge.errors import BadArgumentError
from edge.target import Target, load_target

PI, PC = load_target("raspberrypi4"), load_target("x86-64")


@pytest.mark.parametrize("target", [PI, PC])
@pytest.mark.parametrize("effort", ["quick", "normal", "thorough"])
def test_every_plan_reads_back_as_it_was_printed(target: Target, effort: Effort) -> None:
    for plan in plans("torch", target, effort):
        assert parse_plan(str(plan)) == plan


def test_layer_names_with_spaces_commas_and_semicolons_survive_printing() -> None:
    plan = Plan("litert", "mixed", keep_float=("model/conv 1;bn,relu", "a=b%c", "StatefulPartitionedCall:0"))
    assert str(plan).count(" ") == 2
    assert parse_plan(str(plan)) == plan


def test_a_percentile_is_printed_where_it_is_not_the_usual_one() -> None:
    assert str(Plan("litert", "int8", ranges="percentile")) == "litert int8 ranges=percentile"
    plan = Plan("litert", "int8", ranges="percentile", percent=99.9999)
    assert str(plan) == "litert int8 ranges=percentile percent=99.9999"
    assert parse_plan(str(plan)) == plan


def test_more_effort_only_adds_plans_and_nothing_is_listed_twice() -> None:
    quick, normal, thorough = (plans("torch", PC, effort) for effort in ("quick", "normal", "thorough"))
    assert normal[: len(quick)] == quick
    assert thorough[: len(normal)] == normal
    assert len(set(thorough)) == len(thorough)
    assert {plan.precision for plan in thorough} == {"float32", "float16", "int8", "int16x8", "int8-weights"}


def test_a_source_gets_plans_only_for_the_formats_that_it_reaches() -> None:
    assert {plan.file_format for plan in plans("torch", PI, "quick")} == {"onnx", "tflite"}
    assert {plan.file_format for plan in plans("tflite", PI, "thorough")} == {"tflite"}


def test_activations_are_unsigned_on_x86_and_signed_on_arm() -> None:
    def kinds(target: Target) -> set[str]:
        found = plans("onnx", target, "quick")
        return {plan.activations for plan in found if plan.precision == "int8" and plan.file_format == "onnx"}

    assert kinds(PC) == {"uint8"}
    assert kinds(PI) == {"int8"}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("litert int8 ranges=best", "'best'"),
        ("litert int4", "'int4'"),
        ("litert float16 ranges=mse", "float16 has no"),
        ("litert int8 activations=uint8", "TFLite"),
        ("litert mixed", "mixed"),
        ("litert int8 float=Conv_0", "mixed"),
        ("litert int8 speed=11", "'speed'"),
        ("litert int8 percent=99", "only percentile"),
        ("litert int8 ranges=percentile percent=101", "between 50 and 100"),
        ("litert int8 ranges=percentile percent=nan", "between 50 and 100"),
        ("litert int8 ranges=percentile percent=most", "'most' is no number"),
        ("litert", "''"),
        ("", "''"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_with_the_word_that_is_wrong(text: str, word: str) -> None:
    with pytest.raises(BadArgumentError, match=word):
        parse_plan(text)
