"""What each source and sensor of a replay plays: its shipped fake or simulator, changing all the time.

Each is a context manager that yields the keys of a configuration, and `environment` where the agent needs one.
"""

import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rig import frames

sys.path.insert(0, str(Path(__file__).parents[2] / "agent" / "sound"))  # their sound card, and how they write sound
from sound_card import Card
from tones import HIGH_HZ, LOW_HZ, RATE, tone
from tones import write as write_wav

from edge_agent.sensors.i2c import DEVICES, REGISTERS
from edge_agent.sensors.modbus_simulator import ModbusSimulator
from edge_agent.sensors.mqtt_simulator import MqttSimulator
from edge_agent.sensors.opcua_simulator import OpcUaSimulator
from edge_agent.sensors.rplidar_simulator import RPLidarSimulator
from edge_agent.sources.stream_simulator import StreamSimulator
from fleet.broker import mosquitto_path
from fleet.ports import answers, claim

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


WORLDS: dict[str, Callable[[Path], AbstractContextManager[Keys]]] = {
    "frames": of_frames,
    "synthetic": of_synthetic,
    "images": of_images,
    "video": of_video,
    "stream": of_stream,
    "wav": of_wav,
    "microphone": of_microphone,
    "csv": of_csv,
    "series": of_series,
    "rplidar": of_rplidar,
    "pins": of_pins,
    "i2c": of_i2c,
    "modbus": of_modbus,
    "opcua": of_opcua,
    "mqtt": of_mqtt,
}
"""All kinds but `camera` and `picamera`, which need the hardware."""
