"""Keeps the libraries that do the heavy work from talking over the user's terminal.

torch, litert-torch and ONNX Runtime print to both standard streams, from Python and from C++: only the file
descriptors see all of it.
"""

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from typing import TextIO

logger = logging.getLogger("edgewright.compiler")


@contextmanager
def quiet() -> Iterator[None]:
    """Redirect descriptors 1 and 2; what was said goes to the log at DEBUG level (`-v`), whole, after the step.

    Process-wide, so not for code that other threads print beside.
    """
    with tempfile.TemporaryFile() as heard:
        _flush()
        kept = os.dup(1), os.dup(2)
        os.dup2(heard.fileno(), 1)
        os.dup2(heard.fileno(), 2)
        disabled = logging.root.manager.disable
        logging.disable(logging.CRITICAL)  # torch and ONNX Runtime log through handlers that hold the real stream
        try:
            with warnings.catch_warnings(), redirect_stdout(_stream(1)), redirect_stderr(_stream(2)):
                warnings.simplefilter("ignore")
                yield
        finally:
            logging.disable(disabled)
            _flush()
            for number, original in enumerate(kept, start=1):
                os.dup2(original, number)
                os.close(original)
            heard.seek(0)
            _log(heard.read())


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Let the user's own code speak, but keep stdout for the result."""
    _flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):  # where sys.stdout is no longer descriptor 1 (notebooks, tests)
            yield
    finally:
        _flush()
        os.dup2(kept, 1)
        os.close(kept)


@cache
def _stream(descriptor: int) -> TextIO:
    """Return a stream onto descriptor 1 or 2, even where sys.stdout no longer is (notebooks, tests).

    Never closed: a library that is imported meanwhile may keep it for its log.
    """
    return open(descriptor, "w", buffering=1, closefd=False)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr, _stream(1), _stream(2)):
        if stream is not None:
            stream.flush()


def _log(heard: bytes) -> None:
    for line in heard.decode(errors="replace").splitlines():
        logger.debug("%s", line)
