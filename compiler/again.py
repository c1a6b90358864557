"""The same compile once more: its bundle and report come from the cache, without any exporter or measurement.

Everything that a compile depends on is hashed: our code and tools, the processor, the files, the options. A source that
is Python code may read anything: it is called each time, and what the network that it returns computes is hashed
(`compiler.load.tape`).
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from compiler.cache import Cache, code_digest, installed, key_of, write_whole
from compiler.host import host_core
from compiler.load.onnx_file import files_of
from compiler.opening import Request, load_source
from compiler.packing import check_order
from compiler.placement.place import npu_tool
from compiler.result import report_folder
from compiler.stage import Stage
from edge.bundle import place
from edge.target import load_target

CODE = ".py:"
"""Stands in the name of a model that is a function."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a compile wrote, and what it said."""

    told: dict[str, Any]
    """The object of `--json`."""
    text: str
    """For people; names the paths of the first time."""
    bundle: bytes
    report: dict[str, bytes]
    """File name to content."""


def compile_again(
    request: Request,
    *,
    cache: Cache,
    calibration: Path | None,
    warn: Callable[[str], None],
    stage: Stage,
    make: Callable[[Request], tuple[dict[str, Any], str]],
) -> tuple[dict[str, Any], str]:
    """Return what `--json` prints and what people read, from the cache or by `make`, which also writes the files.

    `warn` hears once more what looked wrong the first time; `make` has its own way to say it.
    """
    check_order(request.order)
    if cache.folder is None or not request.data.exists():
        return make(request)
    if CODE in request.model:
        request = load_source(request, stage)
    key = key_of("compile", *fingerprint(request, calibration))
    kept = cache.get(key)
    if kept is not None:
        outcome = msgspec.msgpack.decode(kept, type=Outcome)
        for warning in outcome.told["warnings"]:
            warn(warning)
        return _write(outcome, request)
    told, text = make(request)
    bundle = Path(told["bundle"])
    report = {path.name: path.read_bytes() for path in sorted(report_folder(bundle).iterdir())}
    outcome = Outcome(told=told, text=text, bundle=bundle.read_bytes(), report=report)
    cache.put(key, msgspec.msgpack.encode(outcome))
    return told, text


def fingerprint(request: Request, calibration: Path | None) -> Iterator[object]:
    """Yield everything that the bytes of bundle and report depend on."""
    order = request.order
    yield from (code_digest(), installed(), host_core(), load_target(order.target))
    yield npu_tool(load_target(order.target))
    yield from (order.name or Path(request.model).stem, order.version)
    model = Path(request.model)
    beside = sorted(model.parent.glob(f"{model.stem}.*")) + (files_of(model) if model.suffix == ".onnx" else [])
    yield None if request.source is None else request.source.identity
    for path in (*beside, request.input_file, request.labels_file, calibration):
        yield None if path is None else [digest for _, digest in contents(path)]
    yield list(contents(request.data))
    yield [str(pair) for pair in request.states]
    yield from (
        request.label_column,
        request.task,
        request.metric,
        request.golden_from_data,
        request.no_fallback,
        request.onnx_too,
    )
    yield from (request.settled, request.budget, request.scope.effort, [str(plan) for plan in request.scope.plans])


def contents(path: Path) -> Iterator[tuple[str, str]]:
    """Name and hash of a file, or of all files below a folder; nothing where there is neither."""
    files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path] * path.is_file()
    for file in files:
        yield str(file.relative_to(path)), hashlib.sha256(file.read_bytes()).hexdigest()


def _write(outcome: Outcome, request: Request) -> tuple[dict[str, Any], str]:
    """Lay the files where this compile wants them, and say so."""
    before = str(outcome.told["bundle"])
    bundle = request.order.output or Path(Path(before).name)
    folder = report_folder(bundle)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in outcome.report.items():
        write_whole(folder / name, content, mode=0o644)
    place(bundle, outcome.bundle)
    told = outcome.told | {"bundle": str(bundle), "report": str(folder / "report.html")}
    text = outcome.text.replace(str(report_folder(Path(before))), str(folder)).replace(before, str(bundle))
    return told, f"{text}\nfrom the cache: nothing has changed since it was compiled"
