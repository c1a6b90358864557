"""Reads a folder of class folders of .wav files. Files are hashed at once, and decoded when asked for."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from compiler.dataset import Array, Data
from edge.errors import BadDataError
from edge.wav import SUFFIX, WavReader, read_wav


def sound_files(folder: Path) -> list[Path]:
    """The .wav files of one class, sorted."""
    return sorted(file for file in folder.iterdir() if file.suffix.lower() == SUFFIX and file.is_file())


def open_sound(path: Path, folders: Sequence[Path]) -> Data:
    """Look at every file; raises BadDataError if a class has none, or the files differ in their sample rate."""
    files: list[Path] = []
    for folder in folders:
        found = sound_files(folder)
        if not found:
            raise BadDataError(
                f"class folder {folder.name!r} in {path} holds no .wav files, others do",
                remedy="put some into it, or remove it; a folder holds pictures or sound, not both",
            )
        files += found
    rate, lengths = _look_at(files)
    return Data(
        path=path,
        kind="sound",
        tags=tuple(file.parent.name for file in files),
        numbered=False,
        digests=tuple(hashlib.sha256(file.read_bytes()).digest() for file in files),
        where=tuple(f"{file.parent.name}/{file.name}" for file in files),
        shape=(lengths[0],),
        read=lambda index: _read(files[index], rate),
        sample_rate=rate,
        lengths=lengths,
    )


def _look_at(files: Sequence[Path]) -> tuple[int, tuple[int, ...]]:
    """Sample rate of all, and how many samples each has."""
    lengths, rate = [], 0
    for file in files:
        reader = WavReader(file)
        reader.close()
        rate = rate or reader.rate
        reader.hold_to(rate)
        lengths.append(reader.length)
    return rate, tuple(lengths)


def _read(file: Path, rate: int) -> Array:
    return read_wav(file, rate)
