"""A registry that serves from a thread of the test, and a client that sends exactly what a test says."""

from __future__ import annotations

import hashlib
import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from frozen import replace
from runtime.context import Cancel, Context
from runtime.oci.digests import Digest
from runtime.registry.server.serve import Settings, serve
from runtime.store import Store

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of the first error in the body."""
        return str(self.json()["errors"][0]["code"])


class Client:
    """Requests to one registry, each over a connection of its own; `store` is the one it serves from."""

    def __init__(self, url: str, store: Store) -> None:
        parts = urlsplit(url)
        self.url = url
        self.host, self.port = parts.hostname or "", parts.port or 0
        self.store = store
        self.headers: dict[str, str] = {}

    def call(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request; an iterator is sent in chunks, without a length."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            connection.request(method, path, body, {**self.headers, **(headers or {})})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.call("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def begin(self, name: str) -> str:
        """Begin an upload; returns its place."""
        answer = self.call("POST", f"/v2/{name}/blobs/uploads/", b"")
        assert answer.status == 202
        return answer.headers["Location"]

    def push_blob(self, name: str, data: bytes, algorithm: str = "sha256") -> Digest:
        digest = digest_of(data, algorithm)
        answer = self.call("POST", f"/v2/{name}/blobs/uploads/?digest={digest}", data)
        assert answer.status == 201, answer.body
        return digest

    def push_manifest(self, name: str, target: str, document: Mapping[str, object] | bytes) -> Answer:
        data = document if isinstance(document, bytes) else encode(document)
        media_type = json.loads(data)["mediaType"]
        return self.call("PUT", f"/v2/{name}/manifests/{target}", data, {"Content-Type": media_type})

    def push_image(self, name: str, tag: str, *layers: bytes, **fields: object) -> Digest:
        """Push blobs and a manifest; returns its digest."""
        document = image(b"{}", *layers, **fields)
        for blob in (b"{}", *layers):
            self.push_blob(name, blob)
        answer = self.push_manifest(name, tag, document)
        assert answer.status == 201, answer.body
        return digest_of(encode(document))


def digest_of(data: bytes, algorithm: str = "sha256") -> Digest:
    return Digest(f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}")


def encode(document: Mapping[str, object]) -> bytes:
    return json.dumps(document).encode()


def descriptor(media_type: str, data: bytes, **fields: object) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data), **fields}


def image(config: bytes, *layers: bytes, **fields: object) -> dict[str, object]:
    """Write a manifest of blobs."""
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, config),
        "layers": [descriptor(LAYER, layer) for layer in layers],
        **fields,
    }


class StartRegistry(Protocol):
    """See the fixture `start`."""

    def __call__(self, settings: Settings = ..., *, root: Path | None = None) -> Client:
        """Serve until the end of the test."""


@contextmanager
def served(context: Context, settings: Settings) -> Iterator[Client]:
    """Serve in a thread during the block; the open requests are finished at its end."""
    stop = Cancel()
    urls: list[str] = []
    failures: list[BaseException] = []
    ready = threading.Event()

    def announce(url: str) -> None:
        urls.append(url)
        ready.set()

    with Store.open(replace(context, cancel=Cancel())) as store, store.idle():

        def work() -> None:
            try:
                serve(store, settings, stop=stop, ready=announce)
            except BaseException as error:
                failures.append(error)
            finally:
                ready.set()

        thread = threading.Thread(target=work)
        thread.start()
        try:
            ready.wait(60)
            if failures:
                raise failures[0]
            yield Client(urls[0], store)
        finally:
            stop.set(15)
            thread.join(60)
        assert not thread.is_alive()
        if failures:
            raise failures[0]
