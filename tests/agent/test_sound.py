"""Sound: from a microphone (arecord on an ALSA device that plays a pipe) and from files, to decisions and back."""

import hashlib
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge.bundle import Baseline, Golden, pack
from edge.errors import BadDataError, FileMissingError, MissingExtraError, SourceError
from edge.manifest import (
    AudioInput,
    InputContract,
    Manifest,
    Provenance,
    Quality,
    SeriesInput,
    TensorSpec,
    Tolerance,
    Variant,
)
from edge.sound import Features, window_samples
from edge.statistics import SCORE_EDGES
from edge.windows import window_of
from edge_agent.channels import make_pipe
from edge_agent.link import Act
from edge_agent.press import Press
from edge_agent.recording.chunks import ChunkReader
from edge_agent.recording.messages import Turn
from edge_agent.recording.replay import read_items
from edge_agent.reopening import Reopening
from edge_agent.ring_memory import create_ring
from edge_agent.sources import Rows
from edge_agent.sources.microphone import Microphone, SampleClock
from edge_agent.sources.wav import Wav
from edge_agent.specs import CaptureSpec, Chosen

StartAgent = Callable[..., Any]
RATE, FRAMES, MELS = 8000, 10, 8
PERIOD = RATE // 50
WAIT_S = 30.0
HIGH_HZ, LOW_HZ = 2500.0, 400.0
HEARD = AudioInput(
    sample_rate=RATE, window=FRAMES, stride=2, win_length=200, hop_length=80, n_fft=256, n_mels=MELS, f_min=100.0,
    f_max=4000.0,
)  # fmt: skip
needs_arecord = pytest.mark.skipif(shutil.which("arecord") is None, reason="needs arecord, of alsa-utils")


def tone(hz: float, samples: int = RATE) -> np.ndarray:
    """16-bit codes, with a hiss."""
    hiss = np.random.default_rng(0).standard_normal(samples)
    return np.rint(6000 * np.sin(2 * np.pi * hz * np.arange(samples) / RATE) + 300 * hiss).astype(np.int16)


