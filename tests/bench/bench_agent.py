"""`make bench`: the agent against a naive loop, `edge --help` against a bare one, and the time of a compile.

Nothing but what is in this folder and in the package is needed; under five minutes on two cores.
"""

import sys
import tempfile
import time
import zipfile
from pathlib import Path
from statistics import median

import msgspec
import numpy as np
from page import Commands, Frames, Report, write
from turns import in_turns, load, machine, output, pair, seconds

from edge.bundle import Bundle, open_bundle
from edge_agent.bench import BenchResult, noise

HERE = Path(__file__).parent
EDGE = (sys.executable, str(Path(sys.executable).with_name("edge")))
HELP_ROUNDS, COMPILE_ROUNDS, FRAME_ROUNDS, FRAMES = 21, 2, 5, 300
BARE = """from cyclopts import App

app = App(name="bare", version="1")


@app.command
def go() -> None:
    pass


app()
"""
IMPORTS = "import torch, onnxscript, onnxruntime, litert_torch, ai_edge_quantizer"


class Spread(msgspec.Struct, frozen=True):
    """Of one kind of time in the naive loop."""

    p50: float
    p99: float


class Naive(msgspec.Struct, frozen=True):
    """What naive.py prints."""

    invoke_us: Spread
    overhead_us: Spread
    frame_age_ms: Spread


def main(folder: Path) -> None:
    """Measure all, and write the page into `folder`."""
    start_s, load_before = time.monotonic(), load()
    with tempfile.TemporaryDirectory(prefix="edge-bench-") as name:
        scratch = Path(name)
        say("training a small classifier")
        output((sys.executable, str(HERE / "shapes.py"), name))
        commands = measure_commands(scratch)
        frames = measure_frames(scratch)
    took_s = round(time.monotonic() - start_s, 1)
    write(Report(machine=machine(load_before), commands=commands, frames=frames, took_s=took_s), folder)
    say(f"wrote {folder.name}/agent.md and agent.json after {took_s:.0f} s")


def measure_commands(scratch: Path) -> Commands:
    """Time whole processes; the first of each kind is not counted, since it may have to compile our modules."""
    say("edge --help and a bare cyclopts --help, in turns")
    (scratch / "bare.py").write_text(BARE)
    ours, bare = (*EDGE, "--help"), (sys.executable, str(scratch / "bare.py"), "--help")
    seconds(ours), seconds(bare)
    helps = in_turns(lambda: seconds(ours), lambda: seconds(bare), HELP_ROUNDS)
    say("edge compile, and the imports alone, in turns")
    imports = (sys.executable, "-c", IMPORTS)
    seconds(imports)
    compiles = in_turns(lambda: seconds(compile_command(scratch)), lambda: seconds(imports), COMPILE_ROUNDS)
    return Commands(
        help_rounds=HELP_ROUNDS, help_s=pair(helps), compile_rounds=COMPILE_ROUNDS, compile_s=pair(compiles)
    )


def compile_command(scratch: Path) -> tuple[str, ...]:
    """For the target whose first runtime is LiteRT, as on the boards."""
    model, data, bundle = (str(scratch / name) for name in ("shapes.pt2", "shapes.npz", "shapes-1.edge"))
    return (*EDGE, "compile", model, "--target", "x86-64", "--data", data, "-o", bundle, "-q", "--json")


def measure_frames(scratch: Path) -> Frames:
    """`edge bench` and the naive loop on the same model, as many frames, as many a second."""
    say("edge bench and the naive loop, in turns")
    path = scratch / "shapes-1.edge"
    bundle = open_bundle(path)
    variant = bundle.manifest.variants[0]
    if variant.runtime != "litert":
        raise SystemExit(f"the naive loop runs on LiteRT, and the bundle chose {variant.runtime}")
    unpack(bundle, scratch)
    command = (*EDGE, "bench", str(path), "--frames", str(FRAMES), "--json")
    fps = msgspec.json.decode(output(command), type=BenchResult).fps  # warms up, and tells how often frames come
    plain = (sys.executable, str(HERE / "naive.py"), str(scratch / "model"), str(scratch / "frames.npy"))
    rounds = in_turns(
        lambda: msgspec.json.decode(output(command)),
        lambda: msgspec.json.decode(output((*plain, str(fps), str(FRAMES)))),
        FRAME_ROUNDS,
    )
    return sum_up(
        [(msgspec.convert(a, BenchResult), msgspec.convert(b, Naive)) for a, b in rounds],
        dtype=variant.dtype,
        accuracy=bundle.manifest.quality.compiled,
    )


def unpack(bundle: Bundle, scratch: Path) -> None:
    """The model and the frames of `edge bench`, as files for the naive loop."""
    with zipfile.ZipFile(bundle.path) as archived:
        (scratch / "model").write_bytes(archived.read(bundle.manifest.variants[0].file))
    np.save(scratch / "frames.npy", noise(bundle.manifest.input))


def sum_up(rounds: list[tuple[BenchResult, Naive]], *, dtype: str, accuracy: float) -> Frames:
    """Medians over the rounds."""
    ours, naive = [a for a, _ in rounds], [b for _, b in rounds]
    return Frames(
        rounds=len(rounds),
        frames=ours[0].frames,
        fps=round(median(a.fps for a in ours), 1),
        runtime=ours[0].runtime,
        dtype=dtype,
        accuracy=round(accuracy, 4),
        floor_us_p50=median(a.floor_us.p50 for a in ours),
        floor_us_p99=median(a.floor_us.p99 for a in ours),
        invoke_us_p50=median(b.invoke_us.p50 for b in naive),
        invoke_us_p99=median(b.invoke_us.p99 for b in naive),
        overhead_us_p50=pair([(a.overhead_us.p50, b.overhead_us.p50) for a, b in rounds]),
        overhead_us_p99=pair([(a.overhead_us.p99, b.overhead_us.p99) for a, b in rounds]),
        wake_us_p50=median(a.wake_us.p50 for a in ours),
        wake_us_p99=median(a.wake_us.p99 for a in ours),
        frame_age_ms_p50=pair([(a.frame_age_ms.p50, b.frame_age_ms.p50) for a, b in rounds]),
        frame_age_ms_p99=pair([(a.frame_age_ms.p99, b.frame_age_ms.p99) for a, b in rounds]),
    )


def say(text: str) -> None:
    """Tell the person who waits."""
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
