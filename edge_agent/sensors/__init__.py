"""Sensors beside the model's input: a lidar next to the camera. One file and one line in `KINDS` for each kind."""

from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from edge_agent.plugins import load_class, read_options

KINDS = {
    "rplidar": "edge_agent.sensors.rplidar:RPLidar",
    "pins": "edge_agent.sensors.pins:Pins",
    "i2c": "edge_agent.sensors.i2c:I2c",
    "modbus": "edge_agent.sensors.modbus:Modbus",
    "opcua": "edge_agent.sensors.opcua:OpcUa",
    "mqtt": "edge_agent.sensors.mqtt:Mqtt",
}
GROUP = "edgewright.sensors"
"""Of the entry points by which packages add kinds."""


class Measured(NamedTuple):
    """What a sensor measured at one moment."""

    values: "array[float]"
    """float32 (`array("f")`), row by row, each row as long as the sensor's `columns`."""
    captured_ns: int
    """CLOCK_MONOTONIC as near to the measurement as can be known."""


class Sensor(Protocol):
    """A stream of rows. Made as `Class(options)`, `options` being `Class.Options`; used by one thread of its own."""

    columns: tuple[str, ...]
    """Names of the values of one row, with their units."""

    def open(self) -> None:
        """Connect and start measuring.

        Raises: `SourceError` where trying again later may help; another `EdgeError` where it will not.
        """

    def read(self) -> Measured | None:
        """Wait for the next measurement, a second at most; None: nothing yet. Raises `SourceError` when it broke off.

        A sensor that is asked, rather than one that tells, waits for its own period here.
        """

    def close(self) -> None:
        """Stop; `open()` may follow."""


def make_sensor(kind: str, options: Mapping[str, Any], folder: Path) -> Sensor:
    """Make a configured sensor; it is not opened yet."""
    cls = load_class(kind, KINDS, GROUP, folder)
    sensor: Sensor = cls(read_options(cls, options, folder=folder, where=f"sensor {kind}"))
    return sensor
