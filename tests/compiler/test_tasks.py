"""Not only classifiers: an autoencoder that finds anomalies and a regression go the whole way into a bundle."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from on_a_device import counted_on_a_device, scored_on_a_device

from compiler.budget import Budget
from compiler.evaluate import evaluate_bundle
from compiler.opening import Request
from compiler.packing import Order
from compiler.pipeline import compile_model
from compiler.result import Compiled
from edge import console
from edge.bundle import open_bundle
from edge.errors import BadDataError, BadInputContractError, BadModelError
from edge.runtimes import check_golden, open_session

RNG = np.random.default_rng(8)
SENSORS, HIDDEN = 8, 2
MIX = RNG.normal(0, 1, (HIDDEN, SENSORS)).astype(np.float32)


def save_linear(path: Path, *layers: np.ndarray) -> Path:
    """An .onnx file that multiplies [1, n] by one matrix after another."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("MatMul", [f"v{at}" if at else "x", f"w{at}"], [f"v{at + 1}"], name=f"layer{at}")
        for at in range(len(layers))
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, layers[0].shape[0]])],
        [helper.make_tensor_value_info(f"v{len(layers)}", TensorProto.FLOAT, [1, layers[-1].shape[1]])],
        [numpy_helper.from_array(layer.astype(np.float32), f"w{at}") for at, layer in enumerate(layers)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def readings(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Eight sensors that move together, like those of a machine; every fourth reading has one that does not."""
    rng = np.random.default_rng(count)  # the same readings, whichever test asks first
    y = (np.arange(count) % 4 == 0).astype(int)
    x = rng.normal(0, 1, (count, HIDDEN)) @ MIX + rng.normal(0, 0.1, (count, SENSORS))
    x[np.arange(count), rng.integers(0, SENSORS, count)] += y * rng.normal(0, 3, count)
    return x.astype(np.float32), y


def trained_autoencoder(path: Path) -> Path:
    """The best linear one: encode and decode by the two principal components of normal readings."""
    x, y = readings(2000)
    components = np.linalg.svd(x[y == 0], full_matrices=False)[2][:HIDDEN]
    return save_linear(path, components.T, components)


def compile_it(folder: Path, model: Path, data: Path, **more: object) -> Compiled:
    order = Order(target="raspberrypi4", name="machine", output=folder / "machine-1.edge")
    request = Request(model=str(model), data=data, order=order, **more)  # type: ignore[arg-type]
    return compile_model(request, stage=console.progress, warn=lambda _: None)


@pytest.fixture(scope="module")
def anomalies(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    folder = tmp_path_factory.mktemp("anomaly")
    x, y = readings(600)
    np.savez(folder / "d.npz", x=x, y=np.where(y, "anomaly", "normal"))
    return compile_it(folder, trained_autoencoder(folder / "m.onnx"), folder / "d.npz", task="anomaly")


def test_an_autoencoder_is_judged_by_the_auc_of_its_score(anomalies: Compiled) -> None:
    manifest = open_bundle(anomalies.bundle).manifest
    assert (manifest.task, manifest.quality.metric, manifest.labels) == ("anomaly", "auc", ())
    assert manifest.quality.reference > 0.9
    assert abs(manifest.quality.drop) < 0.01
    figures = {figure.name: figure.value for figure in anomalies.main.compared.figures}
    assert figures.keys() == {"SQNR of the outputs", "correlation with float", "false alarms", "missed alarms"}
    assert (figures["correlation with float"] or 0) > 0.95  # anomalies beyond the range of an int8 input are clipped


def test_what_is_judged_is_what_a_device_scores_anomalies_beyond_the_range_of_its_input_too(
    anomalies: Compiled,
) -> None:
    spec = open_bundle(anomalies.bundle).manifest.variants[0].input
    largest = max(float(np.abs(anomalies.report_part.raw(at)).max()) for at in range(len(anomalies.report_part)))
    assert spec.dtype == "int8"
    assert largest > (spec.scale or 0) * (127 + abs(spec.zero_point or 0))
    scores = scored_on_a_device(anomalies, range(len(anomalies.report_part)))
    assert anomalies.main.scores.values[:, 0].tolist() == scores


def test_it_is_calibrated_with_normal_samples_only(anomalies: Compiled) -> None:
    assert len(anomalies.split.calibrate) == 120
    count, rest = anomalies.manifest.provenance.recipe["calibration"].split(" ", 1)
    assert 75 <= int(count) < 105
    assert rest.startswith("normal samples")


def test_its_baseline_counts_the_score_by_edges_of_its_own(anomalies: Compiled) -> None:
    bundle = open_bundle(anomalies.bundle)
    assert len(bundle.manifest.score_edges) == 17
    assert bundle.baseline.scores.sum() == (anomalies.report_part.labels == 0).sum() < len(anomalies.split.report)
    assert (bundle.baseline.scores > 0).all()
    assert bundle.baseline.labels.shape == (0,)


def test_an_int8_autoencoder_scores_on_a_device_as_its_baseline_was_counted(anomalies: Compiled) -> None:
    assert open_bundle(anomalies.bundle).manifest.variants[0].input.dtype == "int8"
    usual = np.flatnonzero(anomalies.report_part.labels == 0)
    assert counted_on_a_device(anomalies, usual) == open_bundle(anomalies.bundle).baseline.scores.tolist()


def test_its_golden_samples_hold_on_the_runtime_without_a_label(anomalies: Compiled) -> None:
    bundle = open_bundle(anomalies.bundle)
    for variant in bundle.manifest.variants:
        session = open_session(bundle, variant=variant)
        assert check_golden(bundle, session, invocations=2).samples == 16
        session.close()


def test_its_report_and_evaluation_speak_of_the_auc(anomalies: Compiled) -> None:
    page = (anomalies.report / "report.html").read_text("utf-8")
    assert "AUC" in page
    assert "missed alarms" in page
    report = json.loads((anomalies.report / "report.json").read_text())
    assert report["task"] == "anomaly"
    evaluation = evaluate_bundle(
        anomalies.bundle, anomalies.bundle.with_name("d.npz"), label_column="label", stage=console.progress
    )
    assert evaluation.metric == "auc"
    assert all(one.value > 0.9 for one in evaluation.variants)


def test_the_input_contract_may_state_the_task(tmp_path: Path, anomalies: Compiled) -> None:
    shutil.copy(anomalies.bundle.with_name("m.onnx"), tmp_path)
    (tmp_path / "m.input.toml").write_text('task = "anomaly"\n')
    x, y = readings(300)
    np.savez(tmp_path / "d.npz", x=x, y=y)
    done = compile_it(tmp_path, tmp_path / "m.onnx", tmp_path / "d.npz", metric="f1")
    assert (done.manifest.task, done.manifest.quality.metric) == ("anomaly", "f1")
    assert 0.7 < done.manifest.quality.reference <= 1
    (tmp_path / "m.input.toml").write_text('task = "divine"\n')
    with pytest.raises(BadInputContractError, match="unknown task 'divine'"):
        compile_it(tmp_path, tmp_path / "m.onnx", tmp_path / "d.npz")


def test_a_regression_is_judged_by_its_error(tmp_path: Path) -> None:
    weights = RNG.normal(0, 1, (SENSORS, 2)).astype(np.float32)
    x = RNG.normal(0, 1, (600, SENSORS)).astype(np.float32)
    y = x @ weights + RNG.normal(0, 0.3, (600, 2)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=x, y=y)
    model = save_linear(tmp_path / "m.onnx", weights)
    done = compile_it(tmp_path, model, tmp_path / "d.npz", task="regress", budget=Budget(0.02, asked=True))
    bundle = open_bundle(done.bundle)
    assert (bundle.manifest.task, bundle.manifest.quality.metric) == ("regress", "mae")
    assert bundle.manifest.quality.reference == pytest.approx(0.24, abs=0.03)  # 0.3 * sqrt(2 / pi)
    assert bundle.manifest.quality.verdict == "kept"
    assert bundle.baseline.scores.sum() == 360
    assert counted_on_a_device(done, np.arange(360)) == bundle.baseline.scores.tolist()
    assert "Decisions that changed" not in (done.report / "report.html").read_text("utf-8")

    np.savez(tmp_path / "d.npz", x=x, y=y[:, 0])
    with pytest.raises(BadDataError, match="y has 1 numbers for each sample, but the model gives 2"):
        compile_it(tmp_path, model, tmp_path / "d.npz", task="regress")


def test_a_score_alone_is_no_classifier(tmp_path: Path) -> None:
    x, y = readings(100)
    np.savez(tmp_path / "d.npz", x=x, y=y)
    with pytest.raises(BadModelError, match="--task anomaly or regress"):
        compile_it(tmp_path, save_linear(tmp_path / "m.onnx", np.ones((SENSORS, 1))), tmp_path / "d.npz")
