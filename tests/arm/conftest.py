"""An emulated Raspberry Pi: built once under .cache, used by every test here."""

import os
import platform
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
CACHE = REPO / ".cache" / "arm"
HERE = Path(__file__).parent


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


@pytest.fixture(scope="session")
def device_root() -> Path:
    """The board's root filesystem, with everything that `pip install edgewright[agent]` brings."""
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["agent"]]
    stamp, key = CACHE / "built-for", "\n".join([*wanted, (REPO / "constraints.txt").read_text()])
    if not stamp.exists() or stamp.read_text() != key:
        command = ["bash", str(HERE / "make_device.sh"), str(CACHE), "-c", str(REPO / "constraints.txt"), *wanted]
        done = subprocess.run(
            command,
            env={**os.environ, "PIP_PYTHON": sys.executable},
            capture_output=True,
            check=False,
            text=True,
            timeout=280,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        stamp.write_text(key)
    return CACHE / "root-arm64"


@pytest.fixture
def on_board(device_root: Path, tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run a command on a board: this checkout is /opt/edgewright there, and `tmp_path` is /mnt/test."""

    def run(cpu: str, *command: str, timeout_s: float = 120) -> "subprocess.CompletedProcess[str]":
        binds = ["-b", f"{REPO}:/opt/edgewright", "-b", f"{tmp_path}:/mnt/test"]
        script = ["bash", str(HERE / "run_device.sh"), "-c", cpu, *binds, str(device_root)]
        inside = ["env", "PYTHONPATH=/opt/edgewright", "PYTHONDONTWRITEBYTECODE=1", *command]
        return subprocess.run([*script, *inside], capture_output=True, check=False, text=True, timeout=timeout_s)

    return run
