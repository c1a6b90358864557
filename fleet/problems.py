"""An error of ours as an HTTP answer."""

import msgspec
from starlette.responses import Response

from edge.errors import (
    BadArgumentError,
    BadBundleError,
    BadMessageError,
    DeviceAwayError,
    DiskFullError,
    EdgeError,
    FileMissingError,
    TrustError,
)
from fleet.answers import MovedOnError, Problem

STATUS: tuple[tuple[type[EdgeError], int], ...] = (
    (MovedOnError, 409),
    (FileMissingError, 404),
    (TrustError, 403),
    (DiskFullError, 507),
    (DeviceAwayError, 504),
    (BadArgumentError, 400),
    (BadMessageError, 400),
    (BadBundleError, 400),
    (EdgeError, 422),
)
"""HTTP status by error; the first that fits."""


def problem_response(error: EdgeError) -> Response:
    """An error as its JSON answer."""
    body = Problem(error=type(error).__name__, problem=error.problem, remedy=error.remedy)
    return Response(msgspec.json.encode(body), status_of(error), media_type="application/json")


def status_of(error: EdgeError) -> int:
    """The HTTP status of an error."""
    return next(status for kind, status in STATUS if isinstance(error, kind))
