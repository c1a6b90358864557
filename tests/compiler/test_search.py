"""The search: what helps is kept, what was built is not built again, and mixed precision saves what int8 breaks."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compiler.budget import Budget
from compiler.cache import Cache
from compiler.measure import Measured
from compiler.opening import Request
from compiler.packing import Order
from compiler.pipeline import compile_model
from compiler.result import Compiled
from compiler.search import Scope, Shelf, _refine
from edge import console

CLASSES, HARMLESS = 4, 8


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A classifier whose second layer writes one channel a thousand times as large as the others, behind a clip.

    Only the small channels tell the classes apart, and the clip keeps equalization out: int8 cannot but lose them.
    """
    rng = np.random.default_rng(3)
    folder = tmp_path_factory.mktemp("fragile")
    first = np.eye(8, CLASSES, dtype=np.float32).T @ np.eye(8, dtype=np.float32)
    second = np.eye(8, dtype=np.float32)
    second[:, 7] = 500 * rng.normal(0, 1, 8)
    third = np.zeros((8, CLASSES), np.float32)
    third[:CLASSES] = 8 * np.eye(CLASSES)
    constants = {"w1": first, "w2": second, "w3": third, "low": np.float32(-1e6), "high": np.float32(1e6)}
    nodes = [helper.make_node("MatMul", ["x", "w1"], ["e0"], name="first")]
    for at in range(HARMLESS):
        constants[f"h{at}"] = np.eye(8, dtype=np.float32)
        nodes += [
            helper.make_node("MatMul", [f"e{at}", f"h{at}"], [f"m{at}"], name=f"harmless{at}"),
            helper.make_node("Relu", [f"m{at}"], [f"e{at + 1}"], name=f"bend{at}"),
        ]
    nodes += [
        helper.make_node("Identity", [f"e{HARMLESS}"], ["b"], name="last"),
        helper.make_node("MatMul", ["b", "w2"], ["c"], name="second"),
        helper.make_node("Clip", ["c", "low", "high"], ["d"], name="clip"),
        helper.make_node("MatMul", ["d", "w3"], ["y"], name="third"),
    ]
    graph = helper.make_graph(
        nodes,
        "fragile",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, CLASSES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, CLASSES])],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "fragile.onnx"
    )
    y = np.arange(1200) % CLASSES
    x = rng.uniform(0.2, 1.0, (1200, CLASSES)).astype(np.float32)
    x[np.arange(1200), y] += 0.4
    np.savez(folder / "d.npz", x=x, y=y)
    return folder / "fragile.onnx", folder / "d.npz"


def compile_it(sources: tuple[Path, Path], folder: Path, scope: Scope, **more: object) -> Compiled:
    order = Order(target="raspberrypi4", name="fragile", output=folder / "fragile-1.edge")
    request = Request(model=str(sources[0]), data=sources[1], order=order, scope=scope, **more)  # type: ignore[arg-type]
    return compile_model(request, stage=console.progress, warn=lambda _: None)


@pytest.fixture(scope="module")
def normal(fragile: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Compiled, Cache]:
    cache = Cache(tmp_path_factory.mktemp("kept"))
    folder = tmp_path_factory.mktemp("normal")
    return compile_it(fragile, folder, Scope("normal", cache=cache), budget=Budget(0.02, asked=True)), cache


def test_where_int8_loses_too_much_the_costliest_layers_stay_float(normal: tuple[Compiled, Cache]) -> None:
    compiled, _ = normal
    by_kind = {(one.candidate.runtime, one.candidate.dtype): one for one in compiled.measured}
    assert by_kind["litert", "int8"].quality.drop > 0.05
    mixed = compiled.main
    assert mixed.candidate.dtype == "mixed", compiled.choice.reasons
    assert mixed.quality.drop <= 0.01
    assert mixed.candidate.plan is not None
    assert 1 <= len(mixed.candidate.plan.keep_float) <= 5


def test_where_int8_loses_too_much_its_rounding_is_learned_first(
    fragile: tuple[Path, Path], normal: tuple[Compiled, Cache], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    add = Shelf.add
    monkeypatch.setattr(Shelf, "add", lambda shelf, plan: (asked.append(plan), add(shelf, plan))[1])
    compile_it(fragile, tmp_path, Scope("normal", cache=normal[1]), budget=Budget(0.02, asked=True))
    on_litert = [plan for plan in asked if plan.runtime == "litert"]
    learning = next(at for at, plan in enumerate(on_litert) if "learn-rounding" in plan.passes)
    mixed = next(at for at, plan in enumerate(on_litert) if plan.precision == "mixed")
    assert learning < mixed
    assert all("learn-rounding" not in plan.passes for plan in on_litert[mixed:])


def test_quick_tries_no_mixed_precision(fragile: tuple[Path, Path], tmp_path: Path) -> None:
    compiled = compile_it(fragile, tmp_path, Scope("quick"))
    assert {one.candidate.dtype for one in compiled.measured} == {"float32", "int8"}
    assert compiled.main.candidate.dtype == "float32"


def test_what_was_built_is_taken_from_the_cache_and_gives_the_same_bundle(
    fragile: tuple[Path, Path], normal: tuple[Compiled, Cache], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, cache = normal
    monkeypatch.setattr("compiler.builder.Builder.build", lambda *_: pytest.fail("it was built again"))
    second = compile_it(fragile, tmp_path, Scope("normal", cache=cache), budget=Budget(0.02, asked=True))
    assert second.bundle.read_bytes() == first.bundle.read_bytes()


def test_where_int8_is_good_enough_no_time_is_spent_on_learning(normal: tuple[Compiled, Cache]) -> None:
    def refuse(*_: object) -> tuple[Measured, ...]:
        pytest.fail("something was built or measured")

    nothing: Any = None
    assert _refine(nothing, normal[0].measured, refuse, lambda one: one.candidate.dtype == "int8") == []


def test_no_two_candidates_are_the_same_file(normal: tuple[Compiled, Cache]) -> None:
    files = [(one.candidate.runtime, one.candidate.variant.sha256) for one in normal[0].measured]
    assert len(files) == len(set(files))
