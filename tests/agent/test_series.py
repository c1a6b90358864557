"""Sensors as the model's input: Modbus and MQTT on the real protocols, joined by time, cut into windows, judged."""

import hashlib
import os
import shutil
import socket
import struct
import subprocess
import textwrap
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edge.bundle import Baseline, Golden, pack
from edge.errors import BadConfigError, SourceError
from edge.manifest import Manifest, Provenance, Quality, SeriesInput, TensorSpec, Tolerance, Variant
from edge.statistics import SCORE_EDGES
from edge_agent.plugins import Nested
from edge_agent.sensors import Measured, Sensor
from edge_agent.sensors.modbus import Modbus, Register, blocks, number_of
from edge_agent.sensors.modbus_simulator import ModbusSimulator
from edge_agent.sensors.mqtt import Column, Mqtt, number_in
from edge_agent.sensors.mqtt_simulator import MqttSimulator
from edge_agent.sources import Rows
from edge_agent.sources.series import Series

StartAgent = Callable[..., Any]
WAIT_S = 30.0


def next_row(sensor: Sensor, wanted: Callable[[list[float]], bool] = lambda _: True) -> list[float]:
    limit_s = time.monotonic() + WAIT_S
    while time.monotonic() < limit_s:
        measured = sensor.read()
        if measured is not None and wanted(measured.values.tolist()):
            return measured.values.tolist()
    raise AssertionError("no such row")


# --- Modbus ----------------------------------------------------------------------------------------


def register(name: str, address: int, **more: Any) -> Register:
    return Register(name=name, address=address, **more)


def test_numbers_are_read_as_the_protocol_writes_them() -> None:
    words = struct.unpack(">2H", struct.pack(">f", -12.5))
    assert number_of(words, "float32", little=False) == -12.5
    assert number_of(words[::-1], "float32", little=True) == -12.5
    assert number_of([0xFFFF], "int16", little=False) == -1
    assert number_of([1, 0], "uint32", little=False) == 65536
    assert number_of([8], "bit", little=False) == 1


def test_neighbours_are_read_by_one_request_and_strangers_by_others() -> None:
    registers = [
        register("a", 10), register("b", 12, type="float32"), register("c", 90), register("d", 11, table="input"),
        register("e", 5, table="coil"), register("f", 11),
    ]  # fmt: skip
    found = blocks(registers)
    assert [(b.table, b.first, b.length, sorted(b.members)) for b in found] == [
        ("coil", 5, 1, [4]), ("holding", 10, 4, [0, 1, 5]), ("holding", 90, 1, [2]), ("input", 11, 1, [3]),
    ]  # fmt: skip
    assert len(blocks([register(str(i), 2 * i, type="int32") for i in range(80)])) == 2


REGISTERS = (
    register("pressure", 3, scale=0.1, offset=-1.0),
    register("flow", 4, type="float32", table="input"),
    register("level", 6, type="int16"),
    register("valve", 7, table="coil"),
)


def fill(machine: ModbusSimulator) -> None:
    machine.words[3] = 25
    machine.words[4:6] = struct.unpack(">2H", struct.pack(">f", 1.5))
    machine.words[6] = 0xFFFE


def test_a_machine_is_read_over_tcp_and_again_after_it_was_away() -> None:
    pytest.importorskip("pymodbus", reason="needs pymodbus")
    with ModbusSimulator() as machine:
        fill(machine)
        options = Modbus.Options(host="127.0.0.1", port=machine.port, registers=REGISTERS, period_s=0.01)
        sensor = Modbus(options)
        assert sensor.columns == ("pressure", "flow", "level", "valve")
        sensor.open()
        assert next_row(sensor)[:3] == [1.5, 1.5, -2.0]
        machine.words[6] = 9
        assert next_row(sensor)[2] == 9.0
    with pytest.raises(SourceError):
        next_row(sensor, lambda _: False)
    sensor.close()
    with pytest.raises(SourceError, match="no Modbus device"):
        sensor.open()
    with ModbusSimulator(port=options.port) as machine:
        fill(machine)
        sensor.open()
        assert next_row(sensor)[0] == 1.5
        sensor.close()


def test_a_register_that_the_machine_does_not_have_is_named() -> None:
    pytest.importorskip("pymodbus", reason="needs pymodbus")
    with ModbusSimulator() as machine:
        sensor = Modbus(Modbus.Options(host="127.0.0.1", port=machine.port, registers=(register("far", 5000),)))
        sensor.open()
        with pytest.raises(SourceError, match=r"refuses holding 5000\.\.5000"):
            next_row(sensor)
        sensor.close()


