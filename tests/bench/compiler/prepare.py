"""`python prepare.py CASE FOLDER`: what all peers of one model start from, made once.

Leaves samples.npz (all), calibrate.npy (what ranges are set on, in the model's shape), report.npz (x, y and what the
float model says), and float.onnx and float.tflite where the source reaches that format. A .tflite file without a
signature, which ai-edge-quantizer refuses, is also left as signed.pre.tflite, as our own loader brings it up to date.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
from cases import CASES, Case

from compiler.effort import REACHES
from compiler.export import FORMATS
from compiler.inputs import real_inputs
from compiler.load import load_model
from compiler.opening import Request, open_subject
from compiler.packing import Order
from compiler.split import split
from compiler.subject import Subject
from edge.errors import BadModelError, MissingExtraError


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """prepared.json."""

    kind: str
    calibrate: int
    select: int
    report: int
    no_float: dict[str, str]
    """Format to why there is no float file of it."""
    signed: bool = False
    """The published .tflite file has no signature, so peers got one with it."""


@contextmanager
def silent(_title: str, _total: int | None) -> Iterator[Callable[[], None]]:
    """A stage without a bar."""
    yield lambda: None


def open_case(case: Case, samples: Path) -> Subject:
    """The whole subject; its data lie in `samples`."""
    request = Request(case.model, samples, Order("x86-64"), task=case.task, metric=case.metric)
    return open_subject(request, silent)[0]


def write_samples(case: Case, path: Path) -> None:
    """Write x and y; without labels y is what the float model says, or decides."""
    x, y = case.samples()
    if y is None:
        model = load_model(case.model)
        y = np.stack([model.run(one[None]).astype(np.float32).ravel() for one in x])
        y = y.argmax(1) if case.task == "classify" else y
    np.savez(path, x=x, y=y)


def prepare(name: str, folder: Path) -> None:
    """Do all of it."""
    case = CASES[name]
    folder.mkdir(parents=True, exist_ok=True)
    write_samples(case, folder / "samples.npz")
    subject = open_case(case, folder / "samples.npz")
    parts = split(subject.samples.digests)
    calibrate, report = subject.part(parts.calibrate).usual(), subject.part(parts.report)
    np.save(folder / "calibrate.npy", np.concatenate(list(real_inputs(calibrate))))
    x = np.concatenate(list(real_inputs(report)))
    reference = np.stack([subject.model.run(one[None]).astype(np.float32).ravel() for one in x])
    np.savez(folder / "report.npz", x=x, y=report.samples.truth, reference=reference)
    no_float = {}
    for file_format in FORMATS:
        if file_format not in REACHES[subject.model.kind]:
            no_float[file_format] = f"a {subject.model.kind} source has no {file_format} form"
            continue
        try:
            (folder / f"float.{file_format}").write_bytes(FORMATS[file_format].export(subject.model))
        except (BadModelError, MissingExtraError) as exc:
            no_float[file_format] = exc.problem
    signed = _signed(folder / "float.tflite")
    found = Prepared(
        kind=subject.model.kind,
        calibrate=len(calibrate.samples),
        select=len(parts.select),
        report=len(parts.report),
        no_float=no_float,
        signed=signed,
    )
    (folder / "prepared.json").write_bytes(msgspec.json.encode(found))


def _signed(path: Path) -> bool:
    """Add the signature that a file lacks; whether it did."""
    from ai_edge_litert.interpreter import Interpreter

    if not path.exists() or Interpreter(model_path=str(path)).get_signature_list():
        return False
    path.with_name("signed.pre.tflite").write_bytes(FORMATS["tflite"].prepare(path.read_bytes()))
    return True


if __name__ == "__main__":
    prepare(sys.argv[1], Path(sys.argv[2]))
