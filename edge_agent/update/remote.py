"""The fleet's files over HTTP: metadata and artifacts. A time limit on every read, and nobody trusted but its CA."""

import ssl
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from edge.enrolment import Enrolment
from edge_agent.update.refusal import refusal

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

PIECE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer. `start`: first byte it holds, from Content-Range; 0 when it holds the whole file."""

    status: int
    start: int
    etag: str
    pieces: Iterator[bytes]


class Remote(Protocol):
    """Where metadata and artifacts come from."""

    def get(self, path: str, *, start: int = 0, etag: str = "") -> AbstractContextManager[Answer]:
        """Ask for a file from byte `start` on, whole if its `etag` is no longer that. Raises TrustError (NETWORK)."""


class HttpRemote:
    """Below `http_url` of the enrolment, as the enrolled device."""

    def __init__(self, enrolment: Enrolment, *, timeout_s: float) -> None:
        """Connect lazily. `timeout_s` bounds connecting and each single read."""
        import urllib3

        context = ssl.create_default_context(cadata=enrolment.ca_pem) if enrolment.ca_pem else None
        self._url = enrolment.http_url.rstrip("/")
        self._headers = urllib3.make_headers(basic_auth=f"{enrolment.username}:{enrolment.password}")
        self._pool = urllib3.PoolManager(
            num_pools=1, maxsize=1, ssl_context=context, retries=False, timeout=urllib3.Timeout(timeout_s)
        )

    @contextmanager
    def get(self, path: str, *, start: int = 0, etag: str = "") -> Iterator[Answer]:
        """See `Remote`."""
        url = f"{self._url}/{path}"
        headers = dict(self._headers)
        if start:
            headers["Range"] = f"bytes={start}-"
            if etag:
                headers["If-Range"] = etag
        with _network_errors(url):
            response = self._pool.request("GET", url, headers=headers, preload_content=False, redirect=False)
        try:
            yield Answer(
                response.status,
                _range_start(response.headers.get("Content-Range", "")),
                response.headers.get("ETag", ""),
                _pieces(url, response),
            )
        finally:
            response.close()


def _pieces(url: str, response: "BaseHTTPResponse") -> Iterator[bytes]:
    with _network_errors(url):
        yield from response.stream(PIECE_BYTES, decode_content=False)


@contextmanager
def _network_errors(url: str) -> Iterator[None]:
    """Only around what the network does: the reader's own errors (a full disk) are OSErrors too, and stay theirs."""
    import urllib3

    try:
        yield
    except (urllib3.exceptions.HTTPError, OSError) as exc:
        raise refusal("NETWORK", f"{url}: {exc}") from exc


def _range_start(content_range: str) -> int:
    """First byte of `bytes 100-199/200`; 0 when there is no such header."""
    first = content_range.removeprefix("bytes ").partition("-")[0]
    return int(first) if first.isdigit() else 0
