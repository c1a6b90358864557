"""The web child: `python -m fleet.web DIR`. Two sides, one process; it reads files and forwards the API, no more.

Device side (HTTPS): `/metadata/*` and `/artifacts/*` for a device's own credential, with Range and ETag; `/api/*` for
the token. People side (plain HTTP on loopback, HTTPS with the token elsewhere): the dashboard, `/api/*`, `/reports/*`.
"""

import asyncio
import importlib.util
import logging
import re
import sys
from pathlib import Path

import httpx
import msgspec
import uvicorn
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from edge.errors import EdgeError, FleetError
from fleet import asgi_server
from fleet import settings as service_settings
from fleet.answers import Problem
from fleet.client import FleetClient
from fleet.config import FleetFolder
from fleet.guard_app import PeopleGuard, basic_login, has_token
from fleet.passwords import PasswordFile
from fleet.ports import is_loopback, socket_address
from fleet.problems import problem_response
from fleet.served import etag_of, find_served
from fleet.settings import ServiceSettings

_REPORT = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
_REPORT_HEADERS = {"content-security-policy": "sandbox", "x-content-type-options": "nosniff"}
"""A report is somebody's HTML: it runs no script and belongs to no origin."""
_METHODS = ["GET", "POST", "PUT"]
GRACE_S = 3
"""How long a browser's open page may hold up the end."""
log = logging.getLogger("fleet.web")


class Forward:
    """Hands API requests on to the control process, both ways as a stream."""

    def __init__(self, folder: FleetFolder) -> None:
        transport = httpx.AsyncHTTPTransport(uds=socket_address(folder.socket), verify=False)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://fleet", timeout=60)

    async def handle(self, request: Request) -> Response:
        """Forward one request; who may send it was decided before."""
        body = request.stream() if request.method in ("POST", "PUT") else None
        onward = self._client.build_request(request.method, request.url.path, content=body)
        try:
            answer = await self._client.send(onward, stream=True)
        except httpx.TransportError as exc:
            return problem_response(FleetError(f"the control process is away: {exc}", remedy="try again in a moment"))
        return StreamingResponse(
            answer.aiter_raw(),
            answer.status_code,
            media_type=answer.headers.get("content-type"),
            background=BackgroundTask(answer.aclose),
        )


def device_app(folder: FleetFolder) -> Starlette:
    """What devices, and publishers from elsewhere, reach."""
    passwords, token, forward = PasswordFile(folder.passwords), folder.token(), Forward(folder)

    def admitted(request: Request) -> bool:
        login = basic_login(request.headers)
        return login is not None and passwords.accepts(*login)

    async def metadata(request: Request) -> Response:
        name = request.path_params["name"]
        if not admitted(request):
            return _unauthorised()
        path = find_served(folder, f"metadata/{name}")
        if path is None:
            return PlainTextResponse("not found\n", 404)
        headers = {"cache-control": "no-cache", "etag": f'"{etag_of(path.stat())}"'}
        return FileResponse(path, media_type="application/json", headers=headers)

    async def artifact(request: Request) -> Response:
        target = f"{request.path_params['model']}/{request.path_params['file']}"
        if not admitted(request):
            return _unauthorised()
        path = find_served(folder, f"artifacts/{target}")
        if path is None:
            return PlainTextResponse("not found\n", 404)
        return FileResponse(path, media_type="application/octet-stream", headers={"etag": f'"{etag_of(path.stat())}"'})

    async def api(request: Request) -> Response:
        return await forward.handle(request) if has_token(request.headers, token) else _no_token()

    return Starlette(
        routes=[
            Route("/metadata/{name}", metadata),
            Route("/artifacts/{model}/{file}", artifact),
            Route("/api/{path:path}", api, methods=_METHODS),
        ]
    )


def people_app(folder: FleetFolder, settings: ServiceSettings) -> ASGIApp:
    """What people open in a browser."""
    app, forward = FastAPI(openapi_url=None, docs_url=None, redoc_url=None), Forward(folder)

    async def report(request: Request) -> Response:
        bundle, name = request.path_params["bundle"], request.path_params["name"]
        path = folder.reports / bundle / name
        if not (_REPORT.fullmatch(bundle) and _REPORT.fullmatch(name) and path.is_file()):
            return PlainTextResponse("not found\n", 404)
        return FileResponse(path, headers=_REPORT_HEADERS)

    app.router.routes.append(Route("/api/{path:path}", forward.handle, methods=_METHODS))
    app.router.routes.append(Route("/reports/{bundle}/{name}", report))
    if importlib.util.find_spec("nicegui"):
        _mount_dashboard(app, folder, settings)
    hosts = {"127.0.0.1", "localhost", "::1", settings.page_bind, folder.config().host}
    return PeopleGuard(app, hosts=hosts, token=folder.token(), open_reads=is_loopback(settings.page_bind))


def _mount_dashboard(app: FastAPI, folder: FleetFolder, settings: ServiceSettings) -> None:
    from fleet.dashboard import mount
    from fleet.dashboard.reader import StoreReader
    from fleet.store import open_store

    client = FleetClient.local(folder.root)
    reader = StoreReader(open_store(settings.store_url), lambda: tuple(reversed(client.rollouts())))
    mount(app, reader=reader, control=client, pictures=client)


def _unauthorised() -> Response:
    return PlainTextResponse("the device's credential is needed\n", 401, {"www-authenticate": 'Basic realm="fleet"'})


def _no_token() -> Response:
    problem = Problem(
        error="TrustError", problem="the token is missing or wrong", remedy="pass --token DIR/admin.token"
    )
    return Response(msgspec.json.encode(problem), 401, media_type="application/json")


def _server(app: ASGIApp, host: str, port: int, folder: FleetFolder, *, tls: bool) -> asgi_server.Server:
    return asgi_server.Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
            ssl_certfile=str(folder.tls / "server.pem") if tls else None,
            ssl_keyfile=str(folder.tls / "server.key") if tls else None,
        )
    )


async def serve(folder: FleetFolder) -> None:
    """Run both sides until SIGTERM."""
    settings = service_settings.load(folder)
    servers = (
        _server(device_app(folder), settings.bind, settings.http_port, folder, tls=True),
        _server(
            people_app(folder, settings),
            settings.page_bind,
            settings.page_port,
            folder,
            tls=not is_loopback(settings.page_bind),
        ),
    )
    await asgi_server.serve(servers)


def main() -> int:
    """Entry of the child process."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s: %(message)s")
    try:
        asyncio.run(serve(FleetFolder(Path(sys.argv[1]).resolve())))
    except EdgeError as exc:
        log.error("%s", exc)  # noqa: TRY400  # it says what to do; a trace says nothing more
        return exc.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
