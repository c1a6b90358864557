"""The peers: what each needs, in an environment of its own that the bench makes, and which files it takes and gives."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PIP = ("-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--only-binary=:all:", "--no-compile")
SETTINGS = ("default", "best")
INSTALL_S = 900


@dataclass(frozen=True, slots=True)
class Peer:
    """One tool."""

    name: str
    packages: tuple[str, ...]
    takes: str
    """Format of the float file."""
    gives: str
    python: str = ""
    """Version that it needs; empty: the one that runs the bench."""

    @property
    def script(self) -> Path:
        """What runs in its environment."""
        return HERE / f"peer_{self.name.replace('-', '_')}.py"


PEERS = {
    peer.name: peer
    for peer in (
        Peer("onnxruntime", ("onnxruntime==1.32.0", "onnx==1.23.2", "sympy"), "onnx", "onnx"),
        Peer("nncf", ("nncf==3.4.0", "onnx==1.23.2", "onnxruntime==1.32.0"), "onnx", "onnx"),
        Peer("aimet", ("aimet-onnx==2.42.0", "torch==2.13.0+cpu"), "onnx", "onnx"),
        Peer(
            "ai-edge-quantizer",
            ("ai-edge-quantizer==0.10.0", "ai-edge-litert==2.3.0", "numpy==1.26.4"),
            "tflite",
            "tflite",
        ),
        Peer("onnx2tf", ("onnx2tf==2.6.9",), "onnx", "tflite", python="3.12"),
    )
}


class CannotInstallError(Exception):
    """Says why a peer has no environment here."""


def environment(peer: Peer, folder: Path) -> Path:
    """Return the Python of a peer's environment; make it the first time.

    Raises: CannotInstallError.
    """
    home = folder / peer.name
    python, stamp = home / "bin" / "python", home / ".installed"
    if not stamp.exists() or stamp.read_text() != " ".join(peer.packages):
        _run([_interpreter(peer.python), "-m", "venv", "--clear", str(home)])
        _run([str(python), *PIP, *peer.packages])
        stamp.write_text(" ".join(peer.packages))
    return python


def _interpreter(version: str) -> str:
    """A Python of this version: this one, one on PATH, or one of pyenv's."""
    if not version or sys.version.startswith(f"{version}."):
        return sys.executable
    pyenv = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
    found = shutil.which(f"python{version}")
    candidates = [str(path) for path in pyenv] + ([found] if found else [])
    for candidate in candidates:  # a pyenv shim is on PATH even where its version is switched off
        if subprocess.run([candidate, "-V"], capture_output=True, check=False).returncode == 0:
            return candidate
    raise CannotInstallError(f"needs Python {version}, which is not here")


def _run(words: list[str]) -> None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=INSTALL_S)
    except subprocess.TimeoutExpired as exc:
        raise CannotInstallError(f"installing took more than {INSTALL_S} s") from exc
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "ERROR" in line or "error" in line]
        raise CannotInstallError((lines or done.stderr.splitlines() or ["pip failed"])[-1][:200])
