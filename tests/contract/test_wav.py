"""WAV files: what is read, and what is refused with what to do."""

import wave
from pathlib import Path

import numpy as np
import pytest

from edge.errors import BadDataError, FileMissingError
from edge.wav import WavReader, read_wav


def write(path: Path, samples: np.ndarray, rate: int = 16000, channels: int = 1, width: int = 2) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2" if width == 2 else "u1").tobytes())
    return path


def test_samples_are_read_as_they_were_written_at_once_or_piece_by_piece(tmp_path: Path) -> None:
    samples = np.array([0, 1, -32768, 32767, 7], np.int16)
    path = write(tmp_path / "a.wav", samples)
    assert read_wav(path, 16000).tolist() == samples.tolist()
    reader = WavReader(path)
    assert [reader.read(2).tolist() for _ in range(4)] == [[0, 1], [-32768, 32767], [7], []]
    reader.rewind()
    assert reader.read(1).tolist() == [0]
    reader.close()


def test_another_rate_is_refused_and_never_resampled(tmp_path: Path) -> None:
    with pytest.raises(BadDataError, match="sampled at 44100 Hz, the model hears 16000 Hz") as caught:
        read_wav(write(tmp_path / "a.wav", np.zeros(3), rate=44100), 16000)
    assert "-r 16000" in caught.value.remedy


def test_two_channels_and_eight_bits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadDataError, match="16 bits and 2 channels"):
        read_wav(write(tmp_path / "a.wav", np.zeros(4), channels=2))
    with pytest.raises(BadDataError, match="8 bits and 1 channels"):
        read_wav(write(tmp_path / "b.wav", np.zeros(4), width=1))


def test_what_is_no_sound_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("hello, this is no sound at all")
    (tmp_path / "empty.wav").write_bytes(b"")
    float_header = b"RIFF\x2c\0\0\0WAVEfmt \x10\0\0\0\x03\0\x01\0\x80\x3e\0\0\0\xfa\0\0\x04\0\x20\0data\0\0\0\0"
    (tmp_path / "float.wav").write_bytes(float_header)
    for name in ("text.wav", "empty.wav", "float.wav"):
        with pytest.raises(BadDataError, match="is no WAV file with PCM"):
            read_wav(tmp_path / name)
    with pytest.raises(FileMissingError):
        read_wav(tmp_path / "none.wav")
    with pytest.raises(FileMissingError):
        read_wav(tmp_path)