def test_a_machine_is_read_over_a_serial_line() -> None:
    pytest.importorskip("pymodbus", reason="needs pymodbus")
    pytest.importorskip("serial", reason="needs pyserial")
    with serial_line() as (one, other), ModbusSimulator(serial=one, unit=7) as machine:
        fill(machine)
        sensor = Modbus(Modbus.Options(serial=Path(other), unit=7, registers=REGISTERS[:3], period_s=0.01))
        sensor.open()
        assert next_row(sensor) == [1.5, 1.5, -2.0]
        sensor.close()


class serial_line:  # noqa: N801 - used like a function
    """Two pseudo-terminals whose other ends a thread joins: what goes in at one comes out at the other."""

    def __enter__(self) -> tuple[str, str]:
        import select
        import threading

        pairs = [os.openpty(), os.openpty()]
        for _, slave in pairs:
            tty.setraw(slave)
        self._ended, masters = threading.Event(), [master for master, _ in pairs]

        def carry() -> None:
            while not self._ended.is_set():
                for ready in select.select(masters, [], [], 0.05)[0]:
                    os.write(masters[1 - masters.index(ready)], os.read(ready, 1024))

        self._thread = threading.Thread(target=carry)
        self._thread.start()
        self._fds = [fd for pair in pairs for fd in pair]
        return os.ttyname(pairs[0][1]), os.ttyname(pairs[1][1])

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        for fd in self._fds:
            os.close(fd)


def test_a_machine_has_one_address() -> None:
    for places in ({}, {"host": "a", "serial": Path("b")}):
        with pytest.raises(ValueError, match="either"):
            Modbus.Options(registers=REGISTERS, **places)


# --- MQTT ------------------------------------------------------------------------------------------


@pytest.fixture
def broker_url() -> Iterator[str]:
    program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("mosquitto is not installed")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    process = subprocess.Popen([program, "-p", str(port)], stderr=subprocess.DEVNULL)
    limit_s = time.monotonic() + WAIT_S
    while time.monotonic() < limit_s:
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.02)
    yield f"mqtt://127.0.0.1:{port}"
    process.kill()
    process.wait()


def test_a_payload_is_a_number_or_has_one() -> None:
    assert number_in(b"7.5", None) == 7.5
    assert number_in(b'{"a": {"b": -2}}', "a.b") == -2
    assert number_in(b"true", None) == 1
    for payload, name in ((b"NaN", None), (b"1e999", None), (b"{}", None), (b"{}", "a"), (b"\xff", None), (b"1", "a")):
        assert number_in(payload, name) is None
    assert number_in(b"9" * 400, None) is None
    assert number_in(b"[" * 100_000, None) is None


def test_many_weak_sensors_become_one_row_and_one_that_falls_silent_ends_it(broker_url: str) -> None:
    columns = tuple(Column(name=f"s{i}", topic=f"chip/{i}") for i in range(50))
    sensor = Mqtt(Mqtt.Options(url=broker_url, columns=columns, period_s=0.02, max_age_ms=1000))
    topics = {f"chip/{i}": (lambda _, i=i: float(i)) for i in range(50)}
    sensor.open()
    with MqttSimulator(broker_url, topics, period_s=0.05) as chips:
        assert next_row(sensor) == [float(i) for i in range(50)]
        chips.silent.add("chip/7")
        silent_s = time.monotonic()
        rows: list[Measured] = []
        while time.monotonic() - silent_s < 2.0:
            measured = sensor.read()
            rows += [measured] if measured else []
        assert all(row.captured_ns <= (silent_s + 0.5) * 1e9 for row in rows)  # stamped with its oldest value
        chips.silent.clear()
        next_row(sensor)
    sensor.close()


def test_a_broker_that_is_not_there_is_tried_again() -> None:
    sensor = Mqtt(Mqtt.Options(url="mqtt://127.0.0.1:1", columns=(Column(name="a", topic="a"),)))
    with pytest.raises(SourceError, match="no connection to the broker"):
        sensor.open()
    sensor.close()


# --- series ----------------------------------------------------------------------------------------


def modbus_options(machine: ModbusSimulator, *names: str) -> dict[str, Any]:
    registers = [{"name": name, "address": 3 + i} for i, name in enumerate(names)]
    return {"host": "127.0.0.1", "port": machine.port, "period_s": 0.01, "registers": registers}


def series(*sensors: dict[str, Any], **more: Any) -> Series:
    nested = tuple(Nested("modbus", one, Path()) for one in sensors)
    return Series(Series.Options(sensors=nested, **more))


def until_rows(source: Series, wanted: Callable[[Rows], bool]) -> Rows:
    limit_s = time.monotonic() + WAIT_S
    while time.monotonic() < limit_s:
        rows = source.read(1)
        if wanted(rows):
            return rows
        time.sleep(0.01)
    raise AssertionError("no such rows")


