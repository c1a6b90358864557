"""The HTTP API on `DIR/admin.sock`: thin handlers over `Control`. `ROUTES` is the whole of it.

Who can open the socket (mode 0600) is trusted; the web process lets others in with the token. Answers are JSON Structs
of `fleet.answers`; every failure is a `Problem`.
"""

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from edge.errors import (
    BadArgumentError,
    BadMessageError,
    EdgeError,
    FileMissingError,
)
from edge.kept import is_kept_name
from edge.messages import decode
from edge.topics import is_id
from fleet.answers import EnrolRequest, PicturesRequest, PieceRequest, Problem, RolloutRequest
from fleet.config import target_path
from fleet.control import Control
from fleet.problems import problem_response
from fleet.repository import MAX_TARGETS_BYTES
from fleet.served import find_served

T = TypeVar("T")
Handler = Callable[[Control, Request], Awaitable[object]]
MAX_BODY_BYTES = 8 << 20
"""Of a JSON request; bundles and reports have their own limits and are streamed."""
_LOG = logging.getLogger("fleet.api")


async def get_status(control: Control, _: Request) -> object:
    """Devices, rollouts, bundles."""
    return await run_in_threadpool(control.status, time.time())


async def get_metadata(control: Control, _: Request) -> object:
    """Root and targets in force."""
    return await run_in_threadpool(control.trust_state)


async def post_device(control: Control, request: Request) -> object:
    """Enrol."""
    wanted = decode(EnrolRequest, await _body(request, MAX_BODY_BYTES))
    return await run_in_threadpool(control.enrol, wanted.device)


async def post_pictures(control: Control, request: Request) -> object:
    """Ask a device which pictures it keeps."""
    wanted = decode(PicturesRequest, await _body(request, MAX_BODY_BYTES))
    return await run_in_threadpool(control.pictures, request.path_params["device"], wanted.newest)


async def post_picture(control: Control, request: Request) -> object:
    """Ask a device for a piece of a picture that it named."""
    device, name = request.path_params["device"], request.path_params["name"]
    if not is_kept_name(name):
        raise BadArgumentError(f"no picture can be called {name!r}", remedy="ask the device which ones it keeps")
    wanted = decode(PieceRequest, await _body(request, MAX_BODY_BYTES))
    data = await run_in_threadpool(control.picture_piece, device, name, wanted.offset, wanted.size_bytes)
    return Response(data, media_type="application/octet-stream")


async def put_bundle(control: Control, request: Request) -> object:
    """Upload a bundle."""
    await control.artifacts.receive(request.path_params["sha256"], _chunks(request))
    return {}


async def get_bundle(control: Control, request: Request) -> object:
    """A published bundle, for whoever makes a difference to it."""
    model, version = request.path_params["model"], request.path_params["version"]
    path = find_served(control.folder, f"artifacts/{target_path(model, version)}")
    if path is None:
        raise FileMissingError(f"version {version} of {model} is not published", remedy="see GET /api/status")
    return FileResponse(path, media_type="application/octet-stream")


async def put_delta(control: Control, request: Request) -> object:
    """Upload a difference between two bundles."""
    await control.artifacts.receive_delta(request.path_params["sha256"], _chunks(request))
    return {}


async def put_report(control: Control, request: Request) -> object:
    """Upload one file of a report."""
    model, version = request.path_params["model"], request.path_params["version"]
    if not is_id(model) or not 0 < version < 2**31:
        raise BadArgumentError(f"no bundle can be {model}-{version}", remedy="name a model and its version")
    await control.artifacts.receive_report(model, version, request.path_params["file"], _chunks(request))
    return {}


async def post_targets(control: Control, request: Request) -> object:
    """Put signed targets in force."""
    await run_in_threadpool(control.publish, await _body(request, MAX_TARGETS_BYTES), time.time())
    return {}


async def get_rollouts(control: Control, _: Request) -> object:
    """Every rollout."""
    return await run_in_threadpool(control.rollouts)


async def post_rollout(control: Control, request: Request) -> object:
    """Start a rollout."""
    wanted = decode(RolloutRequest, await _body(request, MAX_BODY_BYTES))
    return await run_in_threadpool(control.start_rollout, wanted, time.time())


async def get_rollout(control: Control, request: Request) -> object:
    """One rollout."""
    return await run_in_threadpool(control.rollout, request.path_params["id"])


async def post_action(control: Control, request: Request) -> object:
    """Pause, resume or abort."""
    action = request.path_params["action"]
    if action not in ("pause", "resume", "abort"):
        raise FileMissingError(f"a rollout cannot {action!r}", remedy="pause, resume or abort it")
    return await run_in_threadpool(control.act, request.path_params["id"], action, time.time())


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/api/status", get_status),
    ("GET", "/api/metadata", get_metadata),
    ("POST", "/api/devices", post_device),
    ("POST", "/api/devices/{device}/pictures", post_pictures),
    ("POST", "/api/devices/{device}/pictures/{name}", post_picture),
    ("PUT", "/api/bundles/{sha256}", put_bundle),
    ("GET", "/api/bundles/{model}/{version:int}", get_bundle),
    ("PUT", "/api/deltas/{sha256}", put_delta),
    ("PUT", "/api/reports/{model}/{version:int}/{file}", put_report),
    ("POST", "/api/targets", post_targets),
    ("GET", "/api/rollouts", get_rollouts),
    ("POST", "/api/rollouts", post_rollout),
    ("GET", "/api/rollouts/{id}", get_rollout),
    ("POST", "/api/rollouts/{id}/{action}", post_action),
)


def make_api(control: Control) -> Starlette:
    """The ASGI application."""
    routes = [Route(path, _endpoint(control, handler), methods=[method]) for method, path, handler in ROUTES]
    return Starlette(routes=routes, exception_handlers={HTTPException: _http_problem})


def _endpoint(control: Control, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            answer = await handler(control, request)
        except EdgeError as exc:
            return problem_response(exc)
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception:  # noqa: BLE001  # logged; one bad request must not end the service
            _LOG.exception("%s %s failed", request.method, request.url.path)
            body = Problem(error="FleetError", problem="the service failed", remedy="see the log of `edge fleet serve`")
            return Response(msgspec.json.encode(body), 500, media_type="application/json")
        if isinstance(answer, Response):
            return answer
        return Response(msgspec.json.encode(answer), media_type="application/json")

    return endpoint


async def _http_problem(_: Request, exc: Exception) -> Response:
    status = exc.status_code if isinstance(exc, HTTPException) else 500
    detail = exc.detail if isinstance(exc, HTTPException) else "failed"
    body = Problem(
        error="BadArgumentError", problem=f"no such request: {detail}", remedy="see the routes in docs/fleet.md"
    )
    return Response(msgspec.json.encode(body), status, media_type="application/json")


async def _body(request: Request, limit_bytes: int) -> bytes:
    parts = bytearray()
    async for chunk in request.stream():
        parts += chunk
        if len(parts) > limit_bytes:
            raise BadMessageError(f"the request exceeds {limit_bytes} bytes", remedy="send less at once")
    return bytes(parts)


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    async for chunk in request.stream():
        yield chunk
