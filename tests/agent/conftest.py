"""A bundle whose decisions are known beforehand: the colour of the picture is the label."""

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edge.bundle import Baseline, Golden, pack
from edge.errors import AgentError
from edge.manifest import ImageInput, Manifest, Provenance, Quality, TensorSpec, Tolerance, Variant
from edge.statistics import SCORE_EDGES
from edge_agent.actuators.recorder import Line, read_lines
from edge_agent.channels import Command, make_pipe, send
from edge_agent.control import Done, Fault, Health, News, Notice, Request
from edge_agent.link import GuardBeat
from edge_agent.link import News as GuardNews
from edge_agent.records import RECORD_BYTES, Applied, Decided, unpack
from edge_agent.specs import Chosen, GuardActuator, GuardSpec, WatchdogSpec
from edge_agent.status import AgentStatus, read_status
from edge_agent.uplink.spec import UplinkSpec

LABELS = ("red", "green", "blue")
MakeBundle = Callable[..., Path]
MakeConfig = Callable[..., Path]


def colour_model(size: int, gain: float, remark: str = "") -> bytes:
    """As ONNX, larger by a `remark`: soft-max of `gain` times each channel's mean of pictures [1, size, size, 3]."""
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "gain"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["y"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "colour",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, size, size, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
        [
            helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2]),
            helper.make_tensor("gain", TensorProto.FLOAT, [1], [gain]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9, doc_string=remark)
    data: bytes = model.SerializeToString()
    onnx.checker.check_model(data)
    return data


def probabilities(samples: np.ndarray, gain: float) -> np.ndarray:
    logits = gain * samples.mean(axis=(1, 2))
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    """make(version=1, size=16, gain=20.0, name="light", golden_gain=None, smaller=False): a bundle."""

    def make(
        *,
        version: int = 1,
        size: int = 16,
        gain: float = 20.0,
        name: str = "light",
        golden_gain: float | None = None,
        smaller: bool = False,
    ) -> Path:
        data, small = colour_model(size, gain, "large " * 100), colour_model(size, gain)
        samples = np.zeros((3, size, size, 3), np.float32)
        for label in range(3):
            samples[label, ..., label] = 0.8
        variant = Variant(
            runtime="onnxruntime",
            dtype="float32",
            file="model.onnx",
            sha256=hashlib.sha256(data).hexdigest(),
            size_bytes=len(data),
            input=TensorSpec(name="x", shape=(1, size, size, 3), dtype="float32"),
            outputs=(TensorSpec(name="y", shape=(1, 3), dtype="float32"),),
        )
        other = msgspec.structs.replace(
            variant, file="small.onnx", sha256=hashlib.sha256(small).hexdigest(), size_bytes=len(small)
        )
        manifest = Manifest(
            name=name,
            version=version,
            target="x86-64",
            labels=LABELS,
            input=ImageInput(width=size, height=size, colour="RGB", layout="NHWC", scale=1 / 255),
            variants=(variant, other) if smaller else (variant,),
            quality=Quality(
                metric="accuracy", reference=1.0, compiled=1.0, drop=0.0, ci95=(0.0, 0.0), agreement=1.0, samples=3
            ),
            golden=Tolerance(atol=1e-3, rtol=1e-3),
            provenance=Provenance(source_sha256="0" * 64, data_sha256="0" * 64, tools={}, recipe={}),
        )
        return pack(
            tmp_path / f"{name}-{version}.edge",
            manifest,
            files={"model.onnx": data} | ({"small.onnx": small} if smaller else {}),
            golden=Golden(input=samples, outputs=probabilities(samples, golden_gain or gain)),
            baseline=Baseline(
                scores=np.full(len(SCORE_EDGES) + 1, 10, np.int64),
                labels=np.full(3, 10, np.int64),
                input_mean=np.zeros(3, np.float32),
                input_std=np.ones(3, np.float32),
            ),
        )

    return make


@pytest.fixture
def make_config(tmp_path: Path) -> MakeConfig:
    """make(colours="rrgg", fps=50, more=""): write an .npy of single-coloured frames and a configuration that plays it.

    The recorder writes applied.txt beside it.
    """

    def make(*, colours: str = "g", size: int = 16, fps: float = 50, max_age_ms: float = 300, more: str = "") -> Path:
        frames = np.zeros((len(colours), size, size, 3), np.uint8)
        for index, colour in enumerate(colours):
            frames[index, ..., "bgr".index(colour)] = 200
        np.save(tmp_path / "frames.npy", frames)
        text = textwrap.dedent(f"""
            device: desk-1
            model: light
            state_dir: state
            source: {{kind: frames, path: frames.npy, fps: {fps}}}
            decider: {{kind: classify, go: [green], floor: 0.8, hold_s: 0.0}}
            actuators:
              - {{kind: recorder, path: applied.txt, max_age_ms: {max_age_ms}, safe_state: stop}}
        """)
        path = tmp_path / "agent.yaml"
        path.write_text(text + textwrap.dedent(more))
        return path

    return make


