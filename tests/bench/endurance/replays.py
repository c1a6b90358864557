"""A recording of each source and sensor, decided again: `python replays.py [--seconds 60] [KIND ...]`.

Each kind plays its shipped fake or simulator to a real agent under `edge record`; then `edge replay --bundle` compares
every decision, input and output, bit for bit. The world of each changes all the time, so that decisions change, too.
"""

import argparse
import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from endurance_page import write_page
from rig import EDGE, frames, make_bundle, remember

sys.path.insert(0, str(Path(__file__).parents[2] / "agent"))  # their models of series and sound, and their sound card
from test_series import clip_bundle
from test_sound import HIGH_HZ, LOW_HZ, RATE, Card, tone, tone_bundle
from test_sound import write as write_wav

from edge_agent.recording.chunks import ChunkReader
from edge_agent.recording.messages import Turn
from edge_agent.recording.replay import read_items
from edge_agent.sensors.i2c import DEVICES, REGISTERS
from edge_agent.sensors.modbus_simulator import ModbusSimulator
from edge_agent.sensors.mqtt_simulator import MqttSimulator
from edge_agent.sensors.opcua_simulator import OpcUaSimulator
from edge_agent.sensors.rplidar_simulator import RPLidarSimulator
from edge_agent.sources.stream_simulator import StreamSimulator
from fleet.broker import mosquitto_path
from fleet.ports import answers, claim

AT_ONCE = 3
CHANGE_S = 0.5
Keys = dict[str, Any]
"""Of a configuration."""


def swing(now_s: float) -> float:
    """A slow sine between -1 and 1, by which every world moves."""
    return math.sin(now_s)


@contextmanager
def changing(change: Callable[[float], None]) -> Iterator[None]:
    """Call `change` with the seconds since the start, twice a second, in a thread."""
    ended = threading.Event()

    def run() -> None:
        began_s = time.monotonic()
        while not ended.wait(CHANGE_S):
            change(time.monotonic() - began_s)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


# --- what a picture model sees --------------------------------------------------------------------


def pictures(folder: Path) -> np.ndarray[Any, Any]:
    """90 frames: red, green, blue."""
    found: np.ndarray[Any, Any] = np.load(frames(folder / "frames.npy"))
    return found


@contextmanager
def of_frames(folder: Path) -> Iterator[Keys]:
    """An array."""
    pictures(folder)
    yield {"source": {"kind": "frames", "path": "frames.npy"}}


@contextmanager
def of_synthetic(folder: Path) -> Iterator[Keys]:
    """Nothing is needed."""
    yield {"source": {"kind": "synthetic", "frames_each": 20}}


@contextmanager
def of_images(folder: Path) -> Iterator[Keys]:
    """PNG files."""
    import cv2

    (folder / "pictures").mkdir()
    for index, picture in enumerate(pictures(folder)):
        cv2.imwrite(str(folder / "pictures" / f"{index:03d}.png"), picture)
    yield {"source": {"kind": "images", "path": "pictures"}}


