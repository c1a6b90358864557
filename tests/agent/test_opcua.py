"""OPC UA against a real server on this machine."""

import threading
import time

import pytest

pytest.importorskip("asyncua", reason="needs asyncua")

from edge.errors import BadConfigError, SourceError
from edge_agent.sensors.opcua import OpcUa, Variable
from edge_agent.sensors.opcua_simulator import OpcUaSimulator

WAIT_S = 30.0


def opcua(url: str, *nodes: str) -> OpcUa:
    variables = tuple(Variable(name=f"v{index}", node=node) for index, node in enumerate(nodes))
    return OpcUa(OpcUa.Options(url=url, period_s=0.01, timeout_s=2.0, variables=variables))


def next_row(sensor: OpcUa) -> list[float]:
    limit_s = time.monotonic() + WAIT_S
    while time.monotonic() < limit_s:
        measured = sensor.read()
        if measured is not None:
            assert measured.captured_ns <= time.monotonic_ns()
            return measured.values.tolist()
    raise AssertionError("no row")


def test_variables_are_read_in_the_order_asked_for_and_again_after_the_server_was_away() -> None:
    with OpcUaSimulator("pressure", "flow") as plant:
        sensor = opcua(plant.url, "ns=2;s=flow", "ns=2;s=pressure")
        sensor.open()
        plant.set("pressure", 2.5)
        plant.set("flow", -1.0)
        assert next_row(sensor) == [-1.0, 2.5]
        port = plant.port
    with pytest.raises(SourceError, match="broke off"):
        next_row(sensor)
    sensor.close()
    with pytest.raises(SourceError, match="no OPC UA server"):
        sensor.open()
    with OpcUaSimulator("pressure", "flow", port=port) as plant:
        sensor.open()
        assert next_row(sensor) == [0.0, 0.0]
        sensor.close()


def test_neither_a_closed_connection_nor_a_vain_one_leaves_a_thread_behind() -> None:
    with OpcUaSimulator("flow") as plant:
        threads = threading.active_count()
        sensor = opcua(plant.url, "ns=2;s=flow")
        for _ in range(3):
            sensor.open()
            next_row(sensor)
            sensor.close()
        vain = opcua("opc.tcp://127.0.0.1:1/", "ns=2;s=flow")
        for _ in range(3):
            with pytest.raises(SourceError):
                vain.open()
            vain.close()
        assert threading.active_count() == threads


def test_a_node_that_does_not_exist_or_is_no_node_is_named() -> None:
    with OpcUaSimulator("pressure") as plant:
        sensor = opcua(plant.url, "ns=2;s=flow")
        sensor.open()
        with pytest.raises(SourceError, match="no number: None"):
            next_row(sensor)
        sensor.close()
        wrong = opcua(plant.url, "flow of the pump")
        with pytest.raises(BadConfigError, match="opcua"):
            wrong.open()
        wrong.close()
