"""The same bytes wherever and whenever: two processes that differ in all that should not matter.

Two whole environments and two users: `tests/bench/reproducible.py`.
"""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
from hand_made import make_addition

ROOT = Path(__file__).parents[2]
FAKETIME = Path(f"/usr/lib/{os.uname().machine}-linux-gnu/faketime/libfaketimeMT.so.1")


def compile_in(folder: Path, *, umask: int, **variables: str) -> Path:
    """Compile a small TFLite model there, in a process of its own with an environment of its own."""
    for name in ("home", "tmp"):
        (folder / name).mkdir(parents=True)
    x = np.random.default_rng(1).random((120, 4), np.float32)
    np.savez(folder / "data.npz", x=x, y=x.argmax(axis=1))
    (folder / "model.tflite").write_bytes(make_addition(constant=True, outputs=[2]))
    own = {"HOME": folder / "home", "TMPDIR": folder / "tmp", "PATH": os.defpath, "PYTHONPATH": ROOT}
    if FAKETIME.exists():
        variables |= {"LD_PRELOAD": str(FAKETIME), "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}
    words = [
        "compile",
        "model.tflite",
        "--target",
        "raspberrypi4",
        "--data",
        "data.npz",
        "-o",
        "out.edge",
        "-q",
        "--effort",
        "quick",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "edge.cli", *words],
        cwd=folder,
        env={**{key: str(value) for key, value in own.items()}, **variables},
        umask=umask,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "out.edge"


def test_folder_user_date_zone_locale_and_hash_seed_change_no_byte_and_leave_no_trace(tmp_path: Path) -> None:
    one = compile_in(
        tmp_path / "plain", umask=0o022, USER="annaliese", LC_ALL="C", TZ="UTC", PYTHONHASHSEED="0",
        FAKETIME="@2024-02-29 23:59:50",
    )  # fmt: skip
    two = compile_in(
        tmp_path / "Größe zwei" / "tiefer", umask=0o077, USER="bülent", LC_ALL="C.UTF-8", TZ="Pacific/Chatham",
        PYTHONHASHSEED="4711", FAKETIME="@2031-11-05 12:00:00",
    )  # fmt: skip
    assert one.read_bytes() == two.read_bytes()
    with zipfile.ZipFile(two) as bundle:
        members = {name: bundle.read(name) for name in bundle.namelist()}
    for trace in (str(tmp_path), str(ROOT), "Größe", "bülent", "site-packages"):
        assert [name for name, content in members.items() if trace.encode() in content] == []
