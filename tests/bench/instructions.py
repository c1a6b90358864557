"""Million instructions of one inference of every variant of a bundle, on emulated boards: **not time**.

    python tests/bench/instructions.py BUNDLE

Needs the board that `pytest tests/arm` builds under .cache, root and Linux >= 6.7, as there. One thread. An instruction
is not a cycle, and memory that is waited for costs none: compare the variants of one bundle on one core, no more.
`dot` says whether the fast int8 path of ARMv8.2 runs: an int8 model without any is on the slow path of a Pi 5.
"""

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from edge.bundle import Bundle, open_bundle
from edge.manifest import Variant

ROOT = Path(__file__).parents[2]
ARM, CACHE = ROOT / "tests" / "arm", ROOT / ".cache" / "arm"
CPUS = {"cortex-a72": "Raspberry Pi 4", "cortex-a76": "Raspberry Pi 5"}
TIMES = 3
COUNT = re.compile(r"COUNT all=(\d+) dot=(\d+)")


@dataclass(frozen=True, slots=True)
class Counted:
    """Of one inference, in millions."""

    instructions: float
    dots: float


def main(path: Path) -> None:
    """Count every variant on every board, and print a table."""
    if not (CACHE / "root-arm64").exists():
        sys.exit("no board yet: run `pytest tests/arm` first")
    bundle = open_bundle(path)
    plugin = Path(output("bash", str(ARM / "make_plugin.sh"), str(CACHE)).split()[-1])
    print("emulated instructions, not time: million an inference, one thread")
    for cpu, board in CPUS.items():
        for variant in bundle.manifest.variants:
            counted = count(bundle, variant, cpu, plugin)
            name = f"{variant.runtime} {variant.dtype}"
            print(
                f"{board:16}{cpu:12}{name:24}{counted.instructions:10.2f}  of them dot {counted.dots:.2f}", flush=True
            )


def count(bundle: Bundle, variant: Variant, cpu: str, plugin: Path) -> Counted:
    """Run TIMES inferences between two markers."""
    binds = ["-b", f"{ROOT}:/opt/edgewright", "-b", f"{bundle.path.resolve().parent}:/mnt/bundle"]
    script = ["bash", str(ARM / "run_device.sh"), "-c", cpu, *binds, "-p", str(plugin), str(CACHE / "root-arm64")]
    python = ["env", "PYTHONPATH=/opt/edgewright", "PYTHONDONTWRITEBYTECODE=1", "python3"]
    work = ["/opt/edgewright/tests/arm/count_on_the_board.py", f"/mnt/bundle/{bundle.path.name}", variant.file]
    printed = output(*script, *python, *work, str(TIMES))
    instructions, dots = (int(number) / TIMES / 1e6 for number in COUNT.findall(printed)[-1])
    return Counted(instructions, dots)


def output(*command: str) -> str:
    """All that a command prints; ends the program if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return done.stdout + done.stderr


if __name__ == "__main__":
    main(Path(sys.argv[1]))
