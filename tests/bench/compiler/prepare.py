"""`python prepare.py CASE FOLDER`: what all peers of one model start from, made once.

Leaves samples.npz (all), calibrate.npy (what ranges are set on, in the model's shape), report.npz (x, y and what the
float model says), and float.onnx and float.tflite where the source reaches that format.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
from cases import CASES, Case

from compiler.export import FORMATS
from compiler.load import load_model
from compiler.measure import real_inputs
from compiler.opening import Request, open_subject
from compiler.packing import Order
from compiler.plan import REACHES
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


@contextmanager
def silent(_title: str, _total: int | None) -> Iterator[Callable[[], None]]:
    """A stage without a bar."""
    yield lambda: None


def open_case(case: Case, samples: Path) -> Subject:
    """The whole subject; its data lie in `samples`."""
    request = Request(case.model, samples, Order("x86-64"), task=case.task, metric=case.metric)
    return open_subject(request, silent)[0]


def write_samples(case: Case, path: Path) -> None:
    """Write x and y; without labels y is what the float model says."""
    x, y = case.samples()
    if y is None:
        model = load_model(case.model)
        y = np.stack([model.run(one[None]).astype(np.float32).ravel() for one in x])
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
    found = Prepared(
        kind=subject.model.kind,
        calibrate=len(calibrate.samples),
        select=len(parts.select),
        report=len(parts.report),
        no_float=no_float,
    )
    (folder / "prepared.json").write_bytes(msgspec.json.encode(found))


if __name__ == "__main__":
    prepare(sys.argv[1], Path(sys.argv[2]))
