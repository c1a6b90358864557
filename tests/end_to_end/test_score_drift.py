"""A canary of an anomaly model is judged by the model's own score, from the frame to the gate."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from whole_fleet import MODEL, SIDE

from edge.bundle import Baseline, Golden, pack
from edge.manifest import ImageInput, Manifest, Provenance, Quality, TensorSpec, Tolerance, Variant
from edge.score import mean_square_error
from edge.statistics import count, quantile_edges
from fleet.store import open_store

CAR, FPS = "car-1", 120
PLAN = {
    "waves": [1.0],
    "soak_s": 5.0,
    "wave_timeout_s": 200.0,
    "min_scores": 500,
    "max_score_drift": 0.5,
    "max_latency_ratio": 100.0,
}
SHAPE = (1, 3, SIDE, SIDE)
Wait = Callable[..., None]
Real = NDArray[np.float32]


def pictures() -> NDArray[np.uint8]:
    """Grey frames of many brightnesses, in no order: the camera plays them again and again."""
    levels = np.random.default_rng(4).integers(40, 250, 200).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (200, SIDE, SIDE, 3)).copy()


def inputs() -> Real:
    return (pictures().astype(np.float32) / 255).transpose(0, 3, 1, 2)


def dimming_model(share: float) -> bytes:
    """ONNX: gives back `share` of each pixel, so its error is (1 - share)^2 of the picture's mean square."""
    import onnx
    from onnx import TensorProto, helper

    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(SHAPE)) for name in ("x", "y")]
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "share"], ["y"])], "dim", tensors[:1], tensors[1:],
        [helper.make_tensor("share", TensorProto.FLOAT, [1], [share])],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def anomaly_bundle(folder: Path, version: int, *, share: float = 0.8, on_the_bench: float = 0.8) -> Path:
    """A bundle of `dimming_model`; its baseline is that of the share `on_the_bench`."""
    data, samples = dimming_model(share), inputs()[:4]
    specs = [TensorSpec(name=name, shape=SHAPE, dtype="float32") for name in ("x", "y")]
    variant = Variant(
        runtime="onnxruntime", dtype="float32", file="model.onnx", sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data), input=specs[0], outputs=(specs[1],),
    )  # fmt: skip
    scores = np.array([mean_square_error(x * np.float32(on_the_bench), x) for x in inputs()], np.float32)
    edges = quantile_edges(scores)
    manifest = Manifest(
        name=MODEL, version=version, target="x86-64", labels=(), task="anomaly", score_edges=edges,
        input=ImageInput(width=SIDE, height=SIDE, colour="RGB", layout="NCHW", scale=1 / 255), variants=(variant,),
        quality=Quality(metric="auc", reference=1.0, compiled=1.0, drop=0.0, ci95=(0, 0), agreement=1.0, samples=200),
        golden=Tolerance(atol=1e-4, rtol=1e-4),
        provenance=Provenance(source_sha256="0" * 64, data_sha256="0" * 64, tools={}, recipe={}),
    )  # fmt: skip
    baseline = Baseline(count(scores, edges), np.zeros(0, np.int64), np.zeros(3, np.float32), np.ones(3, np.float32))
    golden = Golden(samples, (samples * np.float32(share)).reshape(4, -1))
    return pack(
        folder / f"{MODEL}-{version}.edge", manifest, files={"model.onnx": data}, golden=golden, baseline=baseline
    )


def roll_out(fleet: Any, waiting: Wait, bundle: Path, version: int, end: str) -> dict[str, Any]:
    """Publish, order, wait for the end; returns the drift gate of the last wave."""
    plan = fleet.folder / "plan.yaml"
    plan.write_text(yaml.safe_dump(PLAN))
    fleet.publish(bundle)
    fleet.edge("fleet", "rollout", "start", MODEL, str(version), "--plan", str(plan), "--dir", str(fleet.dir))
    waiting(lambda: newest(fleet)["state"] == end, what=f"{end} of {version}", seen=lambda: str(newest(fleet)))
    found: dict[str, Any] = next(gate for gate in newest(fleet)["gates"] if gate["name"] == "score_drift")
    return found


def newest(fleet: Any) -> dict[str, Any]:
    """The rollout started last."""
    return max(fleet.status()["rollouts"], key=lambda one: one["version"])


def test_an_anomaly_model_that_errs_more_than_on_the_bench_is_rolled_back_and_one_that_errs_as_there_is_not(
    fleet: Any, waiting: Wait
) -> None:
    np.save(fleet.folder / "grey.npy", pictures())
    fleet.start_agent(
        CAR,
        source={"kind": "frames", "path": str(fleet.folder / "grey.npy"), "fps": FPS},
        decider={"kind": "anomaly", "actions": ["stop", "go"], "warm_up": 50},
    )
    waiting(lambda: any(d["id"] == CAR and d["online"] for d in fleet.status()["devices"]), what="the device")

    first = roll_out(fleet, waiting, anomaly_bundle(fleet.folder, 1), 1, "DONE")
    assert (first["verdict"], first["soft"]) == ("pass", True)

    other = roll_out(fleet, waiting, anomaly_bundle(fleet.folder, 2, share=0.7, on_the_bench=0.7), 2, "DONE")
    assert (other["verdict"], other["soft"]) == ("pass", False)
    assert abs(other["value"]) < 0.1

    blind = roll_out(fleet, waiting, anomaly_bundle(fleet.folder, 3, share=0.5), 3, "ROLLED_BACK")
    assert (blind["verdict"], blind["value"] > PLAN["max_score_drift"]) == ("stop", True)

    store = open_store(f"sqlite:///{fleet.dir / 'telemetry.db'}")
    try:
        told = {(event.kind, event.version) for event in store.events(500, CAR)}
        seen = {version: store.observe(MODEL, version, None, 0, 2**62)[CAR] for version in (2, 3)}
    finally:
        store.close()
    assert {event for event in told if event[0] == "drift"} == {("drift", 3)}
    bins = {version: [n > 0 for n in one.scores].index(True) for version, one in seen.items()}
    assert abs(bins[2] - bins[3]) <= 1  # the decider's own score, of a threshold learned anew, tells nothing
    assert seen[3].model_scores[-1] > 0.5 * sum(seen[3].model_scores)
