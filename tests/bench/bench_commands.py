"""`make bench`: `edge --help` against a bare one, and the time of a compile against that of its imports.

Nothing but what is in this folder and in the package is needed; minutes on two cores. The agent: `make bench-agent`.
"""

import sys
import tempfile
import time
from pathlib import Path

from page import Commands, Report, write
from turns import in_turns, load, machine, output, pair, seconds

HERE = Path(__file__).parent
EDGE = (sys.executable, str(Path(sys.executable).with_name("edge")))
HELP_ROUNDS, COMPILE_ROUNDS = 21, 2
BARE = """from cyclopts import App

app = App(name="bare", version="1")


@app.command
def go() -> None:
    pass


app()
"""
IMPORTS = "import torch, onnxscript, onnxruntime, litert_torch, ai_edge_quantizer"


def main(folder: Path) -> None:
    """Measure all, and write the page into `folder`."""
    start_s, load_before = time.monotonic(), load()
    with tempfile.TemporaryDirectory(prefix="edge-bench-") as name:
        scratch = Path(name)
        say("training a small classifier")
        output((sys.executable, str(HERE / "shapes.py"), name))
        commands = measure_commands(scratch)
    took_s = round(time.monotonic() - start_s, 1)
    write(Report(machine=machine(load_before), commands=commands, took_s=took_s), folder)
    say(f"wrote {folder.name}/commands.md and commands.json after {took_s:.0f} s")


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


def say(text: str) -> None:
    """Tell the person who waits."""
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
