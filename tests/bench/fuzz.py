"""Mutated models and data against the real `edge compile`: never a hang, a crash, a traceback or an unmeasured claim.

`python tests/bench/fuzz.py [--models 2000] [--data 500] [--folder .cache/fuzz]`. One after the other, each in a child
process of its own that is forked from one with the heavy packages loaded. The number of a case decides its bytes, so a
case that failed can be run again alone: `--only model-17`. Ends with exit code 1 if anything failed.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

LIMIT_S = 60
KNOWN = frozenset({0, *range(1, 23)})
"""Exit codes of `edge.errors`; 70 would be a bug, a negative one a crash."""
SPECIAL = (b"\x00", b"\xff", b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", b"nan", b"-1", b"999999999", b"", b"'\"")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one case ended; `fault` is empty if it ended as it must."""

    name: str
    code: int
    seconds: float
    fault: str
    said: str


def mutate(content: bytes, dice: random.Random) -> bytes:
    """Flip bits, overwrite, cut out, copy, truncate: one to eight times."""
    mutated = bytearray(content)
    for _ in range(dice.choice((1, 1, 1, 2, 4, 8))):
        if not mutated:
            break
        at = dice.randrange(len(mutated))
        length = dice.choice((1, 1, 2, 4, 8, 64))
        match dice.randrange(6):
            case 0:
                mutated[at] ^= 1 << dice.randrange(8)
            case 1:
                mutated[at : at + length] = dice.randbytes(length)
            case 2:
                del mutated[at : at + length]
            case 3:
                mutated[at:at] = mutated[at : at + length]
            case 4:
                mutated[at : at + length] = dice.choice(SPECIAL)
            case _:
                if dice.random() < 0.3:
                    del mutated[at:]
    return bytes(mutated)


def prepare(name: str, seeds: Path, place: Path) -> list[str]:
    """Lay out one case in `place`; returns the words after `edge`."""
    models, data = make_list(seeds)
    kind, _, number = name.partition("-")
    dice = random.Random(f"{kind} {number}")
    if kind == "model":
        seed = models[int(number) % len(models)]
        model, samples = place / seed.name, seeds / "data.npz"
        model.write_bytes(mutate(seed.read_bytes(), dice))
    else:
        seed = data[int(number) % len(data)]
        model = seeds / "convolution.onnx"
        samples = _mutated_data(seed, seeds, place, dice)
    return ["compile", str(model), "--target", "x86-64", "--data", str(samples), "-o", str(place / "m.edge"), "--json"]


def _mutated_data(seed: Path, seeds: Path, place: Path, dice: random.Random) -> Path:
    """A mutated file, or the folder of pictures with one of them mutated."""
    if seed.suffix != ".png":
        (place / seed.name).write_bytes(mutate(seed.read_bytes(), dice))
        return place / seed.name
    shutil.copytree(seeds / "pictures", place / "pictures")
    one = place / "pictures" / seed.parent.name / seed.name
    one.write_bytes(mutate(one.read_bytes(), dice))
    return place / "pictures"


def make_list(seeds: Path) -> tuple[list[Path], list[Path]]:
    """The seeds that `make_seeds` has written."""
    models = sorted([*seeds.glob("*.onnx"), *seeds.glob("*.tflite")])
    pictures = sorted((seeds / "pictures").rglob("*.png"))[:2]
    return models, [seeds / "data.npz", seeds / "rows.csv", *pictures]


def run_case(name: str, seeds: Path) -> Outcome:
    """Run one case in a forked child."""
    with tempfile.TemporaryDirectory(prefix="edge-fuzz-") as folder:
        place = Path(folder)
        words = prepare(name, seeds, place)
        began_s = time.monotonic()
        code, hung = _fork(words, place)
        said = (place / "stderr").read_text("utf-8", "replace")
        fault = "hung" if hung else judge(code, said, place)
        return Outcome(name, code, round(time.monotonic() - began_s, 2), fault, said[-400:])


