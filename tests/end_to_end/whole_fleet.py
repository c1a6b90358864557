"""A whole fleet on this machine: the real service, broker and agents, each a process started by its command."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import yaml

from edge.bundle import Baseline, Golden, pack
from edge.manifest import ImageInput, Manifest, Provenance, Quality, TensorSpec, Tolerance, Variant
from edge.statistics import SCORE_EDGES, count
from fleet.client import FleetClient

SIDE = 8
LABELS = ("red", "green", "blue")
MODEL = "colours"
RECORDER = {"max_age_ms": 500, "safe_state": "stop"}
EDGE = [sys.executable, "-m", "edge.cli"]


def wait_for(
    condition: Callable[[], bool], timeout_s: float = 240.0, what: str = "it", seen: Callable[[], str] = str
) -> None:
    """Poll until `condition`; fails the test after `timeout_s`, and says what was `seen` then."""
    limit = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > limit:
            pytest.fail(f"waited {timeout_s:g} s in vain for {what}; {seen()}")
        time.sleep(0.2)


def colour_model(gain: float, remark: str = "") -> bytes:
    """ONNX: [1, 3, 8, 8] in 0..1 -> three logits, the mean of each channel times `gain`; larger by a `remark`."""
    import onnx
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "gain"], ["y"]),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, SIDE, SIDE])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])]
    weights = [helper.make_tensor("gain", TensorProto.FLOAT, [1], [gain])]
    graph = helper.make_graph(nodes, "colours", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8, doc_string=remark)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def make_bundle(
    folder: Path, version: int, *, target: str = "x86-64", gain: float = 20.0, name: str = MODEL, remark: str = ""
) -> Path:
    """A real bundle that says which colour a picture is; versions differ in `gain`."""
    data = colour_model(gain, remark)
    rng = np.random.default_rng(version)
    samples = rng.random((4, 3, SIDE, SIDE), dtype=np.float32)
    outputs = (samples.mean(axis=(2, 3)) * gain).astype(np.float32)
    variant = Variant(
        runtime="onnxruntime",
        dtype="float32",
        file="model.onnx",
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        input=TensorSpec(name="x", shape=(1, 3, SIDE, SIDE), dtype="float32"),
        outputs=(TensorSpec(name="y", shape=(1, 3), dtype="float32"),),
    )
    manifest = Manifest(
        name=name,
        version=version,
        target=target,
        labels=LABELS,
        input=ImageInput(width=SIDE, height=SIDE, colour="RGB", layout="NCHW", scale=1 / 255),
        variants=(variant,),
        quality=Quality(
            metric="accuracy", reference=1.0, compiled=1.0, drop=0.0, ci95=(0.0, 0.0), agreement=1.0, samples=100
        ),
        golden=Tolerance(atol=1e-4, rtol=1e-4),
        provenance=Provenance(source_sha256="0" * 64, data_sha256="0" * 64, tools={}, recipe={}),
    )
    scores = count([0.9999] * 200, SCORE_EDGES)
    baseline = Baseline(
        scores=scores,
        labels=np.array([70, 70, 60], np.int64),
        input_mean=np.full(3, 0.5, np.float32),
        input_std=np.full(3, 0.3, np.float32),
    )
    path = folder / f"{name}-{version}.edge"
    return pack(path, manifest, files={"model.onnx": data}, golden=Golden(samples, outputs), baseline=baseline)


def frames(path: Path, count_: int = 90) -> Path:
    """Pictures for a camera: red for a while, then green, then blue (BGR)."""
    pictures = np.zeros((count_, SIDE, SIDE, 3), np.uint8)
    for index, channel in enumerate((2, 1, 0)):
        pictures[index * count_ // 3 : (index + 1) * count_ // 3, :, :, channel] = 230
    np.save(path, pictures)
    return path


class Fleet:
    """`edge fleet init` and `serve` in a folder of their own, and agents enrolled with it."""

    def __init__(self, folder: Path, *, host: str = "127.0.0.1", within: tuple[str, ...] = ()) -> None:
        """`host`: where devices reach it; `within`: what a command begins with to run on the fleet's machine."""
        self.folder, self.dir, self.keys = folder, folder / "fleet", folder / "keys"
        self.within = within
        self.processes: list[subprocess.Popen[str]] = []
        self.edge("fleet", "init", str(self.dir), "--keys", str(self.keys), "--host", host)
        self.service = self.start_service()

    def edge(self, *words: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run one command to its end."""
        done = subprocess.run([*EDGE, *words], capture_output=True, text=True, check=False, timeout=120)
        if check and done.returncode:
            pytest.fail(f"edge {' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def start_service(self) -> "subprocess.Popen[str]":
        """Start `edge fleet serve` on free ports, and wait until it answers."""
        ports = ["--http-port", "0", "--mqtt-port", "0", "--page-port", "0"]
        process = self._start("fleet", "serve", str(self.dir), *ports)
        log = self.folder / f"log-{len(self.processes) - 1}-fleet.txt"
        wait_for(lambda: "fleet ready" in log.read_text(), timeout_s=150, what="the service")
        self.client = FleetClient.local(self.dir)
        return process

    def start_agent(self, device: str, **settings: object) -> "subprocess.Popen[str]":
        """Enrol a device and start its agent; `settings` replace keys of its config."""
        enrol = self.folder / f"{device}.enrol"
        if not enrol.exists():
            self.edge("fleet", "enrol", device, "-o", str(enrol), "--dir", str(self.dir))
        config = self.folder / f"{device}.yaml"
        config.write_text(yaml.safe_dump(self.agent_config(device, enrol) | settings))
        return self._start("run", str(config))

    def agent_config(self, device: str, enrol: Path) -> dict[str, Any]:
        """What a device of these tests is configured with."""
        pictures = frames(self.folder / "frames.npy")
        return {
            "device": device,
            "model": MODEL,
            "state_dir": str(self.state_dir(device)),
            "source": {"kind": "frames", "path": str(pictures), "fps": 60},
            "decider": {"kind": "classify", "go": ["green"], "floor": 0.6, "hold_s": 0.1},
            "actuators": [{"kind": "recorder", "path": str(self.record(device)), **RECORDER}],
            "fleet": {"enrol": str(enrol), "target": "x86-64", "probation_s": 1.5},
        }

    def state_dir(self, device: str) -> Path:
        """Where a device keeps its slots, journal and outbox."""
        return self.folder / f"{device}.state"

    def record(self, device: str) -> Path:
        """Where its recorder writes."""
        return self.folder / f"{device}.txt"

    def publish(self, bundle: Path) -> None:
        """Sign and publish."""
        self.edge("fleet", "publish", str(bundle), "--keys", str(self.keys), "--dir", str(self.dir))

    def status(self) -> dict[str, Any]:
        """What `edge fleet status --json` prints, without starting a process for it."""
        answer: dict[str, Any] = msgspec.to_builtins(self.client.status())
        return answer

    def model(self, device: str) -> dict[str, Any]:
        """What the fleet knows of the model on a device; version 0 before it spoke."""
        for entry in self.status()["devices"]:
            if entry["id"] == device and MODEL in entry["models"]:
                found: dict[str, Any] = entry["models"][MODEL]
                return found
        return {"version": 0, "state": "IDLE"}

    def stop(self) -> None:
        """End everything that this fleet started."""
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, *words: str) -> "subprocess.Popen[str]":
        log = (self.folder / f"log-{len(self.processes)}-{words[0]}.txt").open("w")
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        command = [*self.within, *EDGE, *words]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, text=True, env=environment)
        self.processes.append(process)
        return process
