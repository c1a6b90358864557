# ruff: noqa: E501 - it holds sentences of the page
"""The peers, each in an environment of its own that the bench makes."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PIP = ("-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--prefer-binary", "--no-compile")
INSTALL_S = 1800
LITERT = ("ai-edge-litert==2.3.0", "numpy==1.26.4", "opencv-python-headless==4.11.0.86")


@dataclass(frozen=True, slots=True)
class Peer:
    """One way to run a model on a camera's pictures."""

    name: str
    packages: tuple[str, ...]
    alone: tuple[str, ...] = ()
    """Installed without what they depend on: a whole program of which one loop is needed."""
    rounds: int = 3
    """One that takes long to start has all of its frames in fewer rounds."""
    differs: str = ""
    """What it does otherwise than the agent, for the page."""


PEERS = {
    peer.name: peer
    for peer in (
        Peer("naive", LITERT, differs="one process, one loop, as TensorFlow's `label_image.py`; no guard, no deadline, no records"),
        Peer(
            "donkeycar", (*LITERT, "prettytable", "pyfiglet", "pillow", "requests", "psutil"), ("donkeycar==5.3.0",),
            differs="its `Vehicle` and `Memory`, with a camera, a pilot and an actuator as parts of ours; one process",
        ),
        Peer(
            "mediapipe", ("mediapipe==1.2.3",),
            differs="`ImageClassifier`, `LIVE_STREAM`: its own TFLite and threads, its own resize inside the graph, label and score by call-back",
        ),
        Peer(
            "inference", ("inference==1.8.3", "ai-edge-litert==2.3.0"), rounds=1,
            differs="roboflow's `InferencePipeline` with a model function of ours: threads that read, infer and dispatch",
        ),
    )
}  # fmt: skip


class CannotInstallError(Exception):
    """Says why a peer has no environment here."""


def environment(peer: Peer, folder: Path) -> Path:
    """Return the Python of a peer's environment; make it the first time.

    Raises: CannotInstallError.
    """
    home = folder / peer.name
    python, stamp = home / "bin" / "python", home / ".installed"
    wanted = " ".join((*peer.packages, *peer.alone))
    if not stamp.exists() or stamp.read_text() != wanted:
        _run([sys.executable, "-m", "venv", "--clear", str(home)])
        _run([str(python), *PIP, *peer.packages])
        if peer.alone:
            _run([str(python), *PIP, "--no-deps", *peer.alone])
        stamp.write_text(wanted)
    return python


def _run(words: list[str]) -> None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=INSTALL_S)
    except subprocess.TimeoutExpired as exc:
        raise CannotInstallError(f"installing took more than {INSTALL_S} s") from exc
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        raise CannotInstallError((lines or done.stderr.splitlines() or ["pip failed"])[-1][:200])
