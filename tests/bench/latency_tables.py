"""Writes compiler/latency/networks.toml and the ncnn tables: figures read from a git copy of ncnn.

    python tests/bench/latency_tables.py NCNN_GIT_DIR

The other tables (XNNPACK's and the ratios) are short and were typed from the pages that they name.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
from known_networks import OURS
from ncnn_graph import read_graph

from compiler.latency.work import Work

PACKAGE = Path(__file__).parents[2] / "compiler" / "latency"
PAGE, MODELS, PROGRAM = "benchmark/README.md", "benchmark/models", "benchmark/benchncnn.cpp"
LEFT_OUT = {"vision_transformer": "a transformer: no board that we have a target for is judged by one such network"}
TIME = re.compile(r"\s*(\S+)\s+min =\s*([\d.]+)\s+max =\s*[\d.]+\s+avg =\s*[\d.]+")
SIZE = re.compile(r'benchmark\("([^"]+)", ncnn::Mat\((\d+), (\d+), (\d+)\)')
COMMAND = re.compile(r"benchncnn \d+ (\d+) (\d) (-?\d+)")


@dataclass(frozen=True, slots=True)
class Board:
    """One section of the page. `fp16`: the core has half-precision arithmetic, and benchncnn turns it on."""

    file: str
    heading: str
    target: str
    core: str
    fp16: bool
    role: str = "fit"
    cores_used: int = 0
    """benchncnn's third argument: 0 all cores, 2 the big ones."""

    @property
    def title(self) -> str:
        """The heading without its parts and clocks."""
        return self.heading.split(" Broadcom")[0].split(" (")[0]


BOARDS = (
    Board("ncnn-raspberrypi3", "Raspberry Pi 3 Model B+", "raspberrypi3", "cortex-a53", fp16=False),
    Board("ncnn-raspberrypi4", "Raspberry Pi 4 Model B", "raspberrypi4", "cortex-a72", fp16=False),
    Board("ncnn-raspberrypi5", "Raspberry Pi 5 Broadcom BCM2712, Cortex-A76", "raspberrypi5", "cortex-a76", fp16=True),
    Board("ncnn-rk3588", "Rockchip RK3588 (Cortex-A76 2.4GHz x 4", "rk3588", "cortex-a76", fp16=True, cores_used=2),
    Board("ncnn-jetson-orin", "NVIDIA Jetson Orin Nano", "jetson-orin", "cortex-a78ae", fp16=True),
    Board("check-rk3399", "Rockchip RK3399 (Cortex-A72", "raspberrypi4", "cortex-a72", False, "check", 2),
    Board("check-jetson-agx-orin", "NVIDIA Jetson AGX Orin", "jetson-orin", "cortex-a78ae", True, "check"),
    Board("check-arduino-uno-q", "Arduino UNO Q", "raspberrypi3", "cortex-a53", False, "check"),
    Board("check-eaidk310", "EAIDK 310, Rockchip RK3228H", "raspberrypi3", "cortex-a53", False, "check"),
)


def main(repository: Path) -> None:
    """Write all files."""
    commit = git(repository, "log", "-1", "--format=%h of %cs", "--", PAGE)
    write_networks(repository)
    page = git(repository, "show", f"HEAD:{PAGE}")
    for board in BOARDS:
        lines = [f'engine = "ncnn"\nboard = "{board.title}"\ntarget = "{board.target}"\ncore = "{board.core}"']
        lines.append(f'role = "{board.role}"')
        lines.append(f'statistic = "least"\nsource = "Tencent/ncnn, {PAGE}, commit {commit}"\n')
        lines += [write_run(*run) for run in read_runs(page, board)]
        (PACKAGE / "tables" / f"{board.file}.toml").write_text("\n".join(lines), encoding="utf-8")


def git(repository: Path, *words: str) -> str:
    """Output of one git command."""
    return subprocess.run(
        ["git", "-C", str(repository), *words], capture_output=True, text=True, check=True
    ).stdout.strip()


def write_networks(repository: Path) -> None:
    """Work of every network."""
    names = git(repository, "ls-tree", "--name-only", "HEAD", f"{MODELS}/").split()
    files = {Path(name).stem: name for name in names if name.endswith(".param") and "int8" not in name}
    commit = git(repository, "log", "-1", "--format=%h of %cs", "--", MODELS)
    ours = ", ".join(OURS)
    head = f'source = "counted from Tencent/ncnn, {MODELS}, commit {commit}; {ours}: from the papers\' tables"\n'
    parts = [head]
    sizes = {
        name: (int(height), int(width), int(channels))
        for name, width, height, channels in SIZE.findall(git(repository, "show", f"HEAD:{PROGRAM}"))
    }
    for name, file in sorted(files.items()):
        if name not in LEFT_OUT:
            work, postprocessing = read_graph(git(repository, "show", f"HEAD:{file}"), sizes[name])
            parts.append(write_network(name, work, sizes[name], postprocessing=postprocessing))
    parts += [write_network(name, build(), (224, 224, 3), postprocessing=False) for name, build in OURS.items()]
    (PACKAGE / "networks.toml").write_text("\n".join(parts), encoding="utf-8")


def write_network(name: str, work: Work, size: tuple[int, ...], *, postprocessing: bool) -> str:
    """One entry."""
    counts = [f"{key} = {value}" for key, value in msgspec.to_builtins(work).items() if key != "dtype" and value]
    flag = "postprocessing = true\n" if postprocessing else ""
    return f'[network."{name}"]\ninput = {list(size)}\n{flag}[network."{name}".work]\n' + "\n".join(counts) + "\n"


def read_runs(page: str, board: Board) -> Iterator[tuple[int, str, dict[str, float]]]:
    """(threads, dtype, network to ms) of one board on its CPU; the first run of a kind counts."""
    section = page.split(f"### {board.heading}", 1)[1].split("\n### ", 1)[0]
    seen: set[int] = set()
    for command, body in zip(COMMAND.finditer(section), COMMAND.split(section)[4::4], strict=True):
        threads, cores_used, gpu = (int(word) for word in command.groups())
        if gpu != -1 or (board.role == "check" and threads != 1) or cores_used != board.cores_used or threads in seen:
            continue
        seen.add(threads)
        times = {name: float(least) for name, least in TIME.findall(body) if name not in LEFT_OUT}
        yield threads, "float16" if board.fp16 else "float32", {n: t for n, t in times.items() if "int8" not in n}
        yield threads, "int8", {n.removesuffix("_int8"): t for n, t in times.items() if "int8" in n}


def write_run(threads: int, dtype: str, times: dict[str, float]) -> str:
    """One run."""
    rows = "\n".join(f'"{name}" = {ms}' for name, ms in times.items())
    return f'[[run]]\nthreads = {threads}\ndtype = "{dtype}"\n[run.ms]\n{rows}\n'


if __name__ == "__main__":
    main(Path(sys.argv[1]))