@contextmanager
def of_video(folder: Path) -> Iterator[Keys]:
    """A film of larger pictures, so that it is resized."""
    import cv2

    film = cv2.VideoWriter(str(folder / "film.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 30, (64, 48))
    for picture in pictures(folder):
        film.write(cv2.resize(picture, (64, 48)))
    film.release()
    yield {"source": {"kind": "video", "path": "film.avi"}}


class Lamp(StreamSimulator):
    """Red and green in turn."""

    def picture(self) -> np.ndarray[Any, Any]:
        """A second of each."""
        shown = np.zeros((48, 64, 3), np.uint8)
        shown[:, :, 2 if time.monotonic() % 2 < 1 else 1] = 230
        return shown


@contextmanager
def of_stream(folder: Path) -> Iterator[Keys]:
    """A network camera that hangs up every 10 s."""
    with Lamp() as camera, changing(lambda now_s: camera.drop() if now_s % 10 < CHANGE_S else None):
        yield {"source": {"kind": "stream", "url": camera.url}}


# --- sound and series -----------------------------------------------------------------------------


@contextmanager
def of_wav(folder: Path) -> Iterator[Keys]:
    """Two tones after one another."""
    for name, hz in (("1", LOW_HZ), ("2", HIGH_HZ)):
        write_wav(folder / "clips" / f"{name}.wav", tone(hz, RATE))
    yield {"source": {"kind": "wav", "path": "clips"}} | HEARS


@contextmanager
def of_microphone(folder: Path) -> Iterator[Keys]:
    """arecord on an ALSA device that plays a pipe."""
    card = Card(folder)

    def play(now_s: float) -> None:
        card.hears = tone(HIGH_HZ if swing(now_s) > 0 else LOW_HZ)

    try:
        with changing(play):
            environment = {"ALSA_CONFIG_PATH": str(card.config)}
            yield {"source": {"kind": "microphone", "device": card.name}, "environment": environment} | HEARS
    finally:
        card.end()


@contextmanager
def of_csv(folder: Path) -> Iterator[Keys]:
    """A series whose second value is unusual now and then."""
    lines = [
        f"{100 + 5 * swing(n / 5):.4f},{100 + (60 if n % 300 > 280 else 5 * swing(n / 7)):.4f}" for n in range(3000)
    ]
    (folder / "rows.csv").write_text("\n".join(["a,b", *lines]))
    yield {"source": {"kind": "csv", "path": "rows.csv", "columns": ["a", "b"]}} | WATCHES


@contextmanager
def of_series(folder: Path) -> Iterator[Keys]:
    """Registers of a machine as the model's input."""
    with ModbusSimulator() as machine:

        def turn(now_s: float) -> None:
            machine.words[3:5] = [round(100 + 5 * swing(now_s)), 160 if now_s % 15 > 13 else 104]

        registers = [{"name": "a", "address": 3}, {"name": "b", "address": 4}]
        with changing(turn):
            one = {
                "kind": "modbus",
                "host": "127.0.0.1",
                "port": machine.port,
                "period_s": 0.02,
                "registers": registers,
            }
            yield {"source": {"kind": "series", "sensors": [one]}} | WATCHES


# --- sensors beside pictures ----------------------------------------------------------------------


@contextmanager
def of_rplidar(folder: Path) -> Iterator[Keys]:
    """A wall that comes and goes."""
    with RPLidarSimulator(lambda _angle, now_s: 1.0 + 0.8 * swing(now_s)) as lidar:
        yield beside("rplidar", {"port": lidar.port}, {"kind": "obstacle", "sensor": "s", "stop_m": 0.6})


@contextmanager
def of_pins(folder: Path) -> Iterator[Keys]:
    """Mock pins, which nobody moves: a switch that is open all the time."""
    keys = beside("pins", {"pins": [{"name": "door", "pin": 17}]}, {"kind": "limits", "sensor": "s", "high": 0.5})
    yield keys | {"environment": {"GPIOZERO_PIN_FACTORY": "mock"}}


@contextmanager
def of_i2c(folder: Path) -> Iterator[Keys]:
    """A bus that is a file."""
    bus = folder / "bus"
    bus.write_bytes(bytes(DEVICES * REGISTERS))

    def heat(now_s: float) -> None:
        with bus.open("r+b") as file:
            file.seek(0x48 * REGISTERS)
            file.write(round(5000 * swing(now_s)).to_bytes(2, "big", signed=True))

    with changing(heat):
        yield beside("i2c", {"path": str(bus), "values": [{"name": "c", "address": 0x48, "register": 0}]}, LIMITS)


@contextmanager
def of_modbus(folder: Path) -> Iterator[Keys]:
    """A machine by Modbus TCP."""
    with ModbusSimulator() as machine:

        def turn(now_s: float) -> None:
            machine.words[3] = round(5000 * swing(now_s)) % 65536

        with changing(turn):
            options = {
                "host": "127.0.0.1",
                "port": machine.port,
                "registers": [{"name": "a", "address": 3, "type": "int16"}],
            }
            yield beside("modbus", options, LIMITS)


@contextmanager
def of_opcua(folder: Path) -> Iterator[Keys]:
    """A plant by OPC UA."""
    with OpcUaSimulator("pressure") as plant, changing(lambda now_s: plant.set("pressure", 5000 * swing(now_s))):
        yield beside("opcua", {"url": plant.url, "variables": [{"name": "p", "node": "ns=2;s=pressure"}]}, LIMITS)


@contextmanager
def of_mqtt(folder: Path) -> Iterator[Keys]:
    """A weak sensor that publishes to a real broker."""
    port = claim("127.0.0.1", 0, "--mqtt-port")
    (folder / "broker.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
    command = [str(mosquitto_path()), "-c", str(folder / "broker.conf")]
    broker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not answers("127.0.0.1", port):
            time.sleep(0.1)
        url = f"mqtt://127.0.0.1:{port}"
        with MqttSimulator(url, {"a/b": lambda now_s: 5000 * swing(now_s)}):
            yield beside("mqtt", {"url": url, "columns": [{"name": "v", "topic": "a/b"}]}, LIMITS)
    finally:
        broker.terminate()
        broker.wait(10)


LIMITS = {"kind": "limits", "sensor": "s", "low": 0.0}
HEARS = {"model": "tone", "decider": {"kind": "classify", "go": ["high"], "floor": 0.9, "hold_s": 0.1}}
WATCHES = {
    "model": "valve",
    "decider": {"kind": "anomaly", "actions": ["stop", "go"], "warm_up": 50, "confirm": 2, "release": 2},
}


def beside(kind: str, options: Keys, decider: Keys) -> Keys:
    """A sensor next to pictures of which both "green" and "blue" mean go; the decider asks the sensor first."""
    seen = {"kind": "classify", "go": ["green", "blue"], "floor": 0.6, "hold_s": 0.1}
    return {
        "source": {"kind": "synthetic", "frames_each": 20},
        "sensors": [{"name": "s", "kind": kind, "max_age_ms": 1000} | options],
        "decider": {"kind": "all", "of": [seen, decider]},
    }


WORLDS = {name.removeprefix("of_"): world for name, world in list(globals().items()) if name.startswith("of_")}
NEEDS_HARDWARE = {
    "camera": "a V4L2 device; it is no more than `frames` with another clock, and none is here",
    "picamera": "the camera of a Raspberry Pi",
}


def measure(kind: str, seconds: float) -> Keys:
    """Record one, decide it again."""
    with tempfile.TemporaryDirectory(prefix=f"edge-replay-{kind}-") as top, WORLDS[kind](Path(top)) as world:
        folder = Path(top)
        environment = {**os.environ, **world.pop("environment", {})}
        base = {
            "device": "desk-1", "model": "colours", "state_dir": "state", "loop": {"hang_s": 20},
            "decider": {"kind": "classify", "go": ["green"], "floor": 0.6, "hold_s": 0.1},
            "actuators": [{"kind": "recorder", "path": "applied.txt", "max_age_ms": 1000}],
        }  # fmt: skip
        (folder / "agent.yaml").write_text(yaml.safe_dump(base | world))
        makers = {
            "colours": lambda: make_bundle(folder, 1),
            "tone": lambda: tone_bundle(folder),
            "valve": lambda: clip_bundle(folder),
        }
        bundle = makers[world.get("model", "colours")]()
        recording = folder / f"{kind}.rec"
        words = ["record", "agent.yaml", "-o", recording, "--seconds", f"{seconds:g}", "--unsigned", bundle]
        done = run(words, folder, environment, seconds + 120)
        if done.returncode:
            return {"kind": kind, "problem": done.stderr[-500:]}
        replayed = run(["replay", recording, "--bundle", bundle, "--json"], folder, environment, 300)
        if not replayed.stdout:
            return {"kind": kind, "problem": replayed.stderr[-500:]}
        turns = [one for one in read_items(ChunkReader(recording), kind) if isinstance(one, Turn)]
    return summary(kind, json.loads(replayed.stdout), turns)


def summary(kind: str, found: Keys, turns: list[Turn]) -> Keys:
    """One row of the table. `read`: turns whose decider was handed a reading; `changes`: of the action."""
    again = found["again"]
    return {
        "kind": kind, "seconds": round(found["span_s"], 1), "turns": found["turns"], "lost": found["lost"],
        "compared": found["decisions_compared"], "decisions_differ": found["decisions_differ"],
        "inputs_differ": again["inputs_differ"], "outputs_differ": again["outputs_differ"],
        "changes": sum(one.action != other.action for one, other in pairwise(turns)),
        "read": sum(bool(one.readings) for one in turns),
    }  # fmt: skip


def run(
    words: list[Any], folder: Path, environment: dict[str, str], timeout_s: float
) -> "subprocess.CompletedProcess[str]":
    """One command of ours, to its end."""
    return subprocess.run(
        [*EDGE, *map(str, words)], cwd=folder, env=environment, capture_output=True, text=True, check=False,
        timeout=timeout_s,
    )  # fmt: skip


def main() -> None:
    """Several at once, for a recording waits most of its time."""
    from concurrent.futures import ThreadPoolExecutor

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("kinds", nargs="*", default=list(WORLDS))
    options = parser.parse_args()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for found in pool.map(lambda kind: measure(kind, options.seconds), options.kinds):
            remember("replays", found)
            print(found, flush=True)
    with contextlib.suppress(FileNotFoundError):
        write_page()


if __name__ == "__main__":
    main()