# --- a guard alone ---------------------------------------------------------------------------------

NO_WATCHDOG = WatchdogSpec()


class Desk:
    """Starts a guard, sends it commands, reads what it did."""

    def __init__(
        self, folder: Path, *actuators: dict[str, object], epoch: int = 1, watchdog: WatchdogSpec = NO_WATCHDOG
    ) -> None:
        self.line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.commands, self.records = make_pipe(), make_pipe(65536)
        self.folder, self.frame = folder, 0
        wanted = actuators or ({"path": "applied.txt"},)
        spec = GuardSpec(
            parent=os.getpid(),
            link_fd=theirs.fileno(),
            actions=("stop", "go"),
            actuators=tuple(self._actuator(dict(one)) for one in wanted),
            epoch=epoch,
            commands_fd=self.commands.read_fd,
            records_fd=self.records.write_fd,
            watchdog=watchdog,
        )
        command = [sys.executable, "-m", "edge_agent.guard", msgspec.json.encode(spec).decode()]
        fds = (theirs.fileno(), spec.commands_fd, spec.records_fd)
        self.process = subprocess.Popen(command, pass_fds=fds, stderr=subprocess.PIPE, text=True)
        theirs.close()

    def _actuator(self, one: dict[str, object]) -> GuardActuator:
        kind, max_age_ms = str(one.pop("kind", "recorder")), one.pop("max_age_ms", 5000)
        safe_state = str(one.pop("safe_state", "stop"))
        chosen = Chosen(kind=kind, options=one, folder=str(self.folder))
        return GuardActuator(chosen=chosen, max_age_ms=float(str(max_age_ms)), safe_state=safe_state)

    def lines(self, file: str = "applied.txt") -> list[Line]:
        return read_lines(self.folder / file)

    def until(self, done: Callable[[], object]) -> None:
        limit = time.monotonic() + WAIT_S
        while not done():
            assert time.monotonic() < limit
            assert self.process.poll() is None, self.process.stderr and self.process.stderr.read()
            time.sleep(0.005)

    def command(self, action: int = 1, *, epoch: int = 1, age_ms: float = 0.0, frame: int | None = None) -> int:
        self.frame = self.frame + 1 if frame is None else frame
        now_ns = time.monotonic_ns()
        assert send(
            self.commands.write_fd, Command(epoch, action, self.frame, now_ns - round(age_ms * 1e6), now_ns).pack()
        )
        return self.frame

    def obeyed(self, action: int = 1, *, epoch: int = 1) -> None:
        frame = self.command(action, epoch=epoch)
        self.until(lambda: self.lines()[-1].frame == frame and not self.lines()[-1].safe)

    def beat(self, wanted: Callable[[GuardBeat], bool]) -> GuardBeat:
        self.line.settimeout(WAIT_S)
        while True:
            news = msgspec.json.decode(self.line.recv(65536), type=GuardNews)
            if isinstance(news, GuardBeat) and wanted(news):
                return news

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.line.close()
        self.commands.close()
        self.records.close()


