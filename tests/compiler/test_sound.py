"""Sound as training data: folders of .wav files, cut and turned into features as the audio contract says."""

import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compiler.arrange import arrange
from compiler.contract import resolve_contract
from compiler.dataset import Data
from compiler.evaluate import evaluate_bundle
from compiler.load.source import SourceModel, guess_layout
from compiler.packing import Order
from compiler.pipeline import Request, compile_model
from compiler.plan import parse_plan
from compiler.read_data import open_data
from compiler.search import Scope
from edge import console
from edge.bundle import describe, open_bundle
from edge.errors import BadDataError, BadInputContractError
from edge.manifest import AudioInput
from edge.sound import Features, to_real, window_samples

RATE, FRAMES, MELS = 8000, 10, 8
CONTRACT = f"""
sample_rate = {RATE}
stride = 5
win_length = 200
hop_length = 80
n_fft = 256
n_mels = {MELS}
n_mfcc = 0
f_min = 100.0
f_max = 4000.0
window_fn = "hann"
preemphasis = 0.0
power = 2
mel_scale = "htk"
triangles = "hz"
norm = "none"
level = "none"
log = "ln"
log_offset = 1e-6
log_floor = 0.0
top_db = 0.0
mean = 0.0
std = 1.0
"""
TONES = {"high": 2500.0, "low": 400.0}


