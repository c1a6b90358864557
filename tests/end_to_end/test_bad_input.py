"""Bad input through the real command: its exit code, one line of what happened, one of what to do.

The first table is what a command refuses. What must not end the agent, a broker that is away and a disk that fills up
while it runs, is said by `edge status` and by the fleet, and the model goes on deciding.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import yaml

from edge import archive, errors
from edge.enrolment import Enrolment, write_enrolment
from edge.messages import Desired, Wish, encode
from edge.mqtt import MqttClient
from edge.topics import down
from edge_agent.actuators.recorder import read_lines
from fleet.broker import ServiceLogin

EDGE = [sys.executable, "-m", "edge.cli"]
MODEL, CAR = "colours", "car-1"
WAIT_S = 90.0
MIB = 1 << 20
Make = Callable[..., Path]
Words = tuple[str | Path, ...]


def edge(*words: str | Path, cwd: Path, inside: tuple[str, ...] = ()) -> "subprocess.CompletedProcess[str]":
    """Run one command to its end; `inside`: what it is started by."""
    command = [*inside, *EDGE, *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=240)


def refused(done: "subprocess.CompletedProcess[str]", error: type[errors.EdgeError], says: str, remedy: str) -> None:
    """Exactly two lines after what went well: the problem and the remedy; nothing on stdout, and no traceback."""
    assert done.returncode == error.exit_code, done.stderr
    lines = done.stderr.splitlines()
    assert [line for line in lines if line.startswith("error: ")] == [lines[-2]], done.stderr
    assert says in lines[-2]
    assert lines[-1].startswith("  fix: ")
    assert remedy in lines[-1]
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    print(f"{done.returncode} {lines[-2]}")


# --- what a command refuses ------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """A folder with a good model, a good bundle and a configuration of an agent."""

    folder: Path
    model: Path
    bundle: Path
    config: Path

    def compile(self, model: Path | None = None, *, data: Path | None = None, target: str = "x86-64") -> Words:
        """Words of `edge compile`; what is not given is good."""
        return ("compile", model or self.model, "--target", target, "--data", data or self.data())

    def data(self, *, side: int = 8, y: Any = None, samples: int = 60, nan_at: int | None = None) -> Path:
        """Labelled samples as .npz."""
        x = np.random.default_rng(1).random((samples, 3, side, side), np.float32)
        if nan_at is not None:
            x[nan_at, 0, 3, 3] = np.nan
        path = self.folder / "data.npz"
        np.savez(path, x=x, y=np.arange(samples) % 3 if y is None else y)
        return path

    def file(self, name: str, data: bytes) -> Path:
        """Any file."""
        path = self.folder / name
        path.write_bytes(data)
        return path

    def config_with(self, old: str, new: str) -> Path:
        """The configuration, one word changed."""
        text = self.config.read_text()
        assert old in text
        return self.file("changed.yaml", text.replace(old, new).encode())


@pytest.fixture
def place(tmp_path: Path, bundle_maker: Make) -> Place:
    bundle = bundle_maker(1)
    with zipfile.ZipFile(bundle) as archived:
        (tmp_path / "colours.onnx").write_bytes(archived.read("model.onnx"))
    pictures = np.zeros((3, 8, 8, 3), np.uint8)
    pictures[..., 1] = 230
    np.save(tmp_path / "frames.npy", pictures)
    config = tmp_path / "agent.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "device": CAR,
                "model": MODEL,
                "state_dir": "state",
                "source": {"kind": "frames", "path": "frames.npy", "fps": 30},
                "decider": {"kind": "classify", "go": ["green"], "floor": 0.6, "hold_s": 0.0},
                "actuators": [{"kind": "recorder", "path": "applied.txt", "max_age_ms": 500, "safe_state": "stop"}],
            }
        )
    )
    return Place(tmp_path, tmp_path / "colours.onnx", bundle, config)


def unknown_operator() -> bytes:
    from onnx import TensorProto, helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])
    node = helper.make_node("Divine", ["x"], ["y"], name="oracle", domain="com.example")
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)]
    model = helper.make_model(helper.make_graph([node], "g", [x], [y]), opset_imports=opsets, ir_version=9)
    return bytes(model.SerializeToString())


def escaping_bundle() -> bytes:
    """Laid out as bundles are, but for a name that would leave the folder it is unpacked to."""
    return archive.write({"../model.onnx": b"x", "manifest.json": b"{}"})


@dataclass(frozen=True)
class Case:
    """What is typed, and how it is refused."""

    words: Callable[[Place], Words]
    error: type[errors.EdgeError]
    says: str
    remedy: str


REFUSED = {
    "missing file": Case(lambda p: p.compile(Path("none.onnx")), errors.FileMissingError, "none.onnx", ""),
    "missing data": Case(lambda p: p.compile(data=Path("none.npz")), errors.FileMissingError, "none.npz", ""),
    "missing bundle": Case(lambda _: ("inspect", "none.edge"), errors.FileMissingError, "none.edge", ""),
    "not a model": Case(lambda p: p.compile(p.file("text.onnx", b"no model")), errors.BadModelError, "text.onnx", ""),
    "unsupported operator": Case(
        lambda p: p.compile(p.file("oracle.onnx", unknown_operator())), errors.BadModelError, "Divine", ""
    ),
    "shape that does not fit": Case(
        lambda p: p.compile(data=p.data(side=9)),
        errors.BadDataError,
        "3 x 9 x 9, but the model wants 3 x 8 x 8",
        "",
    ),
    "empty data": Case(lambda p: p.compile(data=p.data(samples=0)), errors.BadDataError, "holds no samples", ""),
    "one class only": Case(
        lambda p: p.compile(data=p.data(y=np.zeros(60, int))), errors.BadDataError, "of one class, '0'", ""
    ),
    "NaN in the data": Case(
        lambda p: p.compile(data=p.data(nan_at=17)), errors.BadDataError, "sample 17 holds NaN", ""
    ),
    "unknown target": Case(
        lambda p: p.compile(target="rasberrypi4"), errors.UnknownTargetError, "'rasberrypi4'", "raspberrypi4"
    ),
    "truncated bundle": Case(
        lambda p: ("inspect", p.file("cut.edge", p.bundle.read_bytes()[:-100])), errors.BadBundleError, "cut.edge", ""
    ),
    "../ in a name": Case(
        lambda p: ("inspect", p.file("evil.edge", escaping_bundle())), errors.BadBundleError, "../model.onnx", ""
    ),
    "misspelt key": Case(
        lambda p: ("run", p.config_with("hold_s", "hold_z")), errors.BadConfigError, "'hold_z'", "'hold_s'"
    ),
    "misspelt section": Case(
        lambda p: ("run", p.config_with("source", "sorce")), errors.BadConfigError, "'sorce'", "'source'"
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_worked_on_is_refused_in_one_line_with_its_exit_code(place: Place, name: str) -> None:
    case = REFUSED[name]
    refused(edge(*case.words(place), cwd=place.folder), case.error, case.says, case.remedy)
    assert sorted(path.name for path in place.folder.parent.glob("*.onnx")) == []


# --- the fleet's side ------------------------------------------------------------------------------


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that is ours, and where nobody listens: connecting to it is refused."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield int(bound.getsockname()[1])


@pytest.fixture
def fleet_folder(tmp_path: Path) -> Path:
    made = edge("fleet", "init", "fleet", "--keys", "keys", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    return tmp_path / "fleet"


def test_a_port_that_is_taken_is_named_with_the_option_to_choose_another(fleet_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for option in ("--http-port", "--mqtt-port", "--page-port"):
            ports = {"--http-port": "0", "--mqtt-port": "0", "--page-port": "0"} | {option: str(port)}
            words = [word for pair in ports.items() for word in pair]
            done = edge("fleet", "serve", fleet_folder, *words, cwd=fleet_folder.parent)
            refused(done, errors.PortTakenError, f"port {port} of 127.0.0.1 is taken", option)


def test_a_fleet_with_a_broker_that_refuses_does_not_call_itself_ready(fleet_folder: Path) -> None:
    with closed_port() as port:
        url = f"mqtts://127.0.0.1:{port}"
        ports = ("--http-port", "0", "--page-port", "0")
        done = edge("fleet", "serve", fleet_folder, "--broker", url, *ports, cwd=fleet_folder.parent)
        refused(done, errors.BrokerError, f"127.0.0.1:{port}", "start the broker")


def until(found: Callable[[], Any], what: str) -> Any:
    limit = time.monotonic() + WAIT_S
    while not (answer := found()):
        if time.monotonic() > limit:
            pytest.fail(f"waited {WAIT_S:g} s in vain for {what}")
        time.sleep(0.1)
    return answer


def decisions(record: Path) -> int:
    return sum(line.frame > 0 and not line.safe for line in read_lines(record))


def goes_on(record: Path) -> None:
    """It decides still."""
    before = decisions(record)
    until(lambda: decisions(record) > before + 20, "decisions")


def test_an_agent_whose_broker_refuses_goes_on_and_says_so(place: Place, fleet_folder: Path) -> None:
    with closed_port() as port:
        enrolment = Enrolment(
            tenant="main",
            device=CAR,
            mqtt_url=f"mqtts://127.0.0.1:{port}",
            http_url=f"https://127.0.0.1:{port}",
            username=CAR,
            password="x",
            ca_pem=(place.folder / "keys" / "ca.pem").read_text(),
            root_json=(fleet_folder / "metadata" / "1.root.json").read_text(),
        )
        write_enrolment(place.folder / "car.enrol", enrolment)
        config = place.file("fleet.yaml", place.config.read_bytes() + b"fleet: {enrol: car.enrol, target: x86-64}\n")
        log = (place.folder / "log.txt").open("w")
        command = [*EDGE, "run", str(config), "--unsigned", str(place.bundle)]
        agent = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            until(lambda: decisions(place.folder / "applied.txt"), "decisions")

            def waiting_rows() -> bool:
                done = edge("status", place.folder / "state", "--json", cwd=place.folder)
                said = json.loads(done.stdout) if done.returncode == 0 else {}
                return bool(said.get("update") and said["update"]["outbox_rows"] and not said["update"]["connected"])

            until(waiting_rows, "rows that wait for the fleet")
            goes_on(place.folder / "applied.txt")
            said = edge("status", place.folder / "state", cwd=place.folder)
            assert said.returncode == 0, said.stderr
            assert f"rows wait, not connected to mqtts://127.0.0.1:{port}" in said.stdout
        finally:
            agent.terminate()
            assert agent.wait(30) == 0
    text = (place.folder / "log.txt").read_text()
    print(text)
    assert "Traceback" not in text


# --- a full disk -----------------------------------------------------------------------------------


def in_small_disk(folder: Path, size: str, *then: str) -> list[str]:
    """A command with a tmpfs on `folder` that nobody else sees; its last words replace the shell."""
    folder.mkdir(exist_ok=True)
    script = f'mount -t tmpfs -o size={size} tmpfs "$0" && {" && ".join([*then, "exec"])} "$@"'
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(folder)]


def can_mount() -> bool:
    if os.geteuid() or not shutil.which("unshare") or not shutil.which("nsenter"):
        return False
    return subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode == 0


needs_mount = pytest.mark.skipif(not can_mount(), reason="a small disk of its own needs root, unshare and nsenter")


@needs_mount
def test_an_agent_that_finds_its_disk_full_at_its_start_says_so(place: Place) -> None:
    place.file("car.enrol", b"{}")
    config = place.file("fleet.yaml", place.config.read_bytes() + b"fleet: {enrol: car.enrol, target: x86-64}\n")
    fill = 'head -c 1m /dev/zero > "$0/full" 2> "$0/said" || true'
    small = in_small_disk(place.folder / "state", "64k", f"{{ {fill}; }}")
    refused(edge("run", config, cwd=place.folder, inside=tuple(small)), errors.DiskFullError, "no room", "free some")


class SmallDevice:
    """One device of a fleet, its state on a disk of 40 MiB."""

    def __init__(self, fleet: Any) -> None:
        self.fleet = fleet
        fleet.edge("fleet", "enrol", CAR, "-o", str(fleet.folder / "car.enrol"), "--dir", str(fleet.dir))
        config = fleet.folder / "car.yaml"
        config.write_text(yaml.safe_dump(fleet.agent_config(CAR, fleet.folder / "car.enrol")))
        log = (fleet.folder / "log-9-agent.txt").open("w")
        command = [*in_small_disk(fleet.state_dir(CAR), "40m"), *EDGE, "run", str(config)]
        self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        fleet.processes.append(self.process)
        self.filler = Path(f"/proc/{self.process.pid}/root{fleet.state_dir(CAR)}/models/{MODEL}/slots/filler")

    def order(self, version: int, order: int) -> None:
        login = msgspec.json.decode((self.fleet.dir / "broker" / "control.login").read_bytes(), type=ServiceLogin)
        client = MqttClient(login.url, client_id="#test", username=login.username, password=login.password, ca=login.ca)
        client.connect(wait_s=30)
        wish = Desired(models={MODEL: Wish(version=version, order=order)})
        client.publish(down(login.tenant, CAR, "desired"), encode(wish), retain=True)
        client.close()

    def fill(self) -> None:
        with pytest.raises(OSError, match="No space left"):
            self.filler.write_bytes(bytes(64 * MIB))

    def fleet_knows(self, version: int, state: str) -> None:
        def known() -> bool:
            model = self.fleet.model(CAR)
            return (model["version"], model["state"]) == (version, state)

        until(known, f"version {version} {state}")

    def status(self) -> str:
        inside = ("nsenter", "--mount", "--target", str(self.process.pid))
        done = edge("status", self.fleet.state_dir(CAR), cwd=self.fleet.folder, inside=inside)
        assert done.returncode == 0, done.stderr
        return done.stdout


@needs_mount
def test_an_update_that_finds_no_room_is_refused_and_the_model_goes_on(fleet: Any, bundle_maker: Make) -> None:
    fleet.publish(bundle_maker(1))
    fleet.publish(bundle_maker(2, gain=22.0))
    device = SmallDevice(fleet)
    device.order(1, 1)
    device.fleet_knows(1, "COMMITTED")
    device.fill()
    device.order(2, 2)
    device.fleet_knows(1, "FAILED")
    goes_on(fleet.record(CAR))
    said = device.status()
    print(said)
    assert "version 2 FAILED: DISK_FULL: " in said
    assert f"{MODEL} version 1" in said
    device.filler.unlink()
    device.order(2, 3)
    device.fleet_knows(2, "COMMITTED")
    text = (fleet.folder / "log-9-agent.txt").read_text()
    print(text)
    assert "Traceback" not in text
