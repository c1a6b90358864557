"""MLPerf Tiny's keyword model hears real speech: the voices of alsa-utils say "front left", "side right" and more."""

import subprocess
import sys
import textwrap
import wave
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edge.bundle import open_bundle
from edge.manifest import AudioInput
from edge.preprocess import Preprocessor
from edge.runtimes import open_session
from edge.statistics import softmax_top1
from edge.windows import window_of
from edge_agent.recording.chunks import ChunkReader
from edge_agent.recording.messages import Turn
from edge_agent.recording.replay import read_items

EDGE = [sys.executable, "-m", "edge.cli"]
SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"
VOICES = Path("/usr/share/sounds/alsa")
SAID = {
    "Front_Left": "left", "Side_Left": "left", "Rear_Left": "left", "Front_Right": "right", "Side_Right": "right",
    "Rear_Right": "right", "Front_Center": "unknown", "Rear_Center": "unknown",
}  # fmt: skip
HOLD = 4
"""So many inputs in a row, 160 ms, say the same: then it was said."""
CONTRACT = """
labels = ["down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes", "silence", "unknown"]
sample_rate = 16000
win_length = 480
hop_length = 320
n_fft = 512
n_mels = 40
n_mfcc = 10
f_min = 20.0
f_max = 4000.0
window_fn = "hann"
preemphasis = 0.0
power = 1
mel_scale = "htk"
triangles = "mel"
norm = "none"
level = "max"
log = "ln"
log_offset = 1e-6
log_floor = 0.0
top_db = 0.0
dct_norm = "htk"
stride = 2
mean = 0.0
std = 1.0
"""


def third(sound: np.ndarray) -> np.ndarray:
    """48 kHz to 16 kHz: a low pass of 7 kHz (a sinc under Blackman's window), then every third sample."""
    at = np.arange(-120, 121)
    low_pass = np.sinc(at * 2 * 7000 / 48000) * np.blackman(len(at))
    return np.convolve(sound, low_pass / low_pass.sum(), mode="same")[::3]


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The spoken words at 16 kHz, each with half a second of a quiet room behind it."""
    if not all((VOICES / f"{name}.wav").is_file() for name in SAID):
        pytest.skip(f"needs the voices of alsa-utils in {VOICES}")
    folder = tmp_path_factory.mktemp("voices")
    room = np.random.default_rng(0).standard_normal(8000) * 16
    for name in SAID:
        with wave.open(str(VOICES / f"{name}.wav")) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (48000, 1, 2)
            sound = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        codes = np.concatenate([third(sound.astype(np.float64)), room]).clip(-32768, 32767)
        with wave.open(str(folder / f"{name}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16000)
            file.writeframes(np.rint(codes).astype("<i2").tobytes())
    return folder


@pytest.fixture(scope="module")
def keywords(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle, compiled with the benchmark's own stimuli (features of Speech Commands) and the audio contract."""
    model, stimuli = SHARED / "mlperf_tiny" / "kws_dscnn_fp32.tflite", SHARED / "ready" / "kws.npz"
    if not (model.is_file() and stimuli.is_file()):
        pytest.skip("needs kws_dscnn_fp32.tflite and kws.npz, which users of the project do not have")
    folder = tmp_path_factory.mktemp("keywords")
    (folder / "kws.input.toml").write_text(CONTRACT)
    words = ["--target", "x86-64", "--data", stimuli, "--input", "kws.input.toml", "--effort", "quick", "--no-cache"]
    done = subprocess.run(
        [*EDGE, "compile", model, *words, "-o", "kws.edge"],
        cwd=folder, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "kws.edge"


@pytest.mark.timeout(900)
def test_the_keyword_model_hears_what_people_said(keywords: Path, voices: Path) -> None:
    bundle = open_bundle(keywords)
    assert isinstance(bundle.manifest.input, AudioInput)
    assert bundle.manifest.quality.compiled >= 0.88  # of the official stimuli; the benchmark asks for 0.90 on all 1,000
    session = open_session(bundle)
    preprocessor = Preprocessor(bundle.manifest.input, session.variant.input)
    labels = bundle.manifest.labels
    for name, said in SAID.items():
        with wave.open(str(voices / f"{name}.wav")) as file:
            sound = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
        window, heard = window_of(bundle.manifest.input), []
        assert window is not None
        for features in window.push(sound[:, None]):
            preprocessor.into(features, session.input_buffer())
            session.invoke()
            label, score = softmax_top1(session.output())
            heard.append(labels[label] if score >= 0.8 else "unknown")
        held = {word for word, run in groupby(heard) if len(list(run)) >= HOLD}
        assert held - {"unknown"} == {said} - {"unknown"}, f"{name}: {heard}"
    session.close()


@pytest.mark.timeout(900)
def test_the_agent_obeys_spoken_words_and_its_recording_replays_to_the_same_decisions(
    keywords: Path, voices: Path, tmp_path: Path
) -> None:
    for name in ("Front_Center", "Front_Left", "Front_Right"):
        (tmp_path / "said").mkdir(exist_ok=True)
        (tmp_path / "said" / f"{name}.wav").write_bytes((voices / f"{name}.wav").read_bytes())
    (tmp_path / "agent.yaml").write_text(
        textwrap.dedent("""
        device: desk-1
        model: kws_dscnn_fp32
        state_dir: state
        source: {kind: wav, path: said, loop: false}
        decider:
          kind: classify
          actions: [straight, left, right]
          go: {left: left, right: right}
          floor: 0.8
          hold_s: 0.1
        actuators:
          - {kind: recorder, path: applied.txt, max_age_ms: 1000}
    """)
    )
    run_edge("record", tmp_path / "agent.yaml", "-o", tmp_path / "said.rec", "--unsigned", keywords)
    turns = [turn for turn in read_items(ChunkReader(tmp_path / "said.rec"), "said") if isinstance(turn, Turn)]
    actions = [action for action, _ in groupby(turn.action for turn in turns)]
    assert actions in ([0, 1, 0, 2, 0], [0, 1, 0, 2]), actions
    told = msgspec.json.decode(run_edge("replay", tmp_path / "said.rec", "--bundle", keywords, "--json"))
    assert told["decisions_compared"] == len(turns)
    assert (told["decisions_differ"], told["again"]["inputs_differ"], told["again"]["outputs_differ"]) == (0, 0, 0)


def run_edge(*words: Any) -> str:
    done = subprocess.run([*EDGE, *words], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout
