"""Targets are data: every file loads, every fact says where it comes from, and a typing error finds its neighbour."""

from pathlib import Path

import pytest

from edge.errors import UnknownTargetError
from edge.target import Target, load_target, target_names

PROMISED = {
    "raspberrypi3", "raspberrypi4", "raspberrypi5", "jetson-orin", "x86-64",
    "ethos-u55-128", "ethos-u65-256", "ethos-u85-256", "rk3588",
}  # fmt: skip
NPUS = {name for name in PROMISED if name.startswith(("ethos", "rk"))}
OPTIONAL = ("npu", "npu_compiler", "system_config", "memory_mode", "providers")
FACTS = {"arch", "cores", "core_count", "runtimes", "dtypes", "ram_mib"}


def test_the_promised_targets_are_there() -> None:
    assert set(target_names()) == PROMISED


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_every_fact_of_a_target_has_a_source(name: str) -> None:
    target = load_target(name)
    assert target.name == name
    optional = {field for field in OPTIONAL if getattr(target, field)}
    assert set(target.sources) == FACTS | optional
    assert {each.runtime for each in target.int8_speedup} == set(target.runtimes)


def test_an_npu_is_never_served_with_a_cpu_bundle() -> None:
    assert {name for name in PROMISED if load_target(name).npu} == NPUS
    assert all(load_target(name).supported for name in PROMISED)
    assert {load_target(name).runtimes[:1] for name in NPUS} == {(), ("rknn",)}  # what comes first is the NPU's own


def test_an_npu_names_its_compiler_and_what_that_must_be_told() -> None:
    for target in map(load_target, NPUS):
        assert target.npu_compiler == ("rknn-toolkit2" if target.name == "rk3588" else "vela")
        told = bool(target.system_config), bool(target.memory_mode)
        assert told == (target.npu_compiler == "vela",) * 2


def test_jetson_runs_onnxruntime_and_is_marked_unmeasured() -> None:
    jetson = load_target("jetson-orin")
    assert jetson.runtimes[0] == "onnxruntime"
    assert jetson.providers[0] == "TensorrtExecutionProvider"
    assert not jetson.measured


def test_a_published_speedup_is_found_by_runtime() -> None:
    pi4 = load_target("raspberrypi4")
    speedup = pi4.speedup("litert")
    assert speedup is not None
    assert speedup.factor == pytest.approx(2.9)
    assert load_target("ethos-u55-128").speedup("litert") is None


@pytest.mark.parametrize(
    ("typed", "nearest"), [("raspbery4", "raspberrypi4"), ("x86_64", "x86-64"), ("ethos-u55", "ethos-u55-128")]
)
def test_an_unknown_target_names_the_nearest(typed: str, nearest: str) -> None:
    with pytest.raises(UnknownTargetError) as caught:
        load_target(typed)
    assert f"did you mean {nearest}?" in caught.value.remedy


@pytest.mark.parametrize("name", ["", "../targets/x86-64", "x86-64.toml", "zzz"])
def test_what_is_no_name_at_all_lists_the_targets(name: str) -> None:
    with pytest.raises(UnknownTargetError, match="raspberrypi5"):
        load_target(name)


def test_targets_are_frozen_and_no_file_is_forgotten() -> None:
    target = load_target("x86-64")
    assert isinstance(target, Target)
    with pytest.raises(AttributeError):
        target.name = "y"  # type: ignore[misc]
    folder = Path(__file__).parents[2] / "edge" / "targets"
    assert {path.stem for path in folder.glob("*.toml")} == PROMISED
