"""Any exception, as an exit code, one line of what happened and one of what to do."""

import errno
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from edge.errors import (
    BrokerError,
    DiskFullError,
    EdgeError,
    FileMissingError,
    MissingExtraError,
    PortTakenError,
)

BUG = 70
"""Exit code of an error that is ours. Source: sysexits.h, EX_SOFTWARE."""
EXTRAS = {
    "agent": ("ai_edge_litert", "onnxruntime", "cv2", "tuf", "paho", "gpiozero"),
    "fleet": (
        "securesystemslib",
        "cryptography",
        "sqlalchemy",
        "uvicorn",
        "httpx",
        "nicegui",
        "amqtt",
        "starlette",
        "fastapi",
    ),
    "compiler": ("torch", "onnx", "onnxscript", "onnx_ir", "jinja2"),
    "tflite": ("litert_torch", "ai_edge_quantizer"),
    "postgres": ("psycopg",),
    "tune": ("optuna",),
}
"""Extra to the packages, by their import names, that it brings."""
PART_EXTRAS = {
    "fleet": "fleet",
    "compile": "compiler",
    "tune": "tune",
    "evaluate": "compiler",
    "run": "agent",
    "bench": "agent",
    "demo": "demos",
}
"""First word of a command to the extra that holds all it needs."""


_PATH_IS_WRONG = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


class Failure(NamedTuple):
    """What the command line says of an error."""

    code: int
    error: str
    problem: str
    remedy: str
    options: tuple[str, ...] = ()
    """What else would work, nearest first; mostly empty."""


def explain(exc: BaseException, tokens: Sequence[str] = ()) -> Failure:
    """Turn an exception into a `Failure`; what we did not foresee is called a bug."""
    known = exc if isinstance(exc, EdgeError) else _missing_package(exc, tokens) or _system(exc)
    if known is not None:
        problem, remedy = one_line(known.problem), one_line(known.remedy, keep=True)
        return Failure(known.exit_code, type(known).__name__, problem, remedy, known.options)
    sentence = f"a bug in edge: {type(exc).__name__}: {exc}" if str(exc) else f"a bug in edge: {type(exc).__name__}"
    return Failure(BUG, "Bug", one_line(sentence), "run it again with -v to see where, and report both")


def one_line(text: str, *, keep: bool = False) -> str:
    """Join lines; `keep` leaves a text alone that is meant for pasting (a remedy with a file in it)."""
    return text if keep else " ".join(text.split())


def _missing_package(exc: BaseException, tokens: Sequence[str]) -> MissingExtraError | None:
    """A package of an extra that is not installed, wherever in the chain of causes it is named."""
    for each in _chain(exc):
        name = (each.name or "").partition(".")[0] if isinstance(each, ModuleNotFoundError) else ""
        extra = next((extra for extra, names in EXTRAS.items() if name in names), None)
        if extra is not None:
            wanted = PART_EXTRAS.get(tokens[0], extra) if tokens else extra
            return MissingExtraError(f"{name} is not installed", remedy=f"pip install 'edgewright[{wanted}]'")
    return None


def _system(exc: BaseException) -> EdgeError | None:
    """What the operating system refused."""
    if not isinstance(exc, OSError):
        return None
    where = f": {exc.filename}" if exc.filename else ""
    what = f"{exc.strerror or exc}{where}"
    known: dict[int, EdgeError] = {
        errno.ENOSPC: DiskFullError(f"the disk is full{where}", remedy="free some space and try again"),
        errno.EDQUOT: DiskFullError(f"the disk quota is used up{where}", remedy="free some space and try again"),
        errno.EADDRINUSE: PortTakenError("the port is taken by another process", remedy="end it, or choose another"),
        errno.ECONNREFUSED: BrokerError("the other side refuses connections", remedy="check that it runs, and where"),
    }
    if exc.filename:
        known |= {code: FileMissingError(what, remedy="check the path") for code in _PATH_IS_WRONG}
        known |= {code: EdgeError(what, remedy="check who owns it, and who runs this command") for code in _FORBIDDEN}
    return known.get(exc.errno or 0)


def _chain(exc: BaseException | None) -> Iterator[BaseException]:
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__
