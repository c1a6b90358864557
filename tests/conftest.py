"""For all tests: nothing is taken from, or left in, the user's own cache; a PostgreSQL for those that want one."""

import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Point the cache folder at an empty one, for this process and all that it starts."""
    before, folder = os.environ.get("XDG_CACHE_HOME"), tmp_path_factory.mktemp("cache")
    os.environ["XDG_CACHE_HOME"] = str(folder)
    yield folder
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before


def postgres_tool(name: str) -> str | None:
    found = [str(path) for path in Path("/usr/lib/postgresql").glob(f"*/bin/{name}")]
    return sorted(found)[-1] if found else shutil.which(name)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A private cluster: own folder, own socket, own port; ends with the session."""
    sqlalchemy = pytest.importorskip("sqlalchemy")
    initdb, postgres = postgres_tool("initdb"), postgres_tool("postgres")
    if not initdb or not postgres:
        pytest.skip("PostgreSQL is not installed: apt install postgresql")
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder = Path(tempfile.mkdtemp(prefix="edgewright-pg-"))
    if as_user:
        shutil.chown(folder, "postgres")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = str(folder / "data")
    made = subprocess.run(
        [*as_user, initdb, "-D", data, "-A", "trust", "-U", "edge", "--no-sync", "-E", "UTF8"],
        capture_output=True, text=True, check=False, cwd=folder,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"initdb does not work here: {made.stderr[-300:]}")
    options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
    server = subprocess.Popen(
        [*as_user, postgres, "-D", data, "-p", str(port), *options], cwd=folder, stderr=subprocess.DEVNULL
    )
    url = f"postgresql+psycopg://edge@/postgres?host={folder}&port={port}"
    try:
        for _ in range(300):
            try:
                sqlalchemy.create_engine(url).connect().close()
                break
            except sqlalchemy.exc.OperationalError:
                assert server.poll() is None, "the server ended"
                threading.Event().wait(0.1)
        yield url
    finally:
        server.terminate()
        server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)
