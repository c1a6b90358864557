"""The whole agent hears, decides, and decides the same of a recording."""

import os
import subprocess
import sys
import textwrap
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from sound_card import Card, needs_arecord, recorders
from tones import HEARD, HIGH_HZ, LOW_HZ, RATE, tone, tone_bundle, write

from edge.windows import window_of
from edge_agent.recording.chunks import ChunkReader
from edge_agent.recording.messages import Turn
from edge_agent.recording.replay import read_items

StartAgent = Callable[..., Any]


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
