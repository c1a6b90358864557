"""Weak sensors without hardware: publish numbers to a real broker, each on a topic of its own.

    python -m edge_agent.sensors.mqtt_simulator mqtt://127.0.0.1:1883 players/7/heart players/7/speed

publishes a slow sine on each topic, ten times a second.
"""

import math
import sys
import threading
import time
from collections.abc import Callable

from edge.mqtt import MqttClient


class MqttSimulator:
    """Use: `with MqttSimulator(url, {"a/b": lambda now_s: 1.0}) as sensors:`; topics in `silent` say nothing."""

    def __init__(self, url: str, sensors: dict[str, Callable[[float], float]], *, period_s: float = 0.1) -> None:
        self.silent: set[str] = set()
        self._sensors, self._period_s = sensors, period_s
        self._client = MqttClient(url, client_id="edge-sensor-simulator")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._publish, name="mqtt simulator", daemon=True)

    def __enter__(self) -> "MqttSimulator":
        self._client.connect(wait_s=10)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._client.close()

    def _publish(self) -> None:
        began_s = time.monotonic()
        while not self._ended.wait(self._period_s):
            for topic, value in self._sensors.items():
                if topic not in self.silent:
                    self._client.publish(topic, f"{value(time.monotonic() - began_s):.6g}".encode(), qos=0)


def main() -> None:
    """Run until Ctrl-C."""
    url, *topics = sys.argv[1:]
    with MqttSimulator(url, dict.fromkeys(topics, lambda now_s: math.sin(now_s / 5))):
        threading.Event().wait()


if __name__ == "__main__":
    main()
