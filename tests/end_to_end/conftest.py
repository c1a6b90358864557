"""The fixtures of these tests: a fleet that ends with its test, bundles for it, and patience."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))  # whole_fleet.py

from whole_fleet import Fleet, make_bundle, wait_for


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    running = Fleet(tmp_path)
    try:
        yield running
    finally:
        running.stop()
        for log in sorted(tmp_path.glob("log-*.txt")):
            print(f"--- {log.name}\n{log.read_text()[-4000:]}")


@pytest.fixture
def bundle_maker(tmp_path: Path) -> Callable[..., Path]:
    def make(version: int, **options: Any) -> Path:
        return make_bundle(tmp_path, version, **options)

    return make


@pytest.fixture
def waiting() -> Callable[..., None]:
    return wait_for