def write(path: Path, codes: np.ndarray, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(codes.astype("<i2").tobytes())
    return path


def play(source: Wav) -> list[Rows]:
    source.open(1, 1, RATE)
    found: list[Rows] = []
    while (rows := source.read(1)) is not None and len(found) < 1000:
        found.append(rows)
    source.close()
    return found


def codes_of(rows: list[Rows]) -> list[int]:
    return [] if not rows else np.rint(np.concatenate([one.values for one in rows])[:, 0] * 32768).astype(int).tolist()


# --- files ------------------------------------------------------------------------------------------


def test_a_file_is_played_sample_by_sample_at_its_pace(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone(LOW_HZ, 1000))
    begin_s = time.monotonic()
    rows = play(Wav(Wav.Options(path=path, loop=False, speed=0.5)))
    assert time.monotonic() - begin_s >= 0.25
    assert codes_of(rows) == tone(LOW_HZ, 1000).tolist()
    assert [len(one.values) for one in rows] == [PERIOD] * 6 + [40]


def test_a_folder_is_played_in_order_and_each_file_begins_a_new_window(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        write(tmp_path / f"{name}.wav", np.full(PERIOD + 1, ord(name)))
    rows = play(Wav(Wav.Options(path=tmp_path, loop=False, speed=0)))
    assert [(one.gap, round(float(one.values[0, 0] * 32768))) for one in rows[::2]] == [
        ("", ord("a")), ("b.wav begins", ord("b")), ("c.wav begins", ord("c")),
    ]  # fmt: skip


def test_a_file_begins_again_only_if_it_shall(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone(LOW_HZ, PERIOD))
    rows = play(Wav(Wav.Options(path=path, speed=0)))
    assert {one.gap for one in rows[1:]} == {"a.wav begins"}
    assert len(rows) == 1000


def test_sound_at_another_rate_or_none_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadDataError, match="sampled at 16000 Hz, the model hears 8000 Hz"):
        play(Wav(Wav.Options(path=write(tmp_path / "d" / "a.wav", tone(LOW_HZ), rate=16000))))
    with pytest.raises(FileMissingError, match="no sound at"):
        play(Wav(Wav.Options(path=tmp_path / "none.wav")))
    with pytest.raises(FileMissingError, match=r"no \.wav files"):
        play(Wav(Wav.Options(path=tmp_path)))
    with pytest.raises(BadDataError, match="holds no sound"):
        play(Wav(Wav.Options(path=write(tmp_path / "e" / "a.wav", tone(LOW_HZ, 0)))))


# --- when a sample was taken ------------------------------------------------------------------------


def test_sound_that_waited_in_a_pipe_is_as_old_as_it_is() -> None:
    clock = SampleClock(1000)
    assert [clock.stamp(10, 10_000_000 * n) for n in (1, 2, 3)] == [10_000_000, 20_000_000, 30_000_000]
    late = [clock.stamp(10, 90_000_000) for _ in range(6)]  # nobody read for 60 ms, then all at once
    assert late == pytest.approx([10_000_000 * n for n in (4, 5, 6, 7, 8, 9)], abs=100_000)


def test_the_earliest_arrival_counts_and_no_stamp_lies_in_the_future() -> None:
    clock = SampleClock(1000)
    clock.stamp(10, 18_000_000)  # held up by 8 ms
    assert clock.stamp(10, 20_000_000) == 20_000_000
    assert clock.stamp(10, 33_000_000) == pytest.approx(30_000_000, abs=20_000)


def test_a_sound_card_whose_clock_is_slow_does_not_age() -> None:
    clock = SampleClock(1000)
    for n in range(1, 30_000):  # five minutes; every 10 samples take 10.005 ms
        now_ns = round(10_005_000 * n)
        behind_ns = now_ns - clock.stamp(10, now_ns)
    assert 0 <= behind_ns < 1_000_000


# --- into the ring ----------------------------------------------------------------------------------


class Ear:
    """A source that only remembers what it was asked for."""

    live = True

    def __init__(self) -> None:
        self.asked: list[float] = []

    def open(self, *asked: float) -> None:
        self.asked.append(asked[-1])

    def read(self, _: int) -> Rows:
        return Rows(np.zeros((PERIOD, 1), np.float32), time.monotonic_ns())

    def close(self) -> None:
        self.asked.append(0)


def press(contract: InputContract) -> Press:
    token = bytes(16)
    spec = CaptureSpec(
        parent=0, link_fd=0, source=Chosen(kind="wav", options={}, folder="."), fps=30, contract=contract, epoch=1,
        active=0, ring_fd=create_ring(token=token), token=token.hex(), publications=(make_pipe().write_fd,),
    )  # fmt: skip
    return Press(spec)


def test_a_source_is_asked_for_the_models_rate_and_opened_again_for_a_model_that_hears_at_another() -> None:
    ear, writer = Ear(), press(HEARD)
    camera = Reopening(ear, 30)
    camera.read(writer)
    camera.read(writer)
    writer.act(Act(contract=msgspec.structs.replace(HEARD, stride=5), epoch=2, active=1, fps=15))
    camera.read(writer)
    assert ear.asked == [RATE]
    writer.act(Act(contract=msgspec.structs.replace(HEARD, sample_rate=16000), epoch=3, active=0, fps=15))
    camera.read(writer)
    assert ear.asked == [RATE, 0, 16000]


def test_each_window_is_stamped_with_its_own_last_sample() -> None:
    writer = press(HEARD)
    size = window_samples(HEARD)
    writer.publish_rows(Rows(np.zeros((size + 5 * HEARD.hop_length + 7, 1), np.float32), 1_000_000_000))
    assert writer.frame == 3  # a new one every 2 frames
    behind_ns = (7 + HEARD.hop_length) * 10**9 // RATE
    newest = writer._writer._memory.header(writer._writer._newest)
    assert (newest.frame, newest.captured_ns) == (3, 1_000_000_000 - behind_ns)


def test_a_model_that_takes_raw_samples_has_a_series_of_one_column() -> None:
    writer = press(SeriesInput(window=PERIOD, stride=PERIOD, columns=("sound",)))
    assert writer.ask(RATE) == (1, 1, RATE)
    writer.publish_rows(Rows(np.zeros((3 * PERIOD, 1), np.float32), 1))
    assert writer.frame == 3


# --- a microphone -----------------------------------------------------------------------------------


class Card:
    """An ALSA device that hears what is written to a pipe, in real time, until it is unplugged."""

    def __init__(self, folder: Path) -> None:
        self.name = f"card_{os.getpid()}"  # other tests may run beside us
        self.config, self._fifo = folder / "asound.conf", folder / "sound"
        self.hears, self._ended = tone(HIGH_HZ), threading.Event()
        os.mkfifo(self._fifo)
        self._fd = os.open(self._fifo, os.O_RDWR)  # ours is a reader, too: no end of file, no broken pipe
        self._thread = threading.Thread(target=self._run)
        self.plug()
        self._thread.start()

    def plug(self) -> None:
        self.config.write_text(
            textwrap.dedent(f"""
            </usr/share/alsa/alsa.conf>
            pcm.{self.name} {{ type file, slave.pcm "null", file "/dev/null", infile "{self._fifo}", format "raw" }}
        """)
        )

    def unplug(self) -> None:
        self.config.write_text("</usr/share/alsa/alsa.conf>\n")

    def _run(self) -> None:
        os.set_blocking(self._fd, False)
        due_s = time.monotonic() + PERIOD / RATE
        while not self._ended.wait(max(0.0, due_s - time.monotonic())):
            due_s += PERIOD / RATE  # on a busy machine, too: sound that comes late counts as old
            try:
                os.write(self._fd, self.hears[:PERIOD].tobytes())
            except BlockingIOError:
                continue  # nobody listens
            self.hears = np.roll(self.hears, -PERIOD)

    def end(self) -> None:
        self._ended.set()
        self._thread.join()
        os.close(self._fd)


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Card]:
    (tmp_path / "alsa").mkdir()
    made = Card(tmp_path / "alsa")
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(made.config))
    yield made
    made.end()


