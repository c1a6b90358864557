"""Sound from files."""

import time
from pathlib import Path

import numpy as np
import pytest
from tones import LOW_HZ, PERIOD, RATE, codes_of, tone, write

from edge.errors import BadDataError, FileMissingError
from edge_agent.sources import Rows
from edge_agent.sources.wav import Wav


def play(source: Wav) -> list[Rows]:
    source.open(1, 1, RATE)
    found: list[Rows] = []
    while (rows := source.read(1)) is not None and len(found) < 1000:
        found.append(rows)
    source.close()
    return found


def test_a_file_is_played_sample_by_sample_at_its_pace(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone(LOW_HZ, 1000))
    begin_s = time.monotonic()
    rows = play(Wav(Wav.Options(path=path, loop=False, speed=0.5)))
    assert time.monotonic() - begin_s >= 0.25
    assert codes_of(rows) == tone(LOW_HZ, 1000).tolist()
    assert [len(one.values) for one in rows] == [PERIOD] * 6 + [40]


def test_a_folder_is_played_in_order_and_each_file_begins_a_new_window(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        write(tmp_path / f"{name}.wav", np.full(PERIOD + 1, ord(name)))
    rows = play(Wav(Wav.Options(path=tmp_path, loop=False, speed=0)))
    assert [(one.gap, round(float(one.values[0, 0] * 32768))) for one in rows[::2]] == [
        ("", ord("a")), ("b.wav begins", ord("b")), ("c.wav begins", ord("c")),
    ]  # fmt: skip


def test_a_file_begins_again_only_if_it_shall(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone(LOW_HZ, PERIOD))
    rows = play(Wav(Wav.Options(path=path, speed=0)))
    assert {one.gap for one in rows[1:]} == {"a.wav begins"}
    assert len(rows) == 1000


def test_sound_at_another_rate_or_none_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadDataError, match="sampled at 16000 Hz, the model hears 8000 Hz"):
        play(Wav(Wav.Options(path=write(tmp_path / "d" / "a.wav", tone(LOW_HZ), rate=16000))))
    with pytest.raises(FileMissingError, match="no sound at"):
        play(Wav(Wav.Options(path=tmp_path / "none.wav")))
    with pytest.raises(FileMissingError, match=r"no \.wav files"):
        play(Wav(Wav.Options(path=tmp_path)))
    with pytest.raises(BadDataError, match="holds no sound"):
        play(Wav(Wav.Options(path=write(tmp_path / "e" / "a.wav", tone(LOW_HZ, 0)))))