def _fork(words: list[str], place: Path) -> tuple[int, bool]:
    """Return the exit code (negative: the signal) and whether it had to be killed."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            for number, file in ((1, "stdout"), (2, "stderr")):
                os.dup2(os.open(place / file, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), number)
            os.chdir(place)
            from edge.cli import run

            code = run(words)
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)
    limit_s = time.monotonic() + LIMIT_S
    while time.monotonic() < limit_s:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), False
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -signal.SIGKILL, True


def judge(code: int, said: str, place: Path) -> str:
    """Name what must not be; empty if nothing is."""
    if code not in KNOWN:
        return f"ended with {code}"
    if "Traceback (most recent call last)" in said:
        return "printed a traceback"
    if code:
        return "a bundle was left behind" if list(place.glob("*.edge")) else ""
    return unmeasured_claim(place)


def unmeasured_claim(place: Path) -> str:
    """Open the bundle as a stranger would, and hold what it claims against what was printed and what it holds."""
    from edge.bundle import open_bundle
    from edge.runtimes import check_golden, open_session

    bundle = open_bundle(place / "m.edge")
    told = json.loads((place / "stdout").read_text("utf-8"))
    quality = bundle.manifest.quality
    if (quality.compiled, quality.reference, quality.samples) != (
        told["quality"]["compiled"],
        told["quality"]["float"],
        told["quality"]["samples"],
    ):
        return "manifest and output disagree"
    if not (quality.samples > 0 and np.isfinite([quality.compiled, quality.reference, quality.drop]).all()):
        return "claims what cannot have been measured"
    session = open_session(bundle)
    check_golden(bundle, session, invocations=1)
    session.close()
    return ""


def main() -> None:
    """Run all cases, print what failed, and sum up by exit code."""
    arguments = _arguments()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    _make_seeds(arguments.folder)
    _load_heavy_packages()
    names = [f"model-{i}" for i in range(arguments.models)] + [f"data-{i}" for i in range(arguments.data)]
    codes, faults, slowest = Counter[int](), [], 0.0
    for done, name in enumerate(arguments.only or names, 1):
        outcome = run_case(name, arguments.folder)
        codes[outcome.code] += 1
        slowest = max(slowest, outcome.seconds)
        if outcome.fault:
            faults.append(outcome)
            print(f"{name}: {outcome.fault}\n  {re.sub(chr(10), chr(10) + '  ', outcome.said.strip())}", flush=True)
        if done % 100 == 0:
            print(f"{done} cases, {len(faults)} faults, slowest {slowest:.1f} s", file=sys.stderr, flush=True)
    print(f"{sum(codes.values())} cases, {len(faults)} faults, slowest {slowest:.1f} s, by exit code {dict(codes)}")
    sys.exit(bool(faults))


def _make_seeds(folder: Path) -> None:
    """In a process of its own: the exporters start threads, and what has threads must not be forked."""
    child = "import sys; from pathlib import Path; from fuzz_seeds import make_seeds; make_seeds(Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", child, folder], cwd=Path(__file__).parent, check=True, capture_output=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=2000)
    parser.add_argument("--data", type=int, default=500)
    parser.add_argument("--folder", type=lambda text: Path(text).resolve(), default=Path(".cache/fuzz").resolve())
    parser.add_argument("--only", nargs="*")
    return parser.parse_args()


def _load_heavy_packages() -> None:
    """Once, for all children; nothing is computed, so no thread is alive when they are forked."""
    import ai_edge_quantizer  # noqa: F401
    import cv2
    import onnx  # noqa: F401
    import onnxruntime.quantization  # noqa: F401
    import onnxscript  # noqa: F401
    from ai_edge_litert import interpreter  # noqa: F401

    import compiler.pipeline  # noqa: F401

    cv2.setNumThreads(1)


if __name__ == "__main__":
    main()