def recorders(card: Card) -> list[int]:
    """Process ids of every arecord that listens to it."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = line.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"arecord") and card.name.encode() in words:
            found.append(int(line.parent.name))
    return found


@needs_arecord
def test_a_microphone_delivers_every_sample_in_order_at_the_models_rate(card: Card) -> None:
    card.hears = np.arange(RATE, dtype=np.int16)
    microphone = Microphone(Microphone.Options(device=card.name, silent_s=20))
    microphone.open(1, 1, RATE)
    rows = [microphone.read(1) for _ in range(20)]
    microphone.close()
    codes = codes_of(rows)
    assert codes == [(codes[0] + n) % RATE for n in range(len(codes))]
    assert max(len(one.values) for one in rows) <= PERIOD
    stamps = [one.captured_ns for one in rows]
    assert stamps == sorted(stamps)
    assert stamps[-1] <= time.monotonic_ns()


@needs_arecord
def test_a_microphone_that_goes_away_says_so_and_leaves_nothing_behind(card: Card) -> None:
    before = descriptors()
    microphone = Microphone(Microphone.Options(device=card.name, silent_s=20))
    for _ in range(3):
        microphone.open(1, 1, RATE)
        microphone.read(1)
        assert microphone._arecord is not None
        microphone._arecord.kill()
        with pytest.raises(SourceError, match=f"{card.name!r} broke off"):
            until_error(microphone)
        microphone.close()
    card.unplug()
    microphone.open(1, 1, RATE)
    with pytest.raises(SourceError, match=r"broke off: .*No such file or directory"):
        until_error(microphone)
    microphone.close()
    assert descriptors() == before
    assert recorders(card) == []


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def until_error(microphone: Microphone) -> None:
    limit_s = time.monotonic() + WAIT_S
    while time.monotonic() < limit_s:
        microphone.read(1)


@needs_arecord
def test_a_microphone_that_falls_silent_has_broken_off(card: Card) -> None:
    card.hears = np.empty(0, np.int16)
    microphone = Microphone(Microphone.Options(device=card.name, silent_s=0.2))
    microphone.open(1, 1, RATE)
    with pytest.raises(SourceError, match="is silent"):
        until_error(microphone)
    microphone.close()


def test_without_arecord_the_remedy_names_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingExtraError) as caught:
        Microphone(Microphone.Options()).open(1, 1, RATE)
    assert "alsa-utils" in caught.value.remedy


# --- the whole agent --------------------------------------------------------------------------------


def tone_bundle(folder: Path) -> Path:
    """Which is louder, the upper mel bands or the lower ones?"""
    weights = np.repeat([[-0.5, 0.5], [0.5, -0.5]], MELS // 2, axis=0).astype(np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "w"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["y"], axis=1),
    ]
    graph = helper.make_graph(
        nodes, "tone", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, FRAMES, MELS])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.array([1]), "axes")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    variant = Variant(
        runtime="onnxruntime", dtype="float32", file="model.onnx", sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data), input=TensorSpec(name="x", shape=(1, FRAMES, MELS), dtype="float32"),
        outputs=(TensorSpec(name="y", shape=(1, 2), dtype="float32"),),
    )  # fmt: skip
    features = Features(HEARD)
    inputs = np.stack([features.of((tone(hz, 920) / 32768).astype(np.float32)) for hz in (HIGH_HZ, LOW_HZ)])
    logits = inputs.mean(axis=1) @ weights
    manifest = Manifest(
        name="tone", version=1, target="x86-64", labels=("high", "low"), input=HEARD, variants=(variant,),
        quality=Quality(
            metric="accuracy", reference=1.0, compiled=1.0, drop=0.0, ci95=(0.0, 0.0), agreement=1.0, samples=2
        ),
        golden=Tolerance(atol=1e-3, rtol=1e-3),
        provenance=Provenance(source_sha256="0" * 64, data_sha256="0" * 64, tools={}, recipe={}),
    )  # fmt: skip
    return pack(
        folder / "tone-1.edge", manifest, files={"model.onnx": data},
        golden=Golden(input=inputs, outputs=(np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32)),
        baseline=Baseline(
            scores=np.full(len(SCORE_EDGES) + 1, 10, np.int64), labels=np.full(2, 10, np.int64),
            input_mean=np.zeros(MELS, np.float32), input_std=np.ones(MELS, np.float32),
        ),
    )  # fmt: skip


def write_config(folder: Path, source: str) -> Path:
    config = folder / "agent.yaml"
    config.write_text(
        textwrap.dedent(f"""
        device: desk-1
        model: tone
        state_dir: state
        source: {source}
        decider: {{kind: classify, go: [high], floor: 0.9, hold_s: 0.1}}
        actuators:
          - {{kind: recorder, path: applied.txt, max_age_ms: 1000}}
    """)
    )
    return config


@needs_arecord
def test_a_machine_obeys_a_tone_and_stands_when_the_microphone_is_gone(
    card: Card, tmp_path: Path, start_agent: StartAgent
) -> None:
    config = write_config(tmp_path, f"{{kind: microphone, device: {card.name}, silent_s: 5}}")
    agent = start_agent(config, tone_bundle(tmp_path))
    agent.goes()
    card.hears = tone(LOW_HZ)
    agent.until(lambda: agent.lines()[-1].action == "stop" and not agent.lines()[-1].safe, "stop, for the tone is low")
    card.hears = tone(HIGH_HZ)
    agent.goes()
    card.unplug()
    os.kill(recorders(card)[0], 9)
    agent.until(lambda: agent.lines()[-1].safe, "the safe state")
    agent.until(
        lambda: f"microphone {card.name!r} broke off" in agent.status().capture.trouble, "its trouble in the status"
    )
    card.plug()
    agent.goes()
    os.kill(agent.pid("capture"), 9)  # arecord ends with it, else the device would be busy
    agent.until(lambda: len(recorders(card)) == 1 and agent.pid("capture"), "another capture process, and one arecord")
    agent.goes()
    assert agent.stop() == 0
    assert recorders(card) == []


def test_recorded_sound_decides_and_a_recording_of_it_decides_the_same_again(tmp_path: Path) -> None:
    write(tmp_path / "clips" / "1.wav", tone(LOW_HZ, RATE // 2))
    write(tmp_path / "clips" / "2.wav", tone(HIGH_HZ, RATE))
    config, bundle = write_config(tmp_path, "{kind: wav, path: clips, loop: false}"), tone_bundle(tmp_path)
    path = tmp_path / "sound.rec"
    edge = [sys.executable, "-m", "edge.cli"]
    done = subprocess.run(
        [*edge, "record", config, "-o", path, "--seconds", "60", "--unsigned", bundle],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    turns = [turn for turn in read_items(ChunkReader(path), path.name) if isinstance(turn, Turn)]
    labels = [turn.label for turn in turns]
    assert {0, 1} == set(labels)
    assert {turn.action for turn in turns} == {0, 1}
    heard = {turn.picture.array().tobytes() for turn in turns}
    assert heard <= features_of(tmp_path / "clips" / "1.wav") | features_of(tmp_path / "clips" / "2.wav")
    again = subprocess.run(
        [*edge, "replay", path, "--bundle", bundle, "--json"], capture_output=True, text=True, check=False, timeout=120
    )
    assert again.returncode == 0, again.stderr
    told = msgspec.json.decode(again.stdout)
    assert told["decisions_compared"] == len(turns) > 5
    assert (told["decisions_differ"], told["again"]["inputs_differ"], told["again"]["outputs_differ"]) == (0, 0, 0)


def features_of(path: Path) -> set[bytes]:
    """Of every window of a file, cut as the contract says."""
    with wave.open(str(path)) as file:
        codes = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    window = window_of(HEARD)
    assert window is not None
    return {one.tobytes() for one in window.push((codes / 32768).astype(np.float32)[:, None])}
