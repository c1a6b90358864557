"""Networks with a memory: what goes round, on sequences, in both formats, in float and in integers."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compiler.again import fingerprint
from compiler.arrange import arrange
from compiler.candidate import Builder, check_parity
from compiler.compare import compare
from compiler.evaluate import evaluate_bundle
from compiler.load import load_model
from compiler.load.source import Floats, Outputs, SourceModel
from compiler.load.state import parse_states, read_states, write_states
from compiler.opening import open_subject
from compiler.packing import Order
from compiler.pipeline import Request, compile_model
from compiler.plan import LEARNED, Plan, learning_plans, plans
from compiler.read_data import open_data
from compiler.result import Compiled
from compiler.search import Scope
from compiler.yardstick import Run, fit
from edge import console
from edge.bundle import open_bundle
from edge.errors import BadArgumentError, BadDataError, BadModelError, StudyError, TargetUnsupportedError
from edge.manifest import RuntimeName, SeriesInput, TaskName, TensorInput
from edge.runtimes import Session, check_golden, open_model, open_session, run_float
from edge.target import load_target

TORCH = """
import torch

class Net(torch.nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.layer = kind(3, 8, batch_first=True)
        self.head = torch.nn.Linear(8, 2)

class Gru(Net):
    def forward(self, x, h):
        y, h = self.layer(x, h)
        return self.head(y[:, -1]), h

class Lstm(Net):
    def forward(self, h, x, c):  # the data is not the first input
        y, (h, c) = self.layer(x, (h, c))
        return h, self.head(y[:, -1]), c  # nor the answer the first output

def gru():
    return Gru(torch.nn.GRU), (torch.zeros(1, 1, 3), torch.zeros(1, 1, 8))

def lstm():
    return Lstm(torch.nn.LSTM), (torch.zeros(1, 1, 8), torch.zeros(1, 1, 3), torch.zeros(1, 1, 8))

class Echo(torch.nn.Module):
    def forward(self, x, h):
        return x + h

def echo():
    return Echo(), (torch.zeros(1, 3), torch.zeros(1, 3))

def forgetful():
    return torch.nn.Linear(3, 2), torch.zeros(1, 3)
"""
LEAK = """
import os
import torch

class Leak(torch.nn.Module):
    def forward(self, x, h):
        h = float(os.environ["LEAK"]) * h + x
        return h + 1, h

def load():
    return Leak(), (torch.zeros(1, 3), torch.zeros(1, 3))
"""
DECAY = 0.98
Make = Callable[..., Path]


@pytest.fixture
def networks(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(TORCH)
    return path


@pytest.fixture(scope="session")
def gatherer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An .onnx file with an open batch: h' = DECAY h + (1 - DECAY) W x, which has a long memory; y = [h'0, -h'0]."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["seen"], name="see"),
        helper.make_node("Mul", ["seen", "new"], ["share"], name="share"),
        helper.make_node("Mul", ["h", "old"], ["left"], name="decay"),
        helper.make_node("Add", ["left", "share"], ["h_next"], name="gather"),
        helper.make_node("MatMul", ["h_next", "v"], ["y"], name="answer"),
    ]
    sides = np.array([[30.0, -30.0], [0.0, 0.0]], np.float32)
    constants = {"w": np.eye(2, dtype=np.float32), "v": sides, "old": np.float32(DECAY), "new": np.float32(1 - DECAY)}
    graph = helper.make_graph(
        nodes,
        "gatherer",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in ("h", "x")],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in ("h_next", "y")],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()],
    )
    path = tmp_path_factory.mktemp("state") / "gatherer.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


GATHERER = parse_states(["h=h_next"])


def drifting(count: int, steps: int, seed: int = 0, noise: float = 1.0) -> np.ndarray:
    """Noise around a slow drift, [count, steps, 2]."""
    rng = np.random.default_rng(seed)
    drift = rng.uniform(-0.6, 0.6, (count, 1, 2)) * np.ones((1, steps, 1))
    return (drift + rng.normal(0, noise, (count, steps, 2))).astype(np.float32)


def unrolled(session: Session, sequence: np.ndarray) -> np.ndarray:
    session.reset()
    return np.stack([run_float(session, x) for x in sequence])


def opened(model: SourceModel, plan: Plan, calibration: np.ndarray) -> Session:
    made = Builder(model, lambda: iter(calibration)).build(plan)
    return open_model(made.data, made.variant)


# --- loading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "words"), [("gru", ["h=1"]), ("lstm", ["h=0", "c=2"])])
@pytest.mark.parametrize("runtime", ["litert", "onnxruntime"])
def test_step_by_step_is_the_unrolled_network(networks: Path, name: str, words: list[str], runtime: str) -> None:
    import torch

    x = np.random.default_rng(1).normal(0, 1, (1, 200, 3)).astype(np.float32)
    model = load_model(f"{networks}:{name}", parse_states(words))
    assert (model.input_shape, len(model.state)) == ((1, 1, 3), len(words))
    steps = x[0][:, None]
    session = opened(model, Plan(runtime), steps[None])  # type: ignore[arg-type]
    network = model.payload if name == "gru" else model.payload.inner
    with torch.inference_mode():
        whole, _ = network.layer(torch.from_numpy(x))
        expected = network.head(whole[0]).numpy()
    assert np.abs(unrolled(session, steps) - expected).max() < 1e-5
    assert np.abs(unrolled(session, steps) - expected).max() < 1e-5  # reset means what it says
    session.close()


def test_an_exported_program_names_its_states_as_forward_does(networks: Path, tmp_path: Path) -> None:
    import torch

    network = load_model(f"{networks}:gru", parse_states(["h=1"])).payload
    torch.export.save(torch.export.export(network, (torch.ones(1, 1, 3), torch.ones(1, 1, 8))), tmp_path / "gru.pt2")
    model = load_model(str(tmp_path / "gru.pt2"), parse_states(["h=1"]))
    assert (model.input_shape, model.state) == ((1, 1, 3), ((1, 1, 8),))
    x = np.random.default_rng(2).normal(0, 1, (5, 1, 3)).astype(np.float32)
    with torch.inference_mode():
        expected = network.head(network.layer(torch.from_numpy(x[:, 0][None]))[0][0]).numpy()
    assert np.abs(np.stack(list(model.unroll(x))) - expected).max() < 1e-5


def test_an_onnx_file_is_brought_into_the_one_order(gatherer: Path) -> None:
    model = load_model(str(gatherer), GATHERER)
    assert (model.input_shape, model.state, model.outputs) == ((1, 2), ((1, 2),), 2)
    ones = np.ones((3, 2), np.float32)
    grown = [float(y[0]) for y in model.unroll(ones)]
    assert grown == pytest.approx([30 * (1 - DECAY**steps) for steps in (1, 2, 3)], rel=1e-5)


def test_several_inputs_without_a_state_are_refused_with_what_to_write(gatherer: Path, networks: Path) -> None:
    with pytest.raises(BadModelError, match=r"2 inputs \(h, x\)") as caught:
        load_model(str(gatherer))
    assert "--state" in caught.value.remedy
    with pytest.raises(BadModelError, match=r"2 inputs \(x, h\)") as caught:
        load_model(f"{networks}:gru")
    assert "--state h=1" in caught.value.remedy


@pytest.mark.parametrize(
    ("word", "said"),
    [("h", "no state"), ("h=", "no state"), ("g=h_next", "no input 'g'"), ("h=h_mext", "no output 'h_mext'")],
)
def test_a_state_that_is_not_there_is_named(gatherer: Path, word: str, said: str) -> None:
    with pytest.raises(BadArgumentError, match=said):
        load_model(str(gatherer), parse_states([word]))


def test_a_network_without_a_memory_has_no_state(networks: Path) -> None:
    with pytest.raises(BadArgumentError, match="no input 'h'"):
        load_model(f"{networks}:forgetful", parse_states(["h=0"]))


def test_a_network_whose_only_answer_is_its_state_is_refused(networks: Path) -> None:
    with pytest.raises(BadModelError, match="every output of net is a state"):
        load_model(f"{networks}:echo", parse_states(["h=0"]))


def test_states_are_written_as_they_are_read() -> None:
    pairs = parse_states(["h=h next", "c/1:0=c%2"])
    assert read_states(write_states(pairs)) == pairs
    with pytest.raises(BadArgumentError, match="twice"):
        parse_states(["h=a", "h=b"])


# --- integers --------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("at", [0, 5])
def test_exporting_is_held_at_every_step_and_for_every_answer(gatherer: Path, at: int) -> None:
    model = load_model(str(gatherer), GATHERER)
    calibration = drifting(3, 6)
    made = Builder(model, lambda: iter(calibration)).build(Plan("onnxruntime"))
    last = calibration[2][at]  # of the last sequence, which begins anew

    def otherwise(x: Floats, states: Outputs) -> tuple[Outputs, Outputs]:
        outputs, after = model.reference(x, states)
        return tuple(one + 1 for one in outputs) if (x == last).all() else outputs, after

    check_parity(model, made, lambda: iter(calibration))
    with pytest.raises(BadModelError, match="changed the model"):
        check_parity(replace(model, reference=otherwise), made, lambda: iter(calibration))


@pytest.mark.parametrize(
    ("task", "target", "error", "said"),
    [
        ("detect", "raspberrypi4", BadModelError, "a detector with a state"),
        ("classify", "rk3588", TargetUnsupportedError, "no network with a state"),
    ],
)
def test_a_memory_is_refused_where_nothing_would_carry_it(
    tmp_path: Path, gatherer: Path, task: TaskName, target: str, error: type[Exception], said: str
) -> None:
    asked = replace(request_to(tmp_path, gatherer, tmp_path), task=task, order=Order(target=target))
    with pytest.raises(error, match=said):
        open_subject(asked, console.progress)


def test_a_network_is_known_again_by_what_it_computes_and_by_its_states(
    networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, swapped = (
        load_model(f"{networks}:lstm", parse_states(words))
        for words in (["h=0", "c=2"], ["h=0", "c=2"], ["h=2", "c=0"])
    )
    assert first.identity == second.identity
    assert first.behaviour == swapped.behaviour
    assert first.identity != swapped.identity
    (tmp_path / "leak.py").write_text(LEAK)
    leaks = []
    for share in ("0.5", "0.6"):
        monkeypatch.setenv("LEAK", share)
        leaks.append(load_model(f"{tmp_path / 'leak.py'}:load", parse_states(["h=1"])))
    assert leaks[0].sha256 == leaks[1].sha256  # the file and the weights are the same
    assert leaks[0].identity != leaks[1].identity
    asked = request_to(tmp_path, networks, networks)
    for other in (replace(asked, states=()), replace(asked, onnx_too=True)):
        assert list(fingerprint(asked, None)) != list(fingerprint(other, None))


# --- sequences -------------------------------------------------------------------------------------


def saved(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def test_a_sequence_has_one_label_or_one_for_each_step(tmp_path: Path) -> None:
    x, y = drifting(6, 4), np.arange(24).reshape(6, 4) % 3 % 2
    for labels, judged in ((y[:, 0], 1), (y, 4)):
        data = open_data(saved(tmp_path / f"{judged}.npz", x=x, y=labels), stateful=True)
        samples = arrange(data, TensorInput(shape=(1, 2)), labels=(), outputs=2, stateful=True)
        assert (len(samples), samples.judged, data.shape) == (6, judged, (2,))
        some = samples.part([4, 1])
        assert some.labels.tolist() == labels[[4, 1]].ravel().tolist()
        assert (some.sequence(1) == x[1]).all()
        assert some.where_of(judged) == ("sequence 1" if judged == 1 else "sequence 1, step 0")


def test_data_without_sequences_are_refused(tmp_path: Path) -> None:
    flat = saved(tmp_path / "flat.npz", x=np.zeros((6, 2), np.float32), y=np.arange(6) % 2)
    with pytest.raises(BadDataError, match="holds no sequences"):
        open_data(flat, stateful=True)
    with pytest.raises(BadDataError, match="needs sequences"):
        open_data(tmp_path, stateful=True)


def test_the_rows_of_a_csv_become_sequences_that_share_no_row(tmp_path: Path) -> None:
    rows = "\n".join(f"{i},{-i},{'on' if i % 3 else 'off'}" for i in range(200))
    (tmp_path / "d.csv").write_text("a,b,label\n" + rows)
    contract = SeriesInput(window=1, stride=1, columns=("b", "a"), layout="NF")
    samples = arrange(open_data(tmp_path / "d.csv", stateful=True), contract, labels=(), outputs=2, stateful=True)
    assert (len(samples), samples.steps, samples.judged, len(samples.labels)) == (3, 64, 64, 192)
    assert samples.sequence(1)[5].tolist() == [[-69.0, 69.0]]
    assert samples.where[1] == "line 66 to line 129"
    assert [samples.classes[i] for i in samples.labels[64:67]] == ["on", "on", "off"]
    assert len(set(samples.digests)) == 3


def test_steps_that_are_wrong_together_prove_no_more_than_one_sequence() -> None:
    truth = np.zeros(400, np.int64)
    before = np.tile(np.array([[1.0, 0.0]], np.float32), (400, 1))
    after = before.copy()
    after[:20] = after[:20, ::-1]  # one sequence of twenty
    yardstick = fit("classify", None, before, truth)
    alone = compare(Run(before, before), Run(after, after), truth, yardstick)
    together = compare(Run(before, before), Run(after, after), truth, yardstick, judged=20)
    assert (alone.quality.samples, together.quality.samples) == (400, 20)
    assert together.quality.drop == alone.quality.drop == pytest.approx(0.05)
    assert together.quality.upper95 is not None
    assert alone.quality.upper95 is not None
    assert together.quality.upper95 > 1.5 * alone.quality.upper95
    assert together.lost is None


# --- the whole way ---------------------------------------------------------------------------------


def request_to(folder: Path, gatherer: Path, data: Path) -> Request:
    order = Order(target="raspberrypi4", name="gatherer", output=folder / "gatherer-1.edge")
    return Request(model=str(gatherer), data=data, order=order, states=GATHERER, scope=Scope(effort="quick"))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory, gatherer: Path) -> tuple[Compiled, Path]:
    """Which of two sides has it drifted to so far: one label a step."""
    folder = tmp_path_factory.mktemp("whole")
    x = drifting(160, 40, seed=3)
    model = load_model(str(gatherer), GATHERER)
    y = np.stack([[int(out.argmax()) for out in model.unroll(sequence)] for sequence in x])
    data = saved(folder / "d.npz", x=x, y=y)
    return compile_model(request_to(folder, gatherer, data), stage=console.progress, warn=lambda _: None), data


def test_a_compiled_memory_says_so_and_holds_its_golden_sequence(compiled: tuple[Compiled, Path]) -> None:
    result, data = compiled
    bundle = open_bundle(result.bundle)
    manifest = bundle.manifest
    assert (manifest.format, manifest.stateful, manifest.provenance.recipe["state"]) == (2, True, "h=h_next")
    assert result.main.quality.samples == len(result.split.report) == 96  # sequences, not steps
    assert manifest.quality.agreement > 0.95
    assert bundle.golden.input.shape == (16, 2)
    assert bundle.baseline.scores.sum() == 96 * 40  # a device counts every step
    for variant in manifest.variants:
        session = open_session(bundle, variant=variant)
        assert check_golden(bundle, session, invocations=3).samples == 16
        assert check_golden(bundle, session, invocations=3).samples == 16  # from its beginning again
        session.close()
    evaluated = evaluate_bundle(result.bundle, data, label_column="label", stage=console.progress)
    assert evaluated.samples == 160
    assert all(one.agreement > 0.95 for one in evaluated.variants)


def test_a_compiled_memory_is_compiled_to_the_same_bytes(
    tmp_path: Path, gatherer: Path, compiled: tuple[Compiled, Path]
) -> None:
    result, data = compiled
    again = compile_model(request_to(tmp_path, gatherer, data), stage=console.progress, warn=lambda _: None)
    assert again.bundle.read_bytes() == result.bundle.read_bytes()


def test_a_study_of_a_memory_searches_with_its_state_and_gives_it_to_the_compile(
    tmp_path: Path, gatherer: Path, compiled: tuple[Compiled, Path]
) -> None:
    pytest.importorskip("optuna", reason="needs edgewright[tune]")
    from compiler.tuning.bound import Bound, hold_same
    from compiler.tuning.recall import ask_again, recall
    from compiler.tuning.tune import Quest, tune_model

    url, asked = f"sqlite:///{tmp_path / 'study.db'}", request_to(tmp_path, gatherer, compiled[1])
    tuned = tune_model(asked, Quest(url, "memory", trials=4), stage=console.progress, warn=lambda _: None)
    assert any("float-state" in one.plan for one in tuned.tried)
    with pytest.raises(StudyError, match="other states"):
        hold_same("memory", tuned.bound, msgspec.structs.replace(tuned.bound, states="h=0"))
    old = {name: value for name, value in msgspec.to_builtins(tuned.bound).items() if name != "states"}
    assert msgspec.convert(old, Bound).states == ""  # of a study from before there were states
    again = ask_again(replace(asked, states=()), recall(url, "memory"))
    assert again.states == GATHERER
    made = compile_model(again, stage=console.progress, warn=lambda _: None)
    assert open_bundle(made.bundle).manifest.stateful
    assert {str(one.candidate.plan) for one in made.measured} <= {one.plan for one in tuned.tried}
