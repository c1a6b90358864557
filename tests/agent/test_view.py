"""The local view: what it shows of a real agent, and what it refuses."""

import http.client
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import cv2
import numpy as np
import pytest

from edge.errors import PortTakenError
from edge_agent.view.page import PAGE
from edge_agent.view.server import Newest, make_server

WAIT_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ask(port: int, place: str, method: str = "GET", host: str = "127.0.0.1") -> tuple[int, dict[str, str], bytes]:
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        line.request(method, place, headers={"Host": f"{host}:{port}"})
        answer = line.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        line.close()


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    server = make_server("127.0.0.1", 0, Newest("desk-1", "light"))
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_view_of_a_real_agent_shows_frame_decision_and_latency(
    make_bundle: Callable[..., Path], make_config: Callable[..., Path], start_agent: Any
) -> None:
    port = free_port()
    agent = start_agent(make_config(fps=20, more=f"view: {{port: {port}}}\n"), make_bundle())
    agent.goes()
    seen: dict[str, Any] = {}

    def decided() -> bool:
        seen.update(json.loads(ask(port, "/state.json")[2]))
        return bool(seen["frame"])

    agent.until(decided, "a decision in the view")
    assert (seen["device"], seen["model"], seen["version"]) == ("desk-1", "light", 1)
    assert (seen["action"], seen["label"]) == ("go", "green")
    assert 0.9 < seen["score"] <= 1
    assert 0 < seen["loop_ms"] <= seen["age_ms"] < 10_000
    status, headers, data = ask(port, "/frame.png?7")
    assert (status, headers["Content-Type"]) == (200, "image/png")
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (16, 16, 3)
    assert (picture == (0, 200, 0)).all()
    frame = seen["frame"]
    agent.until(lambda: decided() and seen["frame"] > frame, "the next frame")
    assert agent.stop() == 0


def test_before_the_first_decision_it_answers_too(server: ThreadingHTTPServer) -> None:
    port = server.server_port
    assert json.loads(ask(port, "/state.json")[2])["frame"] == 0
    assert ask(port, "/")[2] == PAGE
    assert ask(port, "/frame.png")[2].startswith(b"\x89PNG")
    status, headers, body = ask(port, "/", "HEAD")
    assert (status, headers["Content-Length"], body) == (200, str(len(PAGE)), b"")
    assert ask(port, "/../../etc/passwd")[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(server: ThreadingHTTPServer, method: str) -> None:
    assert ask(server.server_port, "/state.json", method)[0] == 501


def test_a_page_of_another_site_cannot_look_through_a_name_of_its_own(server: ThreadingHTTPServer) -> None:
    port = server.server_port
    assert ask(port, "/state.json", host="evil.example")[0] == 421
    assert ask(port, "/state.json", host="localhost")[0] == 200
    headers = ask(port, "/")[1]
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "Access-Control-Allow-Origin" not in headers


def test_the_page_needs_nothing_from_anybody_else() -> None:
    assert re.findall(rb"https?://|//[a-z]", PAGE) == []
    assert b"<form" not in PAGE


def test_a_visitor_that_says_nothing_keeps_nobody_waiting(server: ThreadingHTTPServer) -> None:
    with socket.create_connection(("127.0.0.1", server.server_port)):
        assert ask(server.server_port, "/state.json")[0] == 200


def test_a_port_that_is_taken_is_told(server: ThreadingHTTPServer) -> None:
    with pytest.raises(PortTakenError, match=str(server.server_port)):
        make_server("127.0.0.1", server.server_port, Newest("d", "m"))


def test_a_browser_shows_the_decision(
    make_bundle: Callable[..., Path], make_config: Callable[..., Path], start_agent: Any, tmp_path: Path
) -> None:
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no chromium is installed")
    port = free_port()
    agent = start_agent(make_config(fps=20, more=f"view: {{port: {port}}}\n"), make_bundle())
    agent.goes()
    time.sleep(1.0)
    command = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'browser'}",
        "--virtual-time-budget=3000", "--dump-dom", f"http://127.0.0.1:{port}/",
    ]  # fmt: skip
    page = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=True).stdout
    assert '<dd id="action">go</dd>' in page
    assert '<dd id="state">decides</dd>' in page