def write(path: Path, sound: np.ndarray, rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((sound * 32767).astype("<i2").tobytes())


def tone(hz: float, seed: int, samples: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    steady = np.sin(2 * np.pi * (hz * np.arange(samples) / RATE + rng.random()))
    return 0.2 * rng.uniform(0.3, 1) * steady + 0.05 * rng.standard_normal(samples)


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders with 40 clips each, of a little more than one window."""
    folder = tmp_path_factory.mktemp("tones")
    for name, hz in TONES.items():
        for seed in range(40):
            write(folder / name / f"{seed:02}.wav", tone(hz, seed, 1000).clip(-1, 1))
    return folder


@pytest.fixture(scope="module")
def tone_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An .onnx file [1, 10, 8] -> [1, 2]: whether the upper or the lower mel bands are louder; contract beside it."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = np.repeat([[-0.2, 0.2], [0.2, -0.2]], MELS // 2, axis=0).astype(np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "w"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["y"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tone",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, FRAMES, MELS])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.array([1]), "axes")],
    )
    folder = tmp_path_factory.mktemp("model")
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), folder / "tone.onnx")
    (folder / "tone.input.toml").write_text(CONTRACT)
    return folder / "tone.onnx"


def model(*shape: int) -> SourceModel:
    return SourceModel(
        kind="onnx", name="net", input_shape=shape, input_dtype="float32", outputs=2, sha256="0" * 64, payload=b"",
        reference=lambda x, _: ((x.ravel()[:2],), ()), layout=guess_layout(shape),
    )  # fmt: skip


def resolve(net: SourceModel, data: Data, toml: str, folder: Path) -> AudioInput:
    (folder / "contract.toml").write_text(toml)
    contract = resolve_contract(net, data, folder / "contract.toml", None).contract
    assert isinstance(contract, AudioInput)
    return contract


# --- the contract -----------------------------------------------------------------------------------


def test_sound_without_a_contract_lists_what_is_open_as_a_file_to_paste(tones: Path, tmp_path: Path) -> None:
    net, data = model(1, 49, 10, 1), open_data(tones)
    with pytest.raises(BadInputContractError, match="open: window, stride, win_length, hop_length, n_fft") as caught:
        resolve_contract(net, data, None, None)
    pasted = caught.value.remedy.split("\n\n", 1)[1]
    assert f"sample_rate = {RATE}\n" in pasted  # the files say so
    fitting = pasted.replace('layout = "NTC"', 'layout = "NTC1"')
    contract = resolve(net, data, fitting, tmp_path)
    assert (contract.layout, contract.window, contract.n_mfcc, contract.level) == ("NTC1", 49, 10, "max")


SHAPES = {
    "NTC": (1, 10, 8), "NCT": (1, 8, 10), "NF": (1, 80), "NTC1": (1, 10, 8, 1), "N1TC": (1, 1, 10, 8),
    "N1CT": (1, 1, 8, 10),
}  # fmt: skip


@pytest.mark.parametrize("layout", SHAPES)
def test_layout_and_window_are_taken_from_the_models_shape(layout: str, tones: Path, tmp_path: Path) -> None:
    contract = resolve(model(*SHAPES[layout]), open_data(tones), CONTRACT, tmp_path)
    assert (contract.layout, contract.window, contract.sample_rate) == (layout, 10, RATE)


def test_a_square_input_says_that_its_layout_is_open(tones: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInputContractError, match="open: window, layout"):
        resolve(model(1, 8, 8), open_data(tones), CONTRACT, tmp_path)
    assert resolve(model(1, 8, 8), open_data(tones), CONTRACT + 'layout = "NCT"', tmp_path).window == 8


WRONG = {
    "another window": (CONTRACT + "window = 9", "says window = 9"),
    "no such value": (CONTRACT.replace('"ln"', '"log2"'), "the input contract is wrong.*log2"),
    "contradiction": (CONTRACT.replace("n_fft = 256", "n_fft = 128"), "n_fft is shorter"),
    "does not fit": (CONTRACT.replace("n_mels = 8", "n_mels = 7") + 'window = 10\nlayout = "NTC"', "makes 10 x 7"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_audio_contract_is_refused_in_one_line(case: str, tones: Path, tmp_path: Path) -> None:
    toml, problem = WRONG[case]
    with pytest.raises(BadInputContractError, match=problem) as caught:
        resolve(model(1, 10, 8), open_data(tones), toml, tmp_path)
    assert "\n" not in caught.value.problem


# --- the data ---------------------------------------------------------------------------------------


def contract_of(tones: Path, folder: Path, **more: Any) -> AudioInput:
    toml = CONTRACT + "".join(f"{key} = {value!r}\n" for key, value in more.items())
    return resolve(model(1, FRAMES, MELS), open_data(tones), toml, folder)


def test_every_clip_becomes_the_features_that_a_device_makes(tones: Path, tmp_path: Path) -> None:
    contract, data = contract_of(tones, tmp_path), open_data(tones)
    found = arrange(data, contract, labels=(), outputs=2)
    assert found.classes == ("high", "low")
    assert len(found) == 80
    clip = to_real(data.read(41))[: window_samples(contract)]
    assert found.raw(41).tobytes() == Features(contract).of(clip).tobytes()
    assert found.raw(41) is found.raw(41)


def test_short_clips_end_in_silence_and_long_ones_are_cut_but_never_split_apart(tones: Path, tmp_path: Path) -> None:
    contract = contract_of(tones, tmp_path)
    size = window_samples(contract)
    write(tmp_path / "d" / "a" / "short.wav", tone(400, 1, 300))
    write(tmp_path / "d" / "b" / "long.wav", tone(400, 2, 3 * size + 5))
    data = open_data(tmp_path / "d")
    found = arrange(data, contract, labels=(), outputs=2)
    assert found.labels.tolist() == [0, 1, 1, 1]
    assert found.where == ("a/short.wav", "b/long.wav", f"b/long.wav from {size}", f"b/long.wav from {2 * size}")
    assert len(set(found.digests)) == 2
    padded = np.pad(to_real(data.read(0)), (0, size - 300))
    assert found.raw(0).tobytes() == Features(contract).of(padded).tobytes()


def test_features_of_training_are_taken_as_they_are(tones: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 8, 10)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=x, y=[0, 1, 0, 1])
    contract = resolve(model(1, 8, 10), open_data(tmp_path / "d.npz"), CONTRACT, tmp_path)
    found = arrange(open_data(tmp_path / "d.npz"), contract, labels=(), outputs=2)
    assert found.raw(2).tolist() == x[2].T.tolist()  # rows are frames
    np.savez(tmp_path / "e.npz", x=x[:, :7], y=[0, 1, 0, 1])
    with pytest.raises(BadDataError, match="the audio contract makes"):
        arrange(open_data(tmp_path / "e.npz"), contract, labels=(), outputs=2)


def test_another_sample_rate_is_refused_with_what_to_do(tones: Path, tmp_path: Path) -> None:
    write(tmp_path / "d" / "a" / "1.wav", tone(400, 1, 900), rate=16000)
    with pytest.raises(BadDataError, match="sampled at 16000 Hz, the input contract says 8000 Hz") as caught:
        arrange(open_data(tmp_path / "d"), contract_of(tones, tmp_path), labels=(), outputs=2)
    assert "-r 8000" in caught.value.remedy
    write(tmp_path / "d" / "b" / "1.wav", tone(400, 1, 900))
    with pytest.raises(BadDataError, match="sampled at 8000 Hz"):
        open_data(tmp_path / "d")


def test_pictures_and_sound_are_not_mixed(tones: Path, tmp_path: Path) -> None:
    write(tmp_path / "d" / "a" / "1.wav", tone(400, 1, 900))
    (tmp_path / "d" / "b").mkdir()
    (tmp_path / "d" / "b" / "1.png").write_bytes(b"")
    with pytest.raises(BadDataError, match=r"'b' in .* holds no \.wav files, others do"):
        open_data(tmp_path / "d")
    with pytest.raises(BadDataError, match="the model wants"):
        resolve_contract(model(1, 10, 8), open_data(tones), _file(tmp_path, 'kind = "tensor"'), None)


def _file(folder: Path, toml: str) -> Path:
    (folder / "kind.toml").write_text(toml)
    return folder / "kind.toml"


# --- the whole compile ------------------------------------------------------------------------------


def test_a_model_compiled_from_sound_carries_how_to_hear(tone_model: Path, tones: Path, tmp_path: Path) -> None:
    order = Order(target="x86-64", name="tone", output=tmp_path / "tone-1.edge")
    plans = (parse_plan("onnxruntime float32"), parse_plan("onnxruntime int8"))
    request = Request(model=str(tone_model), data=tones, order=order, scope=Scope(plans=plans))
    compiled = compile_model(request, stage=console.progress, warn=lambda _: None)
    bundle = open_bundle(compiled.bundle)
    heard = bundle.manifest.input
    assert isinstance(heard, AudioInput)
    assert (heard.window, heard.layout, heard.sample_rate, heard.n_mels) == (FRAMES, "NTC", RATE, MELS)
    assert bundle.manifest.labels == ("high", "low")
    assert bundle.manifest.quality.compiled == 1.0
    assert bundle.baseline.input_mean.shape == (MELS,)
    assert "sound at 8000 Hz, 10 frames of 8 log-mel, every 5 frames" in describe(bundle.manifest)
    page = (compiled.report / "report.html").read_text()
    assert "8000 Hz" in page
    assert "25 ms" in page
    evaluation = evaluate_bundle(compiled.bundle, tones, label_column="label", stage=console.progress)
    assert evaluation.variants[0].value == 1.0
