"""Sound from arecord: every sample, when it was taken, and what happens when it goes away."""

import time
from pathlib import Path

import numpy as np
import pytest
from sound_card import Card, needs_arecord, recorders
from tones import PERIOD, RATE, codes_of

from edge.errors import MissingExtraError, SourceError
from edge_agent.sources.microphone import Microphone, SampleClock

WAIT_S = 30.0


def test_sound_that_waited_in_a_pipe_is_as_old_as_it_is() -> None:
    clock = SampleClock(1000)
    assert [clock.stamp(10, 10_000_000 * n) for n in (1, 2, 3)] == [10_000_000, 20_000_000, 30_000_000]
    late = [clock.stamp(10, 90_000_000) for _ in range(6)]  # nobody read for 60 ms, then all at once
    assert late == pytest.approx([10_000_000 * n for n in (4, 5, 6, 7, 8, 9)], abs=100_000)


def test_the_earliest_arrival_counts_and_no_stamp_lies_in_the_future() -> None:
    clock = SampleClock(1000)
    clock.stamp(10, 18_000_000)  # held up by 8 ms
    assert clock.stamp(10, 20_000_000) == 20_000_000
    assert clock.stamp(10, 33_000_000) == pytest.approx(30_000_000, abs=20_000)


def test_a_sound_card_whose_clock_is_slow_does_not_age() -> None:
    clock = SampleClock(1000)
    for n in range(1, 30_000):  # five minutes; every 10 samples take 10.005 ms
        now_ns = round(10_005_000 * n)
        behind_ns = now_ns - clock.stamp(10, now_ns)
    assert 0 <= behind_ns < 1_000_000


@needs_arecord
def test_a_microphone_delivers_every_sample_in_order_at_the_models_rate(card: Card) -> None:
    card.hears = np.arange(RATE, dtype=np.int16)
    microphone = Microphone(Microphone.Options(device=card.name, silent_s=20))
    microphone.open(1, 1, RATE)
    rows = [microphone.read(1) for _ in range(20)]
    microphone.close()
    codes = codes_of(rows)
    assert codes == [(codes[0] + n) % RATE for n in range(len(codes))]
    assert max(len(one.values) for one in rows) <= PERIOD
    stamps = [one.captured_ns for one in rows]
    assert stamps == sorted(stamps)
    assert stamps[-1] <= time.monotonic_ns()


@needs_arecord
def test_a_microphone_that_goes_away_says_so_and_leaves_nothing_behind(card: Card) -> None:
    before = descriptors()
    microphone = Microphone(Microphone.Options(device=card.name, silent_s=20))
    for _ in range(3):
        microphone.open(1, 1, RATE)
        microphone.read(1)
        assert microphone._arecord is not None
        microphone._arecord.kill()
        with pytest.raises(SourceError, match=f"{card.name!r} broke off"):
            until_error(microphone)
        microphone.close()
    card.unplug()
    microphone.open(1, 1, RATE)
    with pytest.raises(SourceError, match=r"broke off: .*No such file or directory"):
        until_error(microphone)
    microphone.close()
    assert descriptors() == before
    assert recorders(card) == []


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def until_error(microphone: Microphone) -> None:
    limit_s = time.monotonic() + WAIT_S
    while time.monotonic() < limit_s:
        microphone.read(1)


@needs_arecord
def test_a_microphone_that_falls_silent_has_broken_off(card: Card) -> None:
    card.hears = np.empty(0, np.int16)
    microphone = Microphone(Microphone.Options(device=card.name, silent_s=0.2))
    microphone.open(1, 1, RATE)
    with pytest.raises(SourceError, match="is silent"):
        until_error(microphone)
    microphone.close()


def test_without_arecord_the_remedy_names_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingExtraError) as caught:
        Microphone(Microphone.Options()).open(1, 1, RATE)
    assert "alsa-utils" in caught.value.remedy
