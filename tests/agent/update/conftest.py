"""A real TUF repository and real bundles, made here; a server in memory and one over HTTP."""

import base64
import datetime
import hashlib
import http.server
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from edge.bundle import Baseline, Golden, pack
from edge.chunks import Chunk
from edge.chunks import pack as pack_chunk
from edge.errors import TrustError
from edge.manifest import Manifest, Provenance, Quality, TensorInput, TensorSpec, Tolerance, Variant
from edge.messages import ChunkRequest, Wish
from edge.statistics import SCORE_EDGES
from edge_agent.update.chunk_remote import ChunkRemote
from edge_agent.update.folder_remote import FolderRemote
from edge_agent.update.refusal import refusal
from edge_agent.update.remote import Answer
from edge_agent.update.steps import LocalWish

TARGET = "x86-64"


class Repository:
    """Signs what a test publishes; `files` is what the fleet would serve, by path."""

    def __init__(self) -> None:
        self.keys = {role: CryptoSigner.generate_ed25519() for role in ("root", "targets", "snapshot", "timestamp")}
        self.files: dict[str, bytes] = {}
        self.root = Root(expires=self.in_days(3650), consistent_snapshot=True)
        for role, signer in self.keys.items():
            self.root.add_key(signer.public_key, role)
        self.targets = Targets(expires=self.in_days(365))
        self.number = 0
        self.sign()

    @staticmethod
    def in_days(days: float) -> datetime.datetime:
        return (datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)).replace(microsecond=0)

    @property
    def root_json(self) -> str:
        return self.files["metadata/1.root.json"].decode()

    def publish(self, model: str, version: int, data: bytes, /, **custom: Any) -> None:
        path = f"{model}/{model}-{version}.edge"
        signed = {"model": model, "version": version, "target": TARGET, "min_agent": "0.1.0", "floor": 0} | custom
        self.targets.targets[path] = TargetFile(
            len(data), {"sha256": hashlib.sha256(data).hexdigest()}, path, {"custom": signed}
        )
        self.files[f"artifacts/{path}"] = data
        self.sign()

    def publish_delta(
        self, model: str, start: int, end: int, old: bytes, new: bytes, delta: bytes, /, **custom: Any
    ) -> None:
        path = f"{model}/{model}-{start}-{end}.delta"
        about = {"from_sha256": hashlib.sha256(old).hexdigest(), "to_sha256": hashlib.sha256(new).hexdigest()}
        base = {"model": model, "version": end, "target": TARGET, "min_agent": "0.1.0", "floor": 0}
        signed = base | {"from_version": start} | about | custom
        self.targets.targets[path] = TargetFile(
            len(delta), {"sha256": hashlib.sha256(delta).hexdigest()}, path, {"custom": signed}
        )
        self.files[f"artifacts/{path}"] = delta
        self.sign()

    def sign(self, *, days: float = 7, by: dict[str, CryptoSigner] | None = None) -> None:
        """Sign all roles anew, under the next number."""
        self.number += 1
        n, keys = self.number, self.keys | (by or {})
        self.targets.version = n
        snapshot = Snapshot(n, expires=self.in_days(days), meta={"targets.json": MetaFile(n)})
        timestamp = Timestamp(n, expires=self.in_days(days), snapshot_meta=MetaFile(n))
        named = {
            "1.root.json": (self.root, "root"), f"{n}.targets.json": (self.targets, "targets"),
            f"{n}.snapshot.json": (snapshot, "snapshot"), "timestamp.json": (timestamp, "timestamp"),
        }  # fmt: skip
        for name, (signed, role) in named.items():
            metadata = Metadata(signed)
            metadata.sign(keys[role])
            self.files[f"metadata/{name}"] = metadata.to_bytes()


class Shelf:
    """A `Remote` in memory. `cut_after`: bytes of an artifact after which the line breaks, once."""

    def __init__(self, files: dict[str, bytes], *, piece_bytes: int = 1000) -> None:
        self.files, self.piece_bytes = files, piece_bytes
        self.sent: dict[str, int] = {}
        self.down = False
        self.cut_after: int | None = None

    @contextmanager
    def get(self, path: str, *, start: int = 0, etag: str = "") -> Iterator[Answer]:  # noqa: ARG002
        if self.down:
            raise refusal("NETWORK", "no route to the fleet")
        data = self.files.get(path)
        if data is None:
            yield Answer(404, 0, "", iter(()))
        elif start and start >= len(data):
            yield Answer(416, 0, "", iter(()))
        else:
            yield Answer(206 if start else 200, start, '"e"', self._pieces(path, data, start))

    def _pieces(self, path: str, data: bytes, start: int) -> Iterator[bytes]:
        for at in range(start, len(data), self.piece_bytes):
            if self.cut_after is not None and path.startswith("artifacts") and at - start >= self.cut_after:
                self.cut_after = None
                raise refusal("NETWORK", "the line broke")
            piece = data[at : at + self.piece_bytes]
            self.sent[path] = self.sent.get(path, 0) + len(piece)
            yield piece


