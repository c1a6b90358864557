"""Networks with a memory are loaded, and computed step by step, as they compute sequences."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from memories import DECAY, GATHERER, drifting, opened, request_to, unrolled

from compiler.again import fingerprint
from compiler.builder import Builder
from compiler.load import load_model
from compiler.load.source import Floats, Outputs
from compiler.load.state import parse_states, read_states, write_states
from compiler.parity import check_parity
from compiler.plan import Plan
from edge.errors import BadArgumentError, BadModelError

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
