"""A sound card for arecord, as long as a test lasts."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # tones.py, sound_card.py

from sound_card import Card


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Card]:
    (tmp_path / "alsa").mkdir()
    made = Card(tmp_path / "alsa")
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(made.config))
    yield made
    made.end()
