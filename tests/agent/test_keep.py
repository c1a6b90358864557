"""The store of pictures that the model was not sure of: bounded, masked before writing, and filled by a real agent."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.kept import Remark
from edge_agent.png import encode_png
from edge_agent.report import describe, look
from edge_agent.watch.keep import Mask, Store, black_out

NOISE = np.random.default_rng(1).integers(1, 255, (20, 30, 3), np.uint8)


def remark(number: int) -> Remark:
    return Remark(model="light", version=1, frame=number, wall_ns=number, label="green", score=0.5)


def store(folder: Path, *, max_bytes: int = 1 << 20, max_per_hour: int = 1000, masks: tuple[Mask, ...] = ()) -> Store:
    return Store(folder, max_bytes=max_bytes, max_per_hour=max_per_hour, masks=masks)


def read(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return np.asarray(picture)


@pytest.mark.parametrize("picture", [NOISE, NOISE[..., 0], NOISE[:1, :1]], ids=["colour", "grey", "one pixel"])
def test_another_reader_sees_the_same_picture(picture: np.ndarray, tmp_path: Path) -> None:
    file = tmp_path / "x.png"
    file.write_bytes(encode_png(picture, '{"größe": 1}'))
    assert np.array_equal(read(file), picture)
    assert '{"größe": 1}'.encode() in file.read_bytes()


def test_a_mask_is_black_in_the_file_and_its_edges_are_rounded_outwards(tmp_path: Path) -> None:
    store(tmp_path, masks=((0.0, 0.52, 1.0, 0.48), (0.9, 0.0, 0.1, 0.11))).keep(NOISE, remark(1), 0.0)
    kept = read(next(tmp_path.glob("*.png")))
    assert not kept[10:].any()
    assert not kept[:3, 27:].any()
    assert np.array_equal(kept[:10, :27], NOISE[:10, :27])
    assert NOISE.all(), "the picture itself is not touched"
    assert not black_out(NOISE, [(0, 0, 1, 1)]).any()


def test_the_oldest_pictures_go_and_the_bound_holds_after_a_restart(tmp_path: Path) -> None:
    one = len(encode_png(NOISE, '{"model":"light","version":1,"frame":1,"wall_ns":1,"label":"green","score":0.5}'))
    bound = 3 * one + one // 2
    first = store(tmp_path, max_bytes=bound)
    assert all(first.keep(NOISE, remark(number), 0.0) for number in range(1, 6))
    (tmp_path / "torn.new").write_bytes(b"half")
    second = store(tmp_path, max_bytes=bound)
    second.keep(NOISE, remark(6), 0.0)
    assert [int(file.stem.split("-")[1]) for file in sorted(tmp_path.iterdir())] == [4, 5, 6]
    store(tmp_path, max_bytes=one + 10)
    assert [int(file.stem.split("-")[1]) for file in sorted(tmp_path.iterdir())] == [6]


def test_a_picture_that_is_too_large_for_the_store_is_not_kept(tmp_path: Path) -> None:
    assert not store(tmp_path, max_bytes=100).keep(NOISE, remark(1), 0.0)
    assert list(tmp_path.iterdir()) == []


def test_no_more_than_so_many_an_hour_are_kept(tmp_path: Path) -> None:
    one = store(tmp_path, max_per_hour=2)
    assert [one.keep(NOISE, remark(s), float(s)) for s in (0, 10, 20, 3599, 3600, 3605, 3611)] == [
        True, True, False, False, True, False, True,
    ]  # fmt: skip


def test_a_real_agent_keeps_only_what_it_was_unsure_of(
    make_bundle: Callable[..., Path], make_config: Callable[..., Path], start_agent: Any, tmp_path: Path
) -> None:
    more = "capture_store: {max_per_hour: 3, masks: [[0, 0, 0.5, 1]]}\n"
    config = make_config(colours="gggr", fps=20, max_age_ms=2000, more=more)
    frames = np.load(tmp_path / "frames.npy")
    frames[3] = 90  # grey: no colour is likelier than another
    np.save(tmp_path / "frames.npy", frames)
    agent = start_agent(config, make_bundle())
    folder = tmp_path / "state" / "kept"
    agent.until(lambda: folder.is_dir() and list(folder.glob("*.png")), "a picture")
    agent.until(lambda: agent.pid("keeper"), "the keeper")
    os.kill(agent.pid("keeper"), signal.SIGKILL)
    before = len(list(folder.glob("*.png")))
    agent.until(lambda: len(list(folder.glob("*.png"))) > before, "a picture of the next keeper")
    report = look(tmp_path / "state")
    assert report.kept.pictures > before
    assert f"in {folder}" in describe(report)
    agent.goes()
    assert agent.stop() == 0
    for file in folder.glob("*.png"):
        picture = read(file)
        assert not picture[:, :8].any()
        assert (picture[:, 8:] == 90).all()
        text = file.read_bytes()
        told = json.loads(text[text.index(b'{"model"') : text.index(b"}") + 1])
        assert (told["model"], told["version"]) == ("light", 1)
        assert told["score"] < 0.8


def test_without_being_switched_on_nothing_is_kept(
    make_bundle: Callable[..., Path], make_config: Callable[..., Path], start_agent: Any, tmp_path: Path
) -> None:
    agent = start_agent(make_config(), make_bundle())
    agent.goes()
    assert not (tmp_path / "state" / "kept").exists()
    assert len(agent.children()) == 3