def test_two_machines_are_joined_in_the_models_order_and_a_gap_is_said() -> None:
    pytest.importorskip("pymodbus", reason="needs pymodbus")
    with ModbusSimulator() as first:
        first.words[3:5] = [1, 2]
        with ModbusSimulator() as second:
            second.words[3] = 3
            source = series(
                modbus_options(first, "a", "b"), modbus_options(second, "c"), columns=("c", "a"), max_age_ms=500
            )
            source.open(0, 0, 10)
            assert until_rows(source, lambda rows: not rows.gap).values.tolist() == [[3.0, 1.0]]
        rows = until_rows(source, lambda rows: bool(rows.gap))
        assert rows.values.shape == (0, 2)
        assert "modbus" in rows.gap
        source.close()


def test_columns_that_do_not_exist_or_exist_twice_are_named() -> None:
    machine = ModbusSimulator(port=1)
    with pytest.raises(BadConfigError, match="no sensor has a column 'x'"):
        series(modbus_options(machine, "a"), columns=("x",)).open(0, 0, 10)
    with pytest.raises(BadConfigError, match="two sensors"):
        series(modbus_options(machine, "a"), modbus_options(machine, "a")).open(0, 0, 10)


# --- the whole agent -------------------------------------------------------------------------------


def clip_bundle(folder: Path) -> Path:
    """An autoencoder that knows values from -1 to 1 only: what lies beyond is not reconstructed."""
    node = helper.make_node("Clip", ["x", "low", "high"], ["y"])
    scalars = [helper.make_tensor(name, TensorProto.FLOAT, [], [v]) for name, v in (("low", -1.0), ("high", 1.0))]
    shape = [1, 5, 2]
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
    graph = helper.make_graph([node], "clip", tensors[:1], tensors[1:], scalars)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    specs = [TensorSpec(name=name, shape=(1, 5, 2), dtype="float32") for name in ("x", "y")]
    variant = Variant(
        runtime="onnxruntime", dtype="float32", file="model.onnx", sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data), input=specs[0], outputs=(specs[1],),
    )  # fmt: skip
    samples = np.linspace(-1, 1, 10, dtype=np.float32).reshape(1, 5, 2)
    manifest = Manifest(
        name="valve", version=1, target="x86-64", labels=(),
        input=SeriesInput(window=5, stride=2, columns=("a", "b"), mean=(100.0,), std=(10.0,)),
        variants=(variant,),
        quality=Quality(
            metric="accuracy", reference=1.0, compiled=1.0, drop=0.0, ci95=(0.0, 0.0), agreement=1.0, samples=1
        ),
        golden=Tolerance(atol=1e-3, rtol=1e-3),
        provenance=Provenance(source_sha256="0" * 64, data_sha256="0" * 64, tools={}, recipe={}),
    )  # fmt: skip
    return pack(
        folder / "valve-1.edge", manifest, files={"model.onnx": data},
        golden=Golden(input=samples, outputs=samples.reshape(1, -1)),
        baseline=Baseline(
            scores=np.full(len(SCORE_EDGES) + 1, 10, np.int64), labels=np.full(10, 10, np.int64),
            input_mean=np.zeros(2, np.float32), input_std=np.ones(2, np.float32),
        ),
    )  # fmt: skip


def test_a_valve_is_watched_from_its_registers_to_the_alarm(tmp_path: Path, start_agent: StartAgent) -> None:
    pytest.importorskip("pymodbus", reason="needs pymodbus")
    with ModbusSimulator() as machine:
        machine.words[3:5] = [100, 104]
        config = tmp_path / "agent.yaml"
        config.write_text(
            textwrap.dedent(f"""
            device: desk-1
            model: valve
            state_dir: state
            source:
              kind: series
              fps: 50
              max_age_ms: 500
              sensors:
                - kind: modbus
                  host: 127.0.0.1
                  port: {machine.port}
                  period_s: 0.02
                  registers: [{{name: a, address: 3}}, {{name: b, address: 4}}]
            decider: {{kind: anomaly, actions: [alarm, go], warm_up: 20, confirm: 2, release: 2}}
            actuators:
              - {{kind: recorder, path: applied.txt, max_age_ms: 400, safe_state: alarm}}
        """)
        )
        agent = start_agent(config, clip_bundle(tmp_path))
        agent.goes()
        machine.words[4] = 150
        agent.until(lambda: agent.lines()[-1].action == "alarm" and not agent.lines()[-1].safe, "an alarm")
        machine.words[4] = 104
        agent.goes()
        machine_words_stand_still = len(agent.lines())
    agent.until(lambda: agent.lines()[-1].safe, "the safe state, for nobody answers any more")
    assert len(agent.lines()) > machine_words_stand_still
    agent.until(lambda: "modbus" in agent.status().capture.trouble, "its trouble in the status")
    assert agent.stop() == 0
