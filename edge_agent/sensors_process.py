"""The sensors process: one thread for each sensor reads it, and its newest measurement goes to every loop.

Threads are good enough here, for they wait for devices and nothing in this process is in a hurry. A sensor that hangs
takes the process with it, and the supervisor starts it again.
"""

import select
import socket
import time
from functools import partial
from pathlib import Path

from edge_agent import readings
from edge_agent.link import BEAT_S, Link, SensorsBeat, die_with, start_child
from edge_agent.readings import Wire
from edge_agent.sensors import Measured, make_sensor
from edge_agent.sensors.watch import Watch
from edge_agent.specs import SensorSpec, SensorsSpec


def run(spec: SensorsSpec, link: Link) -> None:
    """Main path: start a thread for each sensor, and watch them until the supervisor ends."""
    die_with(spec.parent)
    watches = [make_watch(one) for one in spec.sensors]
    for watch in watches:
        watch.start()
    while link.open:
        select.select([link.fileno()], [], [], BEAT_S)
        link.orders()
        for watch in watches:
            watch.check(time.monotonic())
        if link.beat_due():
            link.say(SensorsBeat(troubles={watch.name: watch.trouble for watch in watches if watch.trouble}))
    for watch in watches:
        watch.end()


def make_watch(spec: SensorSpec) -> Watch:
    """Bind a sensor to its wires."""
    chosen = spec.chosen
    sensor = make_sensor(chosen.kind, chosen.options, Path(chosen.folder))
    wires = [Wire(socket.socket(fileno=one.reader), socket.socket(fileno=one.writer)) for one in spec.wires]
    return Watch(spec.name, sensor, spec.hang_s, partial(publish, wires, len(sensor.columns)))


def publish(wires: list[Wire], columns: int, measured: Measured) -> None:
    """Send a measurement to every loop."""
    for wire in wires:
        readings.send(wire, measured, columns)


if __name__ == "__main__":
    start_child(SensorsSpec, run)
