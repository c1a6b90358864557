"""`python tests/bench/compiler/bench_compiler.py docs/benchmarks [CASE ...]`: our compiler against its peers.

Case by case: prepare, our search, every peer in both settings, one judge for all files. Each is a cell, a process of
its own with a limit of five minutes of CPU; what a cell gave is kept in `.cache/bench-compiler`, so that a run which
was stopped goes on. The page shows the models of this run, and of the others what compiler.json knows of them, each
with its day and its tools. `--page` only writes the page from what is there, `--no-effort` leaves the timing of the
whole command out. Delete a cell's .json to run it again.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # page and machine are described as in the other benches
sys.path.insert(0, str(Path(__file__).parent))
from cases import CASES, ROOT, Case
from cells import Cell, keep, remembered, run
from effort import measure_effort
from peers import PEERS, SETTINGS, CannotInstallError, Peer, environment
from results import collect, note_run
from write_page import write, written_before

HERE = Path(__file__).parent
FOLDER = ROOT / ".cache" / "bench-compiler"
QUIET = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
ALONE = {name: value for name, value in QUIET.items() if name != "PYTHONPATH"}
"""A peer sees nothing of ours."""


def say(text: str) -> None:
    """To whoever waits."""
    print(text, file=sys.stderr, flush=True)


def cell(case: str, name: str, words: list[str], variables: dict[str, str]) -> Cell:
    """Run one cell, or remember it."""
    folder = FOLDER / case
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.cell.json"
    found = remembered(path)
    if found is None:
        say(f"{case}: {name}")
        found = keep(path, run(words, folder / f"{name}.log", variables))
        if found.state != "done":
            say(f"  {found.state}: {found.reason}")
    return found


def own(case: str, script: str, *more: str) -> Cell:
    """A cell in our own environment."""
    return cell(case, script, [sys.executable, str(HERE / f"{script}.py"), *more], QUIET)


def peer_cell(name: str, peer: Peer, setting: str) -> None:
    """Quantize one model with one peer in one setting."""
    folder = FOLDER / name
    path, source = folder / f"{peer.name}-{setting}.cell.json", folder / f"float.{peer.takes}"
    signed = folder / f"signed.pre.{peer.takes}"
    source = signed if signed.exists() else source
    if remembered(path) is not None:
        return
    if not source.exists():
        keep(path, Cell(state="none", reason=f"no {peer.takes} source"))
        return
    try:
        python = environment(peer, FOLDER / "env")
    except CannotInstallError as exc:
        keep(path, Cell(state="none", reason=f"no environment: {exc}"))
        return
    out = folder / f"{peer.name}-{setting}.{peer.gives}"
    words = [str(python), str(peer.script), str(source), str(folder / "calibrate.npy"), setting, str(out)]
    cell(name, f"{peer.name}-{setting}", words, ALONE)


def bench(name: str, case: Case) -> None:
    """All cells of one model."""
    if ":" not in case.model and not Path(case.model).exists():
        say(f"{name}: its files are not here")
        return
    folder = FOLDER / name
    if own(name, "prepare", name, str(folder)).state != "done":
        return
    own(name, "ours", name, str(folder))
    for peer in PEERS.values():
        for setting in SETTINGS:
            peer_cell(name, peer, setting)
    if stale(folder):
        (folder / "judge.cell.json").unlink(missing_ok=True)
        (folder / "ran.json").unlink(missing_ok=True)
    if own(name, "judge", str(folder), case.task).state == "done" and not (folder / "ran.json").exists():
        note_run(folder / "ran.json")


def stale(folder: Path) -> bool:
    """Whether there are files that came after the judge."""
    times = folder / "times.npz"
    files = [path for path in folder.iterdir() if path.suffix in {".onnx", ".tflite"}]
    return not times.exists() or any(path.stat().st_mtime > times.stat().st_mtime for path in files)


def main(words: list[str]) -> None:
    """Bench what is named, or all; then write the page of all that is known."""
    docs, *rest = words
    wanted = [word for word in rest if not word.startswith("-")] or list(CASES)
    if "--page" not in rest:
        for name in wanted:
            bench(name, CASES[name])
        if "--no-effort" not in rest and measure_effort(FOLDER):
            note_run(FOLDER / "efforts.ran.json", peers=False)
    write(collect(FOLDER, written_before(Path(docs))), Path(docs))


if __name__ == "__main__":
    main(sys.argv[1:])
