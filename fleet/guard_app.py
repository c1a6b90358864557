"""Who may talk to the people side: an ASGI wrapper around pages and API, for HTTP and websockets.

A browser on this machine will carry any page's requests to 127.0.0.1. So the Host must be one of ours (a foreign name
that resolves here is refused), a request that comes from a page must come from our own page, and whatever changes
something through the API must carry the token, which no foreign page has.
"""

import base64
import binascii
import hmac
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

PRIVATE = "/pictures/"
"""What may show people: the token is needed on loopback too, as it is to ask a device for its pictures."""
_OWN_SITES = {"none", "same-origin"}
"""Of `Sec-Fetch-Site`: typed by a person, or a link of ours; a browser sends the token along, whoever's page asks."""
_READS = {"GET", "HEAD", "OPTIONS"}


def has_token(headers: Headers, token: str) -> bool:
    """`Authorization: Bearer TOKEN`, or the browser's own form: Basic, any user, the token as password."""
    kind, _, given = headers.get("authorization", "").partition(" ")
    if kind.lower() == "basic":
        given = (basic_login(headers) or ("", ""))[1]
    elif kind.lower() != "bearer":
        return False
    return hmac.compare_digest(given.encode(), token.encode())


def basic_login(headers: Headers) -> tuple[str, str] | None:
    """User and password of HTTP Basic."""
    kind, _, given = headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(given, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return user, password


class PeopleGuard:
    """`open_reads`: on loopback, reading needs no token, but for pictures; elsewhere everything does."""

    def __init__(self, app: ASGIApp, *, hosts: Collection[str], token: str, open_reads: bool) -> None:
        self._app, self._hosts, self._token, self._open_reads = app, frozenset(hosts), token, open_reads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or hand on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope, Headers(scope=scope))
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            status, text = refusal
            headers = {"www-authenticate": 'Basic realm="fleet"'} if status == 401 else {}
            await PlainTextResponse(f"{text}\n", status, headers)(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if (urlsplit(f"//{host}").hostname or "") not in self._hosts:
            return 421, "this host is not served here; open the address that `edge fleet serve` printed"
        writes = scope["type"] == "websocket" or scope["method"] not in _READS
        origin = headers.get("origin")
        if writes and origin is not None and urlsplit(origin).netloc != host:
            return 403, "a page of another site may not do this"
        if (private := scope["path"].startswith(PRIVATE)) and headers.get("sec-fetch-site", "none") not in _OWN_SITES:
            return 403, "a page of another site may not ask for this"
        through_api = scope["type"] == "http" and scope["path"].startswith("/api/")
        needs_token = not self._open_reads or private or (writes and through_api)
        if needs_token and not has_token(headers, self._token):
            return 401, "the token in DIR/admin.token is needed"
        return None
