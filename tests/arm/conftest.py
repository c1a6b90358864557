"""An emulated Raspberry Pi: built once under .cache, used by every test here."""

import fcntl
import os
import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1] / "end_to_end")]  # boards.py; whole_fleet.py

from boards import HERE, REPO, board_command
from colour_bundles import compile_colours

CACHE = REPO / ".cache" / "arm"


def missing() -> str:
    """Why no board can be emulated here; empty when one can."""
    release = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])
    if platform.machine() != "x86_64" or sys.platform != "linux":
        return "boards are emulated on x86-64 Linux only"
    if os.geteuid() != 0:
        return "needs root (user, mount and pid namespaces with a mapped root)"
    if release < (6, 7):
        return "needs Linux >= 6.7 (binfmt_misc in a user namespace)"
    if not Path("/usr/share/keyrings/debian-archive-keyring.gpg").exists():
        return "needs Debian's archive keyring"
    return ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = missing()
    for item in items:
        if HERE in Path(str(item.path)).parents:
            item.add_marker(pytest.mark.arm)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Of the processes that share the tests out, the others wait until one has built the board."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def device_root() -> Path:
    """The board's root filesystem, with everything that `pip install edgewright[agent]` brings."""
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["agent"]]
    stamp, key = CACHE / "built-for", "\n".join([*wanted, (REPO / "constraints.txt").read_text()])
    with one_at_a_time():
        if not stamp.exists() or stamp.read_text() != key:
            constraints = ["-c", str(REPO / "constraints.txt")]
            build(["bash", str(HERE / "make_device.sh"), str(CACHE), *constraints, *wanted])
            stamp.write_text(key)
    return CACHE / "root-arm64"


@pytest.fixture(scope="session")
def counting_plugin(device_root: Path) -> Path:
    """What counts instructions in the emulator."""
    if not shutil.which("gcc"):
        pytest.skip("needs a C compiler for the emulator's plugin: apt install gcc")
    with one_at_a_time():
        return Path(build(["bash", str(HERE / "make_plugin.sh"), str(CACHE)]).split()[-1])


def build(command: list[str]) -> str:
    """Run a script that builds something, with our pip; returns what it prints."""
    environment = {**os.environ, "PIP_PYTHON": sys.executable}
    done = subprocess.run(command, env=environment, capture_output=True, check=False, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def on_board(device_root: Path, tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run a command on a board: this checkout is /opt/edgewright there, and `tmp_path` is /mnt/test."""

    def run(cpu: str, *command: str, timeout_s: float = 120) -> "subprocess.CompletedProcess[str]":
        words = board_command(device_root, cpu, tmp_path, *command)
        return subprocess.run(words, capture_output=True, check=False, text=True, timeout=timeout_s)

    return run


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled here for the board, by the real command."""
    return compile_colours(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="session")
def next_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The next version of it."""
    return compile_colours(tmp_path_factory.mktemp("bundle"), version=2, network="load_surer")
