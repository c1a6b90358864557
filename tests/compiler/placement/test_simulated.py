"""The whole compile for an RK3588; a stand-in with the toolkit's interface serves where that is not installed."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from compiler.cache import Cache
from compiler.evaluate import evaluate_bundle
from compiler.json_objects import to_json
from compiler.pipeline import Request, compile_model
from compiler.placement import rknn
from compiler.placement.npu_candidates import npu_plans
from compiler.placement.simulated import Simulators
from compiler.plan import Plan
from compiler.recipe import read_recipe, request_of
from compiler.result import Compiled
from compiler.search import Scope
from compiler.summary import summarize
from edge import console
from edge.bundle import open_bundle
from edge.environments import RKNN
from edge.errors import BadModelError
from edge.runtimes import open_session
from edge.target import load_target

needs_the_toolkit = pytest.mark.skipif(not RKNN.is_made, reason=f"no {RKNN.tool} in the user's cache: {RKNN.size}")


@pytest.fixture(scope="module")
def request_for_rk3588(ask_for: Callable[[str], Request]) -> Request:
    """From torch, for an RK3588."""
    return ask_for("rk3588")


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that finds the stand-in for the toolkit."""
    python = tmp_path_factory.mktemp("bin") / "python"
    packages = Path(__file__).with_name("fake_toolkit")
    python.write_text(f'#!/bin/sh\nPYTHONPATH={packages} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return python


@pytest.fixture(scope="module")
def compiled(stand_in: Path, request_for_rk3588: Request) -> Compiled:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rknn, "make_environment", lambda *_: stand_in)
        return compile_model(request_for_rk3588, stage=console.progress, warn=lambda _: None)


@pytest.fixture
def with_stand_in(monkeypatch: pytest.MonkeyPatch, stand_in: Path) -> None:
    monkeypatch.setattr(rknn, "make_environment", lambda *_: stand_in)


def test_a_bundle_for_an_rk3588_holds_its_file_and_one_for_any_cpu(compiled: Compiled) -> None:
    main, other = open_bundle(compiled.bundle).manifest.variants
    assert (main.runtime, main.dtype, main.file) == ("rknn", "int8", "model-int8-rk3588.rknn")
    assert (other.runtime, other.dtype) == ("litert", "float32")
    assert open_bundle(compiled.bundle).read(main.file)[:4] == b"RKNN"
    assert compiled.manifest.provenance.tools["rknn-toolkit2"] == "2.5.0"
    assert compiled.manifest.latency == ()


def test_what_was_simulated_says_so_and_gives_no_time(compiled: Compiled) -> None:
    told = to_json(compiled)
    mains = [one for one in told["candidates"] if one["runtime"] == "rknn"]
    assert [one["latency"]["kind"] for one in mains] == ["simulated"]
    assert "simulator, not a chip" in mains[0]["latency"]["core"]
    assert "simulated" in summarize(compiled)
    assert "RKNN (simulator)" in compiled.report.joinpath("report.html").read_text()


def test_golden_outputs_are_those_of_the_simulator(compiled: Compiled) -> None:
    golden = open_bundle(compiled.bundle).golden
    assert (golden.outputs * 32 == np.round(golden.outputs * 32)).all()  # as the stand-in rounds
    assert {one.runtime for one in compiled.verified} >= {"rknn", "litert"}
    assert all(one.holds for one in compiled.verified if one.runtime == "rknn")


def test_where_the_npu_is_missing_the_cpu_runs_the_bundle(compiled: Compiled, request_for_rk3588: Request) -> None:
    session = open_session(open_bundle(compiled.bundle))
    assert session.variant.runtime == "litert"
    session.close()
    evaluation = evaluate_bundle(compiled.bundle, request_for_rk3588.data, label_column="label", stage=console.progress)
    assert [one.variant.runtime for one in evaluation.variants] == ["litert"]
    assert "rknn does not work here: rknnlite is not installed" in evaluation.missing


def test_every_layer_is_placed_and_without_fallback_the_one_on_the_cpu_is_named(
    tmp_path: Path, with_stand_in: None, compiled: Compiled, request_for_rk3588: Request
) -> None:
    assert [(row.name, row.device) for row in compiled.placement.ledger.rows][1:3] == [("mix", "npu"), ("flat", "cpu")]
    order = replace(request_for_rk3588.order, output=tmp_path / "w.edge")
    with pytest.raises(BadModelError, match=r"1 of 4 operators fall back.*Reshape flat \(cpu, int8: left to the CPU"):
        compile_model(
            replace(request_for_rk3588, order=order, no_fallback=True), stage=console.progress, warn=lambda _: None
        )
    assert list(tmp_path.iterdir()) == []


def test_the_recipe_makes_the_same_files_again(
    tmp_path: Path, with_stand_in: None, compiled: Compiled, request_for_rk3588: Request
) -> None:
    recipe = read_recipe(compiled.report / "report.json")
    assert recipe.plans[0] == "rknn int8"
    again = request_of(
        recipe,
        model=request_for_rk3588.model,
        data=request_for_rk3588.data,
        output=tmp_path / "again.edge",
        cache=Cache(None),
    )
    assert compile_model(again, stage=console.progress, warn=lambda _: None).sha256 == recipe.bundle_sha256


def test_what_the_toolkit_cannot_compile_is_one_sentence(
    tmp_path: Path, with_stand_in: None, request_for_rk3588: Request
) -> None:
    waves = replace(
        request_for_rk3588,
        model=request_for_rk3588.model.replace(":load", ":waves"),
        order=replace(request_for_rk3588.order, output=tmp_path / "w.edge"),
    )
    with pytest.raises(BadModelError, match=r"rknn-toolkit2==2\.5\.0 cannot compile this model: Unsupport op: Sin!"):
        compile_model(waves, stage=console.progress, warn=lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_more_effort_tries_more_ways_and_a_recipe_only_its_own() -> None:
    assert [len(npu_plans(Scope(effort=effort))) for effort in ("quick", "normal", "thorough")] == [1, 2, 3]
    assert npu_plans(Scope(plans=(Plan("litert"), Plan("rknn", "float16")))) == (Plan("rknn", "float16"),)


def test_leaving_the_context_ends_every_simulator(with_stand_in: None, colour_model: Path) -> None:
    x = np.random.default_rng(0).random((1, 3, 8, 8), np.float32)
    with Simulators() as simulators:
        one = rknn.compile_for_rknn(
            colour_model.read_bytes(), load_target("rk3588"), calibration=[x], progress=lambda _: None
        )
        simulators.add(one)
        assert one.run(x, 3).shape == (3,)
    with pytest.raises(ValueError, match="the simulator is closed"):
        one.run(x, 3)


@needs_the_toolkit
def test_the_real_toolkit_compiles_the_whole_bundle(tmp_path: Path, request_for_rk3588: Request) -> None:
    order = replace(request_for_rk3588.order, output=tmp_path / "real.edge")
    made = compile_model(replace(request_for_rk3588, order=order), stage=console.progress, warn=lambda _: None)
    assert [variant.runtime for variant in made.manifest.variants] == ["rknn", "litert"]
    assert made.main.quality.agreement > 0.97
    assert made.placement.ledger.npu_share > 0