class HttpShelf:
    """The same files over real HTTP with ranges. `trouble` may answer a request itself, and return True."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files, self.asked = files, list[tuple[str, str]]()
        self.trouble: Callable[[http.server.BaseHTTPRequestHandler, bytes], bool] = lambda _handler, _data: False
        shelf = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                shelf.answer(self)

            def log_message(self, *_args: Any) -> None:
                """Stay quiet."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_args: None  # type: ignore[method-assign]
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range", "")
        self.asked.append((handler.path, wanted))
        data = self.files.get(handler.path[1:])
        if handler.headers.get("Authorization") != "Basic " + base64.b64encode(b"car-1:secret").decode():
            data = None
        if data is not None and self.trouble(handler, data):
            return
        first = int(match[1]) if (match := re.match(r"bytes=(\d+)-$", wanted)) else 0
        etag = '"' + hashlib.sha256(data or b"").hexdigest()[:16] + '"'
        if handler.headers.get("If-Range", etag) != etag:
            first = 0
        body = (data or b"")[first:]
        handler.send_response(404 if data is None else 206 if first else 200)
        handler.send_header("Content-Length", str(len(body)))
        handler.send_header("ETag", etag)
        if first:
            handler.send_header("Content-Range", f"bytes {first}-{len(data or b'') - 1}/{len(data or b'')}")
        handler.end_headers()
        handler.wfile.write(body)


def _bundle_bytes(folder: Path, name: str, version: int, target: str = TARGET) -> bytes:
    """A bundle that opens; its model is no model, for nothing here runs it."""
    model = f"model {version}".encode() * 3000
    size = {"file": "model.tflite", "sha256": hashlib.sha256(model).hexdigest(), "size_bytes": len(model)}
    spec = {"input": TensorSpec(name="x", shape=(1, 4), dtype="float32")}
    outputs = (TensorSpec(name="y", shape=(1, 2), dtype="float32"),)
    manifest = Manifest(
        name=name, version=version, target=target, labels=("go", "stop"), input=TensorInput(shape=(1, 4)),
        variants=(Variant(runtime="litert", dtype="float32", outputs=outputs, **size, **spec),),
        quality=Quality(
            metric="accuracy", reference=0.9, compiled=0.9, drop=0.0, ci95=(0.0, 0.0), agreement=1.0, samples=100
        ),
        golden=Tolerance(atol=0.01, rtol=0.01),
        provenance=Provenance(source_sha256="0" * 64, data_sha256="0" * 64, tools={}, recipe={}),
    )  # fmt: skip
    scores = np.zeros(len(SCORE_EDGES) + 1, np.int64)
    scores[-3:] = 200
    baseline = Baseline(scores, np.array([300, 300], np.int64), np.zeros(1, np.float32), np.ones(1, np.float32))
    golden = Golden(np.zeros((2, 4), np.float32), np.zeros((2, 2), np.float32))
    path = pack(
        folder / f"{name}-{version}.edge", manifest, files={"model.tflite": model}, golden=golden, baseline=baseline
    )
    return path.read_bytes()


@pytest.fixture
def repository() -> Repository:
    return Repository()


@pytest.fixture
def another_repository() -> Repository:
    return Repository()


@pytest.fixture
def make_bundle(tmp_path: Path) -> Callable[..., bytes]:
    def make(name: str = "light", version: int = 1, target: str = TARGET) -> bytes:
        return _bundle_bytes(tmp_path, name, version, target)

    return make


@pytest.fixture
def shelf(repository: Repository) -> Shelf:
    return Shelf(repository.files)


@pytest.fixture
def http_shelf(repository: Repository) -> Iterator[HttpShelf]:
    shelf = HttpShelf(repository.files)
    yield shelf
    shelf.server.shutdown()
    shelf.server.server_close()


# --- the same update over every way -----------------------------------------------------------------


