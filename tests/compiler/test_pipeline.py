"""The whole compile, on a small ONNX model and pictures."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from compiler.evaluate import evaluate_bundle
from compiler.packing import Order
from compiler.pipeline import Request, compile_model
from compiler.read_data import open_data
from compiler.result import Compiled
from compiler.split import split
from edge import console
from edge.bundle import open_bundle
from edge.errors import BadModelError, TargetUnsupportedError, UnknownTargetError
from edge.manifest import ImageInput
from edge.runtimes import check_golden, open_session
from edge.target import load_target

Compile = Callable[..., Compiled]


def compile_to(folder: Path, model: Path, data: Path, **more: object) -> Compiled:
    order = Order(target="raspberrypi4", name="colour", output=folder / "colour-1.edge")
    request = Request(model=str(model), data=data, order=order, **more)  # type: ignore[arg-type]
    return compile_model(request, stage=console.progress, warn=lambda _: None)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory, colour_model: Path, colour_pictures: Path) -> Compiled:
    return compile_to(tmp_path_factory.mktemp("first"), colour_model, colour_pictures)


def test_the_bundle_holds_what_was_measured(compiled: Compiled) -> None:
    manifest = open_bundle(compiled.bundle).manifest
    assert manifest == compiled.manifest
    assert manifest.labels == ("blue", "green", "red")
    assert isinstance(manifest.input, ImageInput)
    assert manifest.quality.samples == len(compiled.split.report) == 72
    assert manifest.quality.agreement > 0.9
    assert manifest.latency == ()  # nothing that was timed goes to a device
    assert {variant.runtime for variant in manifest.variants} == {"litert", "onnxruntime"}


def test_integer_candidates_are_ranked_before_the_soft_max(compiled: Compiled) -> None:
    numbers = {one.candidate.dtype: one.before_squash_db for one in compiled.measured}
    assert numbers["float32"] is None
    assert numbers["int8"] is not None


def test_every_variant_reproduces_the_golden_samples(compiled: Compiled) -> None:
    bundle = open_bundle(compiled.bundle)
    assert len(bundle.manifest.variants) == 2
    for variant in bundle.manifest.variants:
        session = open_session(bundle, variant=variant)
        assert check_golden(bundle, session, invocations=3).samples == len(bundle.golden.input)
        session.close()
    assert set(bundle.golden.outputs.argmax(axis=1)) == {0, 1, 2}


def test_synthetic_golden_samples_are_none_of_the_data(compiled: Compiled) -> None:
    golden = open_bundle(compiled.bundle).golden.input
    for index in range(len(compiled.report_part)):
        picture = compiled.report_part.raw(index)[..., ::-1].transpose(2, 0, 1) / 255
        assert np.abs(golden - picture).mean(axis=(1, 2, 3)).min() > 0.02


def test_golden_samples_come_from_the_data_only_when_asked(
    tmp_path: Path, colour_model: Path, colour_pictures: Path
) -> None:
    result = compile_to(tmp_path, colour_model, colour_pictures, golden_from_data=True)
    golden = open_bundle(result.bundle).golden.input
    everything = open_data(colour_pictures)
    pictures = [everything.read(i)[..., ::-1].transpose(2, 0, 1) / 255 for i in range(len(everything.tags))]
    assert all(min(float(np.abs(x - picture).max()) for picture in pictures) < 1e-6 for x in golden)
    assert result.manifest.provenance.recipe["golden"] == "from the data"


def test_the_baseline_counts_the_decisions_of_the_report_part(compiled: Compiled) -> None:
    baseline = open_bundle(compiled.bundle).baseline
    assert baseline.labels.tolist() == np.bincount(compiled.main.scores.predicted, minlength=3).tolist()
    assert baseline.scores.sum() == 72
    assert baseline.input_mean.shape == (3,)


def test_two_folders_give_the_same_bytes_and_no_path(
    tmp_path: Path, compiled: Compiled, colour_model: Path, colour_pictures: Path
) -> None:
    elsewhere = tmp_path / "another place"
    elsewhere.mkdir()
    model = Path(shutil.copy(colour_model, elsewhere / "colour.onnx"))
    shutil.copy(colour_model.with_name("colour.input.toml"), elsewhere)
    data = Path(shutil.copytree(colour_pictures, elsewhere / "data"))
    (data / "red" / "00.png").rename(data / "red" / "zz.png")
    again = compile_to(elsewhere, model, data)
    content = again.bundle.read_bytes()
    assert content == compiled.bundle.read_bytes()
    for path in (str(tmp_path), str(colour_model.parent), str(colour_pictures), str(Path.cwd())):
        assert path.encode() not in content


def test_the_report_lies_beside_the_bundle(compiled: Compiled) -> None:
    assert compiled.report == compiled.bundle.with_name("colour-1.report")
    assert {file.name for file in compiled.report.iterdir()} == {
        "card.md",
        "report.html",
        "report.json",
        "sbom.cdx.json",
    }


def test_evaluating_the_bundle_finds_the_same_accuracy_again(compiled: Compiled, colour_pictures: Path) -> None:
    evaluation = evaluate_bundle(compiled.bundle, colour_pictures, label_column="label", stage=console.progress)
    assert [one.variant.dtype for one in evaluation.variants] == [v.dtype for v in compiled.manifest.variants]
    by_dtype = {one.variant.dtype: one for one in evaluation.variants}
    report = list(compiled.split.report)
    reference = next(one for one in compiled.measured if one.candidate.dtype == "float32")
    assert (by_dtype["float32"].scores.predicted[report] == reference.scores.predicted).all()
    assert by_dtype["float32"].agreement == 1.0


def test_a_target_that_cannot_be_is_refused_before_any_file_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    request = Request(model="no.onnx", data=Path("no"), order=Order(target="raspberypi4"))
    with pytest.raises(UnknownTargetError, match="raspberypi4"):
        compile_model(request, stage=console.progress, warn=lambda _: None)
    planned = msgspec.structs.replace(load_target("x86-64"), supported=False)
    monkeypatch.setattr("compiler.checks.load_target", lambda _: planned)
    with pytest.raises(TargetUnsupportedError, match="x86-64"):
        compile_model(request, stage=console.progress, warn=lambda _: None)


def test_a_wrong_colour_order_is_warned_of_by_naming_the_contract_first(
    tmp_path: Path, colour_model: Path, colour_pictures: Path
) -> None:
    contract = tmp_path / "wrong.toml"
    contract.write_text('colour = "BGR"\nscale = 0.00392156862745098\n')
    order = Order(target="raspberrypi4", output=tmp_path / "c.edge")
    heard: list[str] = []
    compile_model(
        Request(model=str(colour_model), data=colour_pictures, order=order, input_file=contract),
        stage=console.progress,
        warn=heard.append,
    )
    assert any("check the input contract (colour BGR" in warning for warning in heard)
    assert any("only 72 samples to prove with" in warning for warning in heard)


def test_nothing_is_written_when_no_candidate_is_good_enough(
    tmp_path: Path, colour_model: Path, colour_pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compiler.objection.MIN_AGREEMENT", 1.01)
    with pytest.raises(BadModelError, match="no candidate for raspberrypi4 is good enough"):
        compile_to(tmp_path, colour_model, colour_pictures)
    assert list(tmp_path.iterdir()) == []


def test_the_manifest_says_with_what_it_was_made(compiled: Compiled) -> None:
    provenance = compiled.manifest.provenance
    assert {"edgewright", "onnx", "onnxruntime", "numpy"} <= provenance.tools.keys()
    assert provenance.recipe["calibration"].startswith("24 samples")


def colour_arrays(folder: Path, *, report_labels_turned: bool) -> Path:
    """Arrays of the model's own shape, of three classes; the labels of the report part may all be wrong."""
    rng = np.random.default_rng(3)
    y = np.arange(150) % 3
    x = rng.random((150, 3, 8, 8), np.float32)
    x[np.arange(150), 2 - y] += 0.1 + 0.1 * rng.random((150, 1, 1), np.float32)
    if report_labels_turned:
        report = list(split([hashlib.sha256(one.tobytes()).digest() for one in x]).report)
        y[report] = (y[report] + 1) % 3
    np.savez(folder / "d.npz", x=x, y=y)
    return folder / "d.npz"


def test_the_report_part_changes_the_verdict_and_never_the_choice(tmp_path: Path, colour_model: Path) -> None:
    results = []
    for turned in (False, True):
        folder = tmp_path / str(turned)
        folder.mkdir()
        model = Path(shutil.copy(colour_model, folder / "plain.onnx"))
        results.append(compile_to(folder, model, colour_arrays(folder, report_labels_turned=turned)))
    right, wrong = results
    assert right.choice == wrong.choice
    assert right.split == wrong.split
    assert [v.sha256 for v in right.manifest.variants] == [v.sha256 for v in wrong.manifest.variants]
    assert right.main.quality.reference > 0.8
    assert wrong.main.quality.reference < 0.2
