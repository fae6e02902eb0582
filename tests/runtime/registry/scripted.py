"""A registry in memory whose answers can be spoiled: what hostile and failing servers do, on purpose."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


@dataclass
class Answer:
    """What is sent; `length` is the Content-Length if it is to be another one, -1 for none at all."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    length: int | None = None
    cut: int | None = None
    """The connection is reset after so many bytes of the body."""
    stall: float = 0
    """Seconds of silence after `cut` bytes, before the connection ends."""
    drop: bool = False
    """The connection ends without any answer."""
    raw: bytes | None = None
    """Sent in place of everything."""


Handler = Callable[[Request], Answer]


@dataclass
class _Fault:
    method: str
    part: str
    answer: Answer | Handler
    times: int


class ScriptedServer:
    """An HTTP server on a loopback port; `handler` answers what no fault spoils. A context manager."""

    def __init__(self, handler: Handler, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self._handler = handler
        self._tls = tls
        self._faults: list[_Fault] = []
        self.requests: list[Request] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._ended = threading.Event()
        self.connections = 0

    def fault(self, method: str, part: str, answer: Answer | Handler, *, times: int = 1) -> None:
        """Answer the next `times` requests of `method` whose path has `part` in it with `answer`."""
        self._faults.append(_Fault(method, part, answer, times))

    def asked(self, method: str, part: str = "") -> list[Request]:
        """List the requests so far."""
        return [request for request in self.requests if request.method == method and part in request.path]

    def __enter__(self) -> ScriptedServer:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        with self._lock:
            for connection in self._open:
                try:
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
                except OSError:
                    pass
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._start(self._serve, connection)

    def _serve(self, plain: socket.socket) -> None:
        connection = plain
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(plain, server_side=True)
            with self._lock:
                self._open.add(connection)
            with connection.makefile("rb") as reader:
                while (request := _read(reader)) is not None:
                    self.requests.append(request)
                    if not self._answer(connection, request):
                        break
        except (OSError, ValueError):
            pass
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _answer(self, connection: socket.socket, request: Request) -> bool:
        """Send the answer; tells whether the connection goes on."""
        answer = self._chosen(request)
        if answer.drop:
            return False
        if answer.raw is not None:
            connection.sendall(answer.raw)
            return False
        length = len(answer.body) if answer.length is None else answer.length
        head = [f"HTTP/1.1 {answer.status} X", *(f"{name}: {value}" for name, value in answer.headers.items())]
        if length >= 0 and answer.status != 204:
            head.append(f"Content-Length: {length}")
        body = b"" if request.method == "HEAD" else answer.body
        connection.sendall("\r\n".join((*head, "", "")).encode() + body[: answer.cut])
        if answer.stall:
            self._ended.wait(answer.stall)
            return False
        return answer.cut is None and length == len(answer.body)

    def _chosen(self, request: Request) -> Answer:
        answer: Answer | Handler = self._handler
        with self._lock:
            for fault in self._faults:
                if fault.times > 0 and fault.method == request.method and fault.part in request.path:
                    fault.times -= 1
                    answer = fault.answer
                    break
        return answer if isinstance(answer, Answer) else answer(request)


def _read(reader: object) -> Request | None:
    line = reader.readline(65536)  # type: ignore[attr-defined]
    if not line:
        return None
    method, target, _ = line.decode("latin-1").split(" ", 2)
    headers: dict[str, str] = {}
    while (line := reader.readline(65536)) not in (b"\r\n", b"\n", b""):  # type: ignore[attr-defined]
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    body = reader.read(int(headers.get("content-length", "0")))  # type: ignore[attr-defined]
    parts = urlsplit(target)
    query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    return Request(method, parts.path, query, headers, body)


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def error(status: int, code: str, message: str, **headers: str) -> Answer:
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


class MemoryRegistry:
    """The distribution protocol over dicts: enough of it for a client."""

    def __init__(self) -> None:
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.uploads: dict[str, bytes] = {}
        self.referrers_api = True
        self.commit = threading.Event()

    def add_blob(self, name: str, data: bytes) -> str:
        self.blobs[name, digest_of(data)] = data
        return digest_of(data)

    def add_manifest(self, name: str, tag: str, media_type: str, data: bytes) -> str:
        for target in (tag, digest_of(data)):
            self.manifests[name, target] = (media_type, data)
        return digest_of(data)

    def __call__(self, request: Request) -> Answer:
        if request.path == "/v2/":
            return Answer(200, body=b"{}")
        for pattern, handler in (
            (r"/v2/(.+)/manifests/(.+)", self._manifest),
            (r"/v2/(.+)/blobs/uploads/(.*)", self._upload),
            (r"/v2/(.+)/blobs/(.+)", self._blob),
            (r"/v2/(.+)/tags/(list)", self._tags),
            (r"/v2/(.+)/referrers/(.+)", self._referrers),
        ):
            if match := re.fullmatch(pattern, request.path):
                return handler(request, match[1], match[2])
        return error(404, "NOT_FOUND", "no such page")

    def _manifest(self, request: Request, name: str, target: str) -> Answer:
        if request.method == "PUT":
            digest = self.add_manifest(name, target, request.headers["content-type"], request.body)
            subject = json.loads(request.body).get("subject")
            noted = {"OCI-Subject": subject["digest"]} if subject and self.referrers_api else {}
            return Answer(201, {"Docker-Content-Digest": digest, **noted})
        found = self.manifests.get((name, target))
        if found is None:
            return error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        if request.method == "DELETE":
            return Answer(202)
        return Answer(200, {"Content-Type": found[0], "Docker-Content-Digest": digest_of(found[1])}, found[1])

    def _blob(self, request: Request, name: str, digest: str) -> Answer:
        data = self.blobs.get((name, digest))
        if data is None:
            return error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        match = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
        if match:
            start = int(match[1])
            return Answer(206, {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}, data[start:])
        return Answer(200, body=data)

    def _upload(self, request: Request, name: str, key: str) -> Answer:
        if request.method == "POST":
            mounted = (request.query.get("from", ""), request.query.get("mount", ""))
            if mounted in self.blobs:
                self.blobs[name, mounted[1]] = self.blobs[mounted]
                return Answer(201)
            key = str(len(self.uploads))
            self.uploads[key] = b""
        elif key not in self.uploads:
            return error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        elif request.method in ("PATCH", "PUT"):
            start = re.match(r"(\d+)-", request.headers.get("content-range", ""))
            if start and int(start[1]) != len(self.uploads[key]):
                return error(416, "RANGE_INVALID", "out of order")
            self.uploads[key] += request.body
            if request.method == "PUT":
                return self._finish(request, name, key)
        range_ = {"Range": f"0-{max(len(self.uploads[key]) - 1, 0)}"}
        status = 204 if request.method == "GET" else 202
        return Answer(status, {"Location": f"/v2/{name}/blobs/uploads/{key}?state=a%2Fb", **range_})

    def _finish(self, request: Request, name: str, key: str) -> Answer:
        data = self.uploads.pop(key)
        if digest_of(data) != request.query["digest"]:
            return error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        return Answer(201, {"Docker-Content-Digest": self.add_blob(name, data)})

    def _tags(self, request: Request, name: str, _: str) -> Answer:
        tags = sorted(target for repository, target in self.manifests if repository == name and ":" not in target)
        if not tags:
            return error(404, "NAME_UNKNOWN", "repository name not known to registry")
        count, last = int(request.query.get("n", "1000")), request.query.get("last", "")
        page = [tag for tag in tags if tag > last][:count]
        more = page and page[-1] != tags[-1]
        link = {"Link": f'</v2/{name}/tags/list?n={count}&last={page[-1]}>; rel="next"'} if more else {}
        return Answer(200, link, json.dumps({"name": name, "tags": page}).encode())

    def _referrers(self, _: Request, name: str, digest: str) -> Answer:
        if not self.referrers_api:
            return error(404, "NOT_FOUND", "page not found")
        found = []
        for (repository, target), (media_type, data) in self.manifests.items():
            document = json.loads(data)
            if repository == name and ":" in target and (document.get("subject") or {}).get("digest") == digest:
                found.append(
                    {
                        "mediaType": media_type,
                        "digest": target,
                        "size": len(data),
                        "artifactType": document.get("artifactType", ""),
                    }
                )
        body = json.dumps({"schemaVersion": 2, "manifests": found}).encode()
        return Answer(200, {"Content-Type": "application/vnd.oci.image.index.v1+json"}, body)


class TokenServer:
    """Guards a handler with bearer tokens and is their server, too; each token serves `uses` requests."""

    def __init__(self, inner: Handler, *, password: str = "sesame", anonymous: bool = False) -> None:
        self._inner = inner
        self.password = password
        self.anonymous = anonymous
        self.realm = ""
        self.uses = 1000
        self.expires_in = 300
        self.given: list[Request] = []
        self._tokens: dict[str, int] = {}
        self.scopes: dict[str, str] = {}

    def __call__(self, request: Request) -> Answer:
        if request.path == "/token":
            return self.token(request)
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self._tokens.get(token, 0) <= 0:
            challenge = f'Bearer realm="{self.realm}",service="registry"'
            return error(401, "UNAUTHORIZED", "authentication required", WWW_Authenticate=challenge)
        self._tokens[token] -= 1
        return self._inner(request)

    def token(self, request: Request) -> Answer:
        import base64

        self.given.append(request)
        allowed = "Basic " + base64.b64encode(f"user:{self.password}".encode()).decode()
        said = request.headers.get("authorization")
        if request.method == "POST":
            form = parse_qs(request.body.decode())
            if form.get("refresh_token") != ["refresh-me"]:
                return error(401, "UNAUTHORIZED", "bad refresh token")
        elif said != allowed and not (self.anonymous and said is None):
            return error(401, "UNAUTHORIZED", "authentication required")
        token = f"token-{len(self.given)}-{time.monotonic_ns()}"
        self._tokens[token] = self.uses
        body = {"token": token, "expires_in": self.expires_in}
        if request.query.get("offline_token") == "true":
            body["refresh_token"] = "refresh-me"
        return Answer(200, body=json.dumps(body).encode())