@pytest.fixture
def make_desk(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    """make(*actuators, folder=tmp_path, watchdog=none, wait=True): a guard; `wait` until it has made safe."""
    desks: list[Desk] = []

    def make(
        *actuators: dict[str, object],
        folder: Path = tmp_path,
        watchdog: WatchdogSpec = NO_WATCHDOG,
        wait: bool = True,
    ) -> Desk:
        desk = Desk(folder, *actuators, watchdog=watchdog)
        desks.append(desk)
        if wait:
            desk.until(desk.lines)
        return desk

    yield make
    for desk in desks:
        desk.close()


# --- a whole agent ---------------------------------------------------------------------------------

EDGE = [sys.executable, "-m", "edge.cli"]
FLEET = "fleet: {enrol: desk-1.enrol, target: x86-64}\n"
WAIT_S = 60.0


class Agent:
    """One agent of real processes, with the test as its uplink where `FLEET` is in the configuration."""

    def __init__(self, config: Path, bundle: Path | None, listener: socket.socket) -> None:
        self.folder, self._listener = config.parent, listener
        script = Path(__file__).with_name("run_supervisor.py")
        paths = [str(script.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"EDGE_TEST_LINE": listener.getsockname(), "PYTHONPATH": os.pathsep.join(paths)}
        command = [sys.executable, str(script), str(config), *([str(bundle)] if bundle else [])]
        self.log = self.folder / "agent.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stderr=log)
        self.spec: UplinkSpec | None = None
        self.health: Health | None = None
        self.faults: list[Fault] = []
        self.notices: list[Notice] = []
        self.records: list[Decided | Applied] = []
        self._control: socket.socket | None = None
        self._records_fd = -1

    # --- as the uplink ---

    def connect(self) -> UplinkSpec:
        """Wait for the uplink's descriptors; again after it was killed."""
        line, _ = self._listener.accept()
        with line:
            data, fds, _, _ = socket.recv_fds(line, 65536, 2)
        if self._control is not None:
            self._control.close()
            os.close(self._records_fd)
        self._control, self._records_fd = socket.socket(fileno=fds[0]), fds[1]
        self._control.settimeout(0.05)
        self.spec = msgspec.json.decode(data, type=UplinkSpec)
        return self.spec

    def listen(self) -> list[Done]:
        """Take in what the supervisor says, and the records."""
        assert self._control is not None
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._records_fd, RECORD_BYTES * 512):
                self.records += [unpack(data[at : at + RECORD_BYTES]) for at in range(0, len(data), RECORD_BYTES)]
        done: list[Done] = []
        with contextlib.suppress(TimeoutError):
            match msgspec.json.decode(self._control.recv(65536), type=News):
                case Health() as health:
                    self.health = health
                case Fault() as fault:
                    self.faults.append(fault)
                case Notice() as notice:
                    self.notices.append(notice)
                case Done() as answer:
                    done.append(answer)
        return done

    def ask(self, request: Request) -> Done:
        """Ask, and wait for the answer."""
        assert self._control is not None
        self._control.send(msgspec.json.encode(request))
        answers: list[Done] = []
        self.until(lambda: answers.extend(self.listen()) or answers, "an answer")
        return answers[0]

    def decided(self, epoch: int) -> list[Decided]:
        return [record for record in self.records if isinstance(record, Decided) and record.epoch == epoch]

    # --- as a bystander ---

    def lines(self) -> list[Line]:
        return read_lines(self.folder / "applied.txt")

    def status(self) -> AgentStatus | None:
        try:
            return read_status(self.folder / "state")
        except AgentError:
            return None

    def pid(self, name: str) -> int:
        """Process id by name, 0 while it is down; the status is up to a second old and may name one that has ended."""
        status = self.status()
        pid = status.processes[name].pid if status and name in status.processes else 0
        return pid if pid in self.children() else 0

    def until(self, done: Callable[[], object], what: str = "it") -> None:
        limit = time.monotonic() + WAIT_S
        while not done():
            if self.process.poll() is not None or time.monotonic() > limit:
                pytest.fail(f"waited in vain for {what}: {self.log.read_text()[-2000:]}")
            time.sleep(0.02)

    def goes(self) -> None:
        """Wait until a frame that was captured from now on has led to `go`."""
        now_ns = time.monotonic_ns()
        self.until(lambda: any(x.action == "go" and x.captured_ns > now_ns for x in self.lines()[-20:]), "go")

    def children(self) -> list[int]:
        """Process ids of everything that the supervisor started and that still runs."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                if int(fields[1]) == self.process.pid and fields[0] != "Z":
                    found.append(int(stat.parent.name))
        return found

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(WAIT_S)

    def close(self) -> None:
        children = self.children()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(WAIT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._control is not None:
            self._control.close()
            os.close(self._records_fd)


@pytest.fixture
def start_agent(tmp_path: Path) -> Iterator[Callable[..., Agent]]:
    """start(config, bundle): run an agent; it is ended with the test."""
    agents: list[Agent] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener, tempfile.TemporaryDirectory() as short:
        listener.bind(f"{short}/line")
        listener.listen()
        listener.settimeout(WAIT_S)

        def start(config: Path, bundle: Path | None = None) -> Agent:
            agents.append(Agent(config, bundle, listener))
            return agents[-1]

        yield start
        for agent in agents:
            agent.close()
