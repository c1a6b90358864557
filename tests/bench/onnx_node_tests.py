"""The onnx package's node tests through the whole way to LiteRT: simplify, import, convert, run, compare.

    python tests/bench/onnx_node_tests.py docs/benchmarks [--minutes 20] [--fresh]

Writes importer.json after every case, so that it may be stopped and started again, and importer.md. A case takes one to
four seconds; a worker process does them, and a crash or a hang costs its own case only.
"""

import argparse
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from onnx_cases import TOLERANCE, Case, LeftOut, collect_cases, largest_error
from onnx_page import CaseResult, Results, write_page

from compiler.importer import import_onnx
from compiler.passes import simplify
from edge.errors import BadModelError

CASE_LIMIT_S = 120.0
START_LIMIT_S = 600.0
"""A worker first imports torch and litert-torch, and makes all cases."""


def run_case(case: Case) -> CaseResult:
    """Take one case to LiteRT and back."""
    try:
        network = import_onnx(simplify(case.content))
    except BadModelError as exc:
        return CaseResult(case.name, case.kinds, "refused", exc.problem)
    try:
        error = largest_error(_run_litert(network, case.inputs), case.expected)
    except Exception as exc:  # noqa: BLE001  whatever the converter or the runtime says is the result
        return CaseResult(case.name, case.kinds, "failed", f"{type(exc).__name__}: {exc}".splitlines()[0][:200])
    if not isfinite(error):
        return CaseResult(case.name, case.kinds, "differs", "shapes, infinities or NaN differ", None)
    agrees = error <= TOLERANCE
    return CaseResult(case.name, case.kinds, "agrees" if agrees else "differs", f"{error:.2g}", error)


def _run_litert(network: Any, inputs: tuple[NDArray[Any], ...]) -> tuple[NDArray[Any], ...]:
    import torch
    from ai_edge_litert.interpreter import Interpreter

    from compiler.export.to_tflite import convert

    content = convert(network, tuple(torch.from_numpy(np.array(item)) for item in inputs))
    interpreter = Interpreter(model_content=content, num_threads=1)
    runner = interpreter.get_signature_runner()
    details = runner.get_input_details()
    feed = {name: inputs[int(name.removeprefix("args_"))].astype(detail["dtype"]) for name, detail in details.items()}
    outputs = runner(**feed)
    return tuple(outputs[name] for name in sorted(outputs, key=lambda name: int(name.removeprefix("output_"))))


def work() -> None:
    """Answer names of cases on standard input with results on standard output, one a line."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # the libraries print, too
    cases = {case.name: case for case in collect_cases()[0]}
    answers.write(b"ready\n")
    for line in sys.stdin:
        answers.write(msgspec.json.encode(run_case(cases[line.strip()])) + b"\n")


class Worker:
    """The process that runs the cases; started anew after a crash or a hang."""

    def __init__(self) -> None:
        command = [sys.executable, __file__, "--worker"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        if self._wait(START_LIMIT_S) != b"ready\n":
            raise SystemExit("the worker does not start: is edgewright[tflite] installed?")

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(b"")

    def _wait(self, limit_s: float) -> bytes | None:
        """Return a line; nothing at the end of the process, None after `limit_s`."""
        try:
            return self._lines.get(timeout=limit_s)
        except queue.Empty:
            return None

    def run(self, case: Case) -> CaseResult | None:
        """Return the result; None if the worker has to be replaced."""
        assert self._process.stdin is not None
        self._process.stdin.write(case.name.encode() + b"\n")
        self._process.stdin.flush()
        line = self._wait(CASE_LIMIT_S)
        return msgspec.json.decode(line, type=CaseResult) if line else None

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


@contextmanager
def _workers() -> Iterator[list[Worker]]:
    """Hold at most one worker; end it on the way out."""
    held: list[Worker] = []
    try:
        yield held
    finally:
        for worker in held:
            worker.stop()


def measure(cases: list[Case], left_out: list[LeftOut], folder: Path, minutes: float) -> Results:
    """Run what has no result yet or went wrong, and write after each case."""
    file = folder / "importer.json"
    done = {one.name: one for one in _read(file).cases} if file.exists() else {}
    done = {case.name: done[case.name] for case in cases if case.name in done}
    done = {name: one for name, one in done.items() if one.outcome in {"agrees", "refused"}}
    end = time.monotonic() + minutes * 60
    with _workers() as held:
        for case in cases:
            if case.name in done:
                continue
            if time.monotonic() > end:
                break
            if not held:
                held.append(Worker())
            result = held[0].run(case)
            if result is None:
                held.pop().stop()
                result = CaseResult(case.name, case.kinds, "failed", f"crashed, or took over {CASE_LIMIT_S:g} s")
            done[case.name] = result
            print(f"{len(done)}/{len(cases)} {result.outcome:8} {case.name} {result.detail}", flush=True)
            _write(file, _results(cases, left_out, done))
    return _results(cases, left_out, done)


def _results(cases: list[Case], left_out: list[LeftOut], done: dict[str, CaseResult]) -> Results:
    reasons = {one.name.removeprefix("test_"): one.reason for one in left_out}
    waiting = tuple(case.name for case in cases if case.name not in done)
    return Results(cases=tuple(done.values()), not_run_yet=waiting, left_out=reasons, tolerance=TOLERANCE)


def _read(file: Path) -> Results:
    return msgspec.json.decode(file.read_bytes(), type=Results)


def _write(file: Path, results: Results) -> None:
    partial = file.with_suffix(".partial")
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    partial.replace(file)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("docs/benchmarks"))
    parser.add_argument("--minutes", type=float, default=1e6, help="stop after the case at hand, then")
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work()
        return
    if arguments.fresh:
        (arguments.folder / "importer.json").unlink(missing_ok=True)
    cases, left_out = collect_cases()
    cases.sort(key=lambda case: len(case.kinds))  # the operators themselves first, then what is spelled out in others
    results = measure(cases, left_out, arguments.folder, arguments.minutes)
    _write(arguments.folder / "importer.json", results)
    (arguments.folder / "importer.md").write_text(write_page(results), encoding="utf-8")


if __name__ == "__main__":
    main()
