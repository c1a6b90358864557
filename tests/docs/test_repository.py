"""What is in git: nothing that names the machine it was written on, nothing whose origin is not on the list."""

import tomllib
from pathlib import Path

ASSETS = {
    ".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".ico", ".bmp", ".mp4", ".woff", ".woff2", ".ttf",
    ".zip", ".gz", ".tar", ".whl", ".npz", ".npy", ".tflite", ".onnx", ".pt", ".pt2", ".th", ".bin", ".edge",
}  # fmt: skip
MACHINE_PATHS = ("/" + "work/", "/" + "root/")


def test_every_asset_is_on_the_list_with_source_and_licence(root: Path, tracked: list[str]) -> None:
    listed = tomllib.loads((root / "docs" / "assets.toml").read_text(encoding="utf-8")).get("asset", [])
    assert all(asset["source"] and asset["licence"] for asset in listed)
    assert {asset["path"] for asset in listed} == {path for path in tracked if Path(path).suffix.lower() in ASSETS}


def test_every_other_file_is_text(root: Path, tracked: list[str]) -> None:
    others = [root / path for path in tracked if Path(path).suffix.lower() not in ASSETS]
    assert [str(path) for path in others if path.is_file() and b"\0" in path.read_bytes()] == []


def test_no_file_names_a_path_of_the_machine_it_was_written_on(root: Path, tracked: list[str]) -> None:
    found = []
    for path in tracked:
        if (root / path).is_file() and Path(path).suffix.lower() not in ASSETS:
            text = (root / path).read_text(encoding="utf-8", errors="replace")
            found += [f"{path}: {word}" for word in MACHINE_PATHS if word in text]
    assert found == []
