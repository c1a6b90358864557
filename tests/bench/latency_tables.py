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
from known_detectors import DETECTORS
from known_networks import OURS
from ncnn_graph import read_graph

from compiler.latency.work import Work

PACKAGE = Path(__file__).parents[2] / "compiler" / "latency"
PAGE, MODELS, PROGRAM = "benchmark/README.md", "benchmark/models", "benchmark/benchncnn.cpp"
LEFT_OUT = {"vision_transformer": "a transformer: no board that we have a target for is judged by one such network"}
TIME = re.compile(r"\s*(\S+)\s+min =\s*([\d.]+)\s+max =\s*[\d.]+\s+avg =\s*[\d.]+")
SIZE = re.compile(r'benchmark\("([^"]+)", ncnn::Mat\((\d+), (\d+), (\d+)\)')
HEADER = re.compile(r"loop_count = \d+\s+num_threads = (\d+)\s+powersave = (\d)\s+gpu_device = (-?\d+)")
"""What benchncnn prints before its times. Of `powersave`: 0 all cores, 1 the little ones, 2 the big ones."""


@dataclass(frozen=True, slots=True)
class Board:
    """One section of the page. `fp16`: the core has half-precision arithmetic, and benchncnn turns it on."""

    file: str
    heading: str
    target: str
    core: str
    fp16: bool
    role: str = "fit"
    int8: bool = True
    """Whether its 8-bit times count."""
    cores_used: int = 0
    """benchncnn's `powersave`; of kin, any but the little cores."""

    @property
    def title(self) -> str:
        """The heading without its parts and clocks."""
        return self.heading.split(" Broadcom")[0].split(" (")[0].split("(NV")[0]

    def takes(self, threads: int, powersave: int, gpu: int) -> bool:
        """Whether a run of the section counts."""
        if self.role == "kin":
            return gpu == -1 and powersave != 1 and threads in {1, 4}
        return gpu == -1 and powersave == self.cores_used and (self.role == "fit" or threads == 1)


OLD_KERNELS = {"snapdragon835"}
"""Timed before ncnn had 8-bit kernels for depthwise layers: a MobileNet takes longer there than in float."""
BOARDS = (
    Board("ncnn-raspberrypi3", "Raspberry Pi 3 Model B+", "raspberrypi3", "cortex-a53", fp16=False),
    Board("ncnn-raspberrypi4", "Raspberry Pi 4 Model B", "raspberrypi4", "cortex-a72", fp16=False),
    Board("ncnn-raspberrypi5", "Raspberry Pi 5 Broadcom BCM2712, Cortex-A76", "raspberrypi5", "cortex-a76", fp16=True),
    Board("ncnn-rk3588", "Rockchip RK3588 (Cortex-A76 2.4GHz x 4", "rk3588", "cortex-a76", fp16=True, cores_used=2),
    Board("ncnn-jetson-orin", "NVIDIA Jetson Orin Nano", "jetson-orin", "cortex-a78ae", fp16=True),
    Board("check-rk3399", "Rockchip RK3399 (Cortex-A72", "raspberrypi4", "cortex-a72", False, "check", cores_used=2),
    Board("check-jetson-agx-orin", "NVIDIA Jetson AGX Orin", "jetson-orin", "cortex-a78ae", True, "check"),
    Board("check-arduino-uno-q", "Arduino UNO Q", "raspberrypi3", "cortex-a53", False, "check"),
    *(
        Board(f"kin-{name}", heading, "", core, fp16, "kin", int8=name not in OLD_KERNELS)
        for name, heading, core, fp16 in (
            ("snapdragon821", "Qualcomm MSM8996 Pro Snapdragon 821", "kryo", False),
            ("snapdragon810", "Qualcomm MSM8994 Snapdragon 810", "cortex-a57", False),
            ("khadas-vim3", "Khadas VIM3, Amlogic A311D", "cortex-a73", False),
            ("snapdragon835", "Qualcomm MSM8998 Snapdragon 835", "kryo280", False),
            ("jetson-nano", "NVIDIA Jetson Nano", "cortex-a57", False),
            ("jetson-tx2", "NVIDIA Jetson TX2 NX", "denver2", False),
            ("raspberrypi-zero2", "Raspberry Pi Zero 2 W", "cortex-a53", False),
            ("orangepi-zero2", "OrangePi Zero 2, Allwinner H616", "cortex-a53", False),
            ("rdk-x3", "RDK X3 Module", "cortex-a53", False),
            ("snapdragon855", "Qualcomm SM8150-AC Snapdragon 855+", "cortex-a76", True),
            ("snapdragon765", "Qualcomm SDM765G Snapdragon 765G", "cortex-a76", True),
            ("snapdragon8gen2", "Qualcomm SM8550-AB Snapdragon 8 Gen 2", "cortex-x3", True),
            ("dimensity9300", "MediaTek Dimensity 9300", "cortex-x4", True),
            ("orion-o6", "Radxa Orion O6", "cortex-a720", True),
            ("station-m3", "Station-M3/ROC-RK3588S-PC, Rockchip RK3588S", "cortex-a76", True),
            ("rock5b", "Rockchip RK3588 (Quad Core A76", "cortex-a76", True),
            ("orangepi5", "OrangePi5, Rockchip RK3588s", "cortex-a76", True),
            ("station-m2", "Station-M2/ROC-RK3566-PC, Rockchip RK3566", "cortex-a55", True),
            ("orangepi-cm4", "OrangePicm4, Rockchip Rk3566", "cortex-a55", True),
            ("radxa-zero3", "Radxa Zero 3W, Cortex-A55", "cortex-a55", True),
        )
    ),
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
    ours = ", ".join(OURS | DETECTORS)
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
    parts += [
        write_network(name, build(), (pixels, pixels, 3), postprocessing=name in DETECTORS)
        for name, (pixels, build) in (OURS | DETECTORS).items()
    ]
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
    for header, body in zip(HEADER.finditer(section), HEADER.split(section)[4::4], strict=True):
        threads, powersave, gpu = (int(word) for word in header.groups())
        if threads in seen or not board.takes(threads, powersave, gpu):
            continue
        seen.add(threads)
        times = {name: float(least) for name, least in TIME.findall(body) if name not in LEFT_OUT}
        yield threads, "float16" if board.fp16 else "float32", {n: t for n, t in times.items() if "int8" not in n}
        if not board.int8:
            continue
        yield threads, "int8", {n.removesuffix("_int8"): t for n, t in times.items() if "int8" in n}


def write_run(threads: int, dtype: str, times: dict[str, float]) -> str:
    """One run."""
    rows = "\n".join(f'"{name}" = {ms}' for name, ms in times.items())
    return f'[[run]]\nthreads = {threads}\ndtype = "{dtype}"\n[run.ms]\n{rows}\n'


if __name__ == "__main__":
    main(Path(sys.argv[1]))