class Way:
    """One way from the fleet to the device, which may be cut once. What is fetched is version 2 of `light`."""

    fetched = "artifacts/light/light-2.edge"
    """The file whose bytes count."""
    slack_bytes = 0
    """By how much less than a block may be sent again, besides what a device asks for ahead."""

    def __init__(self, repository: Repository, folder: Path) -> None:
        self.repository, self.folder = repository, folder
        self.sent_bytes = 0
        self.cut_at: int | None = None

    @property
    def remote(self) -> Any:
        """What the device is given."""
        return self

    @property
    def size_bytes(self) -> int:
        return len(self.repository.files[self.fetched])

    def publish(self, old: bytes, new: bytes, delta: bytes) -> None:  # noqa: ARG002
        self.repository.publish("light", 1, old)
        self.repository.publish("light", 2, new)

    def wish(self, version: int) -> Wish:
        return Wish(version=version, order=version)

    def take(self, path: str, piece: bytes) -> bytes:
        """Count a piece on its way, or break the line."""
        if path == self.fetched:
            if self.cut_at is not None and self.sent_bytes >= self.cut_at:
                self.cut_at = None
                raise refusal("NETWORK", "the line broke")
            self.sent_bytes += len(piece)
        return piece


class HttpWay(Way):
    """Over HTTP: a `Remote` in memory, a piece at a time."""

    slack_bytes = 1000

    @contextmanager
    def get(self, path: str, *, start: int = 0, etag: str = "") -> Iterator[Answer]:
        with Shelf(self.repository.files).get(path, start=start, etag=etag) as answer:
            pieces = (self.take(path, piece) for piece in answer.pieces)
            yield Answer(answer.status, answer.start, answer.etag, pieces)


class DeltaWay(HttpWay):
    """Over HTTP, by a difference."""

    fetched = "artifacts/light/light-1-2.delta"

    def publish(self, old: bytes, new: bytes, delta: bytes) -> None:
        super().publish(old, new, delta)
        self.repository.publish_delta("light", 1, 2, old, new, delta)


class MqttWay(Way):
    """Over MQTT: the real `ChunkRemote`, with a fleet at the other end of a line in memory."""

    def __init__(self, repository: Repository, folder: Path) -> None:
        super().__init__(repository, folder)
        self.connected = True

    @property
    def remote(self) -> Any:
        made = ChunkRemote(self, ahead_bytes=BLOCK_BYTES // 3, timeout_s=0.03)
        self.hear, self.connected = made.heard, True
        return made

    def ask(self, request: ChunkRequest) -> None:
        data = self.repository.files.get(request.path)
        if data is None:
            self.hear(pack_chunk(Chunk(request.id, 404, 0, 0, "")))
            return
        piece = data[request.offset : request.offset + request.size_bytes]
        try:
            self.take(request.path, piece)
        except TrustError:
            return  # lost on the way
        self.hear(pack_chunk(Chunk(request.id, 206, request.offset, len(data), "e", piece)))


class FolderWay(Way):
    """From a folder: the real `FolderRemote`, its pieces counted."""

    slack_bytes = 0

    def __init__(self, repository: Repository, folder: Path) -> None:
        super().__init__(repository, folder)
        self.down = Shelf({})
        self.down.down = True

    @property
    def remote(self) -> Any:
        return self.down  # no network

    def publish(self, old: bytes, new: bytes, delta: bytes) -> None:
        super().publish(old, new, delta)
        self.write()

    def write(self) -> None:
        for name, data in self.repository.files.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_bytes(data)

    def wish(self, version: int) -> Wish:
        return LocalWish(version=version, folder=str(self.folder))


WAYS: dict[str, type[Way]] = {"http": HttpWay, "mqtt": MqttWay, "folder": FolderWay, "delta": DeltaWay}
BLOCK_BYTES = 3072


@pytest.fixture(params=list(WAYS))
def way(request: pytest.FixtureRequest, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Way:
    """Each way in turn."""
    made = WAYS[request.param](repository, tmp_path / "stick")
    real = FolderRemote._pieces  # counts, and breaks, what is read of a folder

    def counted(remote: FolderRemote, descriptor: int, start: int, path: str) -> Iterator[bytes]:
        whole = b"".join(real(remote, descriptor, start, path))
        for at in range(0, len(whole), 500):
            yield made.take(path, whole[at : at + 500])

    monkeypatch.setattr(FolderRemote, "_pieces", counted)
    return made
