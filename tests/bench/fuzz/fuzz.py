"""Mutated models and data against the real `edge compile`: never a hang, a crash, a traceback or an unmeasured claim.

    python tests/bench/fuzz/fuzz.py docs/benchmarks [--models 2000] [--data 500] [--folder .cache/fuzz] [--only data-17]

One after the other, each in a process of its own that is forked from one with the heavy packages loaded. Writes a line
a case into the folder and goes on where it was stopped; a case that was at fault is run again. Writes fuzz.json and
fuzz.md at the end and after every hundred cases. Ends with exit code 1 if anything is at fault.
"""

import argparse
import hashlib
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import judge
from cases import Case, names, prepare
from child import call_in_child
from results import Outcome, append, read, sum_up, write_page
from seeds import DONE

FOLDER = Path(".cache/fuzz")


def run_case(name: str, seeds: Path) -> Outcome:
    """Run one case in a child, and check what it wrote in another."""
    with tempfile.TemporaryDirectory(prefix="edge-fuzz-") as folder:
        place = Path(folder)
        case, bundle = prepare(name, seeds, place), place / "m.edge"
        ended = call_in_child(lambda: _compile(case, bundle), place, name="compile")
        said = _read(place / "compile.stderr")
        fault = judge.fault_of(ended.code, said, bundle)
        if ended.hung:
            fault = (
                f"hung: {ended.wall_s:.0f} s by the clock, {ended.queued_s:.0f} s queued, {ended.cpu_s:.0f} s computed"
            )
        if not fault and ended.code == 0:
            fault = _check(case, bundle, place)
        return Outcome(
            name=name,
            seed=case.seed,
            code=ended.code,
            fault=fault,
            wall_s=ended.wall_s,
            queued_s=ended.queued_s,
            cpu_s=ended.cpu_s,
            peak_mib=ended.peak_mib,
            said=said.replace(folder, "")[-400:],
        )


def _compile(case: Case, bundle: Path) -> int:
    from edge.cli import run

    return run(case.words(bundle, bundle.parent / "cache"))


def _check(case: Case, bundle: Path, place: Path) -> str:
    """Check the claims in a child of its own: a mutant may crash a runtime."""
    printed = place / "compile.stdout"
    ended = call_in_child(lambda: judge.check_claims(bundle, printed, case.data), place, name="check")
    if ended.code == 0:
        return ""
    return _read(place / "check.stderr").strip()[-400:] or f"checking its bundle ended with {ended.code}"


def _read(path: Path) -> str:
    return path.read_text("utf-8", "replace")


def main() -> None:
    """Run what has not been run, and write down what came out."""
    arguments = _arguments()
    folder = arguments.folder.resolve()
    _make_seeds(folder)
    lines = folder / f"results-{hashlib.sha256((folder / DONE).read_bytes()).hexdigest()[:8]}.jsonl"
    done = read(lines)
    every = names(arguments.models, arguments.data)
    left = arguments.only or [name for name in every if name not in done or done[name].fault]
    _load_heavy_packages()
    for count, name in enumerate(left, 1):
        done[name] = run_case(name, folder)
        append(lines, done[name])
        if done[name].fault:
            print(f"{name}: {done[name].fault}\n  {re.sub(chr(10), chr(10) + '  ', done[name].said)}", flush=True)
        if count % 100 == 0 or count == len(left):
            faults = sum(bool(one.fault) for one in done.values())
            print(f"{len(done)} of {len(every)}, {faults} at fault", file=sys.stderr, flush=True)
            _write(done, arguments)
    sys.exit(any(one.fault for one in done.values()))


def _write(done: dict[str, Outcome], arguments: argparse.Namespace) -> None:
    summary = sum_up(done.values(), models=arguments.models, data=arguments.data, machine=_machine(), commit=_commit())
    write_page(summary, arguments.output)


def _machine() -> str:
    from compiler.host import host_core

    return f"{host_core()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def _commit() -> str:
    told = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return told.stdout.strip() or "unknown"


def _make_seeds(folder: Path) -> None:
    """In a process of its own: the exporters start threads, and what has threads must not be forked."""
    told = subprocess.run(
        [sys.executable, "seeds.py", folder], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    if told.returncode:
        sys.exit(f"no seeds: {told.stderr[-2000:]}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="folder of fuzz.json and fuzz.md")
    parser.add_argument("--models", type=int, default=2000)
    parser.add_argument("--data", type=int, default=500)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--only", nargs="*")
    return parser.parse_args()


def _load_heavy_packages() -> None:
    """Once, for all children; nothing is computed, so that nothing but idle threads is lost when they are forked."""
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    import ai_edge_quantizer  # noqa: F401
    import cv2
    import litert_torch  # noqa: F401
    import onnx  # noqa: F401
    import onnxruntime.quantization  # noqa: F401
    import onnxscript  # noqa: F401
    from ai_edge_litert import interpreter  # noqa: F401

    import compiler.export.to_tflite
    import compiler.importer
    import compiler.pipeline  # noqa: F401

    cv2.setNumThreads(1)


if __name__ == "__main__":
    main()
