"""A recipe makes the same bytes again, in another folder and without a cache; and only of the same model and data."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from compiler.packing import Order
from compiler.pipeline import Request, compile_model
from compiler.recipe import hold_same_bytes, read_recipe
from compiler.result import Compiled
from edge import console
from edge.errors import BadArgumentError, BadBundleError, FileMissingError


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, colour_model: Path, colour_pictures: Path) -> Compiled:
    order = Order(target="raspberrypi4", name="hues", version=7, output=tmp_path_factory.mktemp("first") / "a.edge")
    request = Request(model=str(colour_model), data=colour_pictures, order=order)
    return compile_model(request, stage=console.progress, warn=lambda _: None)


def again(recipe: Path, model: Path, data: Path, output: Path, *more: str) -> subprocess.CompletedProcess[str]:
    words = [
        "compile",
        str(model),
        "--data",
        str(data),
        "--recipe",
        str(recipe),
        "-o",
        str(output),
        "--no-cache",
        *more,
    ]
    return subprocess.run([sys.executable, "-m", "edge.cli", *words], capture_output=True, text=True, check=False)


def test_the_same_bytes_come_out_in_another_folder_without_the_contract_beside_the_model(
    first: Compiled, colour_model: Path, colour_pictures: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copy(colour_model, tmp_path / "colour.onnx"))
    data = shutil.copytree(colour_pictures, tmp_path / "pictures")
    done = again(first.report / "report.json", model, data, tmp_path / "b.edge")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "b.edge").read_bytes() == first.bundle.read_bytes()
    assert (tmp_path / "b.report" / "card.md").read_bytes().splitlines()[0] == b"# hues 7"


def test_another_model_is_refused(first: Compiled, colour_pictures: Path, colour_model: Path, tmp_path: Path) -> None:
    import onnx

    other = onnx.load(colour_model)
    other.graph.node[0].name = "another"
    other.graph.initializer[0].float_data[:] = []
    other.graph.initializer[0].raw_data = bytes(36)
    onnx.save(other, tmp_path / "colour.onnx")
    done = again(first.report / "report.json", tmp_path / "colour.onnx", colour_pictures, tmp_path / "b.edge")
    assert done.returncode == BadArgumentError.exit_code
    assert "the recipe is of another model" in done.stderr
    assert not (tmp_path / "b.edge").exists()


def test_other_data_and_other_words_are_refused(
    first: Compiled, colour_model: Path, colour_pictures: Path, tmp_path: Path
) -> None:
    data = shutil.copytree(colour_pictures, tmp_path / "pictures")
    picture = cv2.imread(str(data / "red" / "00.png"))
    cv2.imwrite(str(data / "red" / "00.png"), 255 - picture)
    done = again(first.report / "report.json", colour_model, data, tmp_path / "b.edge")
    assert done.returncode == BadArgumentError.exit_code
    assert "the recipe is of other data" in done.stderr
    done = again(first.report / "report.json", colour_model, data, tmp_path / "b.edge", "--max-drop", "2%")
    assert "--recipe says already" in done.stderr


def test_a_file_without_a_recipe_is_named(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(BadArgumentError, match="has no recipe"):
        read_recipe(tmp_path / "report.json")
    with pytest.raises(FileMissingError):
        read_recipe(tmp_path / "absent.json")


def test_other_bytes_are_an_error_that_names_the_tools_that_changed(first: Compiled) -> None:
    recipe = read_recipe(first.report / "report.json")
    hold_same_bytes(recipe, recipe.bundle_sha256)
    with pytest.raises(BadBundleError, match="same kind of processor"):
        hold_same_bytes(recipe, "0" * 64)
    recipe.tools["numpy"] = "0.1"
    with pytest.raises(BadBundleError, match=r"numpy .* \(was 0.1\)"):
        hold_same_bytes(recipe, "0" * 64)


def test_the_recipe_holds_no_path(first: Compiled, colour_pictures: Path) -> None:
    recipe = json.dumps(json.loads((first.report / "report.json").read_text("utf-8"))["recipe"])
    assert str(first.bundle.parent) not in recipe
    assert str(colour_pictures) not in recipe
