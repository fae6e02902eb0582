"""Serve files and repositories on the loopback device, and count who asks for what."""

from __future__ import annotations

import hashlib
import os
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LONG_AGO = 1_000_000_000


@dataclass
class Page:
    """One URL: `status` other than 200 answers so; `cuts` answers first break off in the middle.

    With `ranges` the rest of the content can be asked for alone; `shift` is by how much such an answer is wrong.
    """

    content: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    etag: bool = False
    modified: int | None = None
    cuts: int = 0
    ranges: bool = False
    shift: int = 0
    authorization: str = ""


@dataclass
class Web:
    """A web server; `asked` lists method, path and headers of each request."""

    address: str
    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    answered: Callable[[], object] = lambda: None
    """Called after each answer."""

    def url(self, path: str) -> str:
        return f"http://{self.address}{path}"

    def put(self, path: str, content: bytes | str = b"", **more: object) -> str:
        data = content.encode() if isinstance(content, str) else content
        self.pages[path] = Page(content=data, **more)  # type: ignore[arg-type]
        return self.url(path)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append((handler.path, {name.lower(): value for name, value in handler.headers.items()}))
        known = self.pages.get(handler.path) or self.pages.get(handler.path.partition("?")[0])
        page = known or Page(status=404, content=b"not here")
        headers = dict(page.headers)
        status = page.status
        etag = f'"{hashlib.sha256(page.content).hexdigest()[:16]}"'
        if page.etag:
            headers["ETag"] = etag
        if page.modified is not None:
            headers["Last-Modified"] = formatdate(page.modified, usegmt=True)
        same = page.etag and handler.headers.get("If-None-Match") == etag
        same = same or handler.headers.get("If-Modified-Since", "-") == headers.get("Last-Modified")
        if page.authorization and handler.headers.get("Authorization") != page.authorization:
            status = 401
        elif status == 200 and same:
            status = 304
        body = b"" if status == 304 else page.content
        wanted = handler.headers.get("Range", "")
        still = handler.headers.get("If-Range") in (None, headers.get("ETag"), headers.get("Last-Modified"))
        if page.ranges and status == 200 and wanted and still:
            first = int(wanted.removeprefix("bytes=").removesuffix("-")) + page.shift
            status, body = (206, body[first:]) if first < len(body) else (416, b"")
            headers["Content-Range"] = f"bytes {first}-{len(page.content) - 1}/{len(page.content)}"
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if page.cuts and body:
            page.cuts -= 1
            body = body[: len(body) // 2]
            handler.close_connection = True
        handler.wfile.write(body)
        self.answered()


@contextmanager
def web_server() -> Iterator[Web]:
    web = Web(address="")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            web.answer(self)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        web.address = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield web
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Git:
    """A repository with a work tree, and a bare copy of it that is served by the git protocol."""

    directory: Path
    address: str = ""

    @property
    def work(self) -> Path:
        return self.directory / "work"

    @property
    def bare(self) -> Path:
        return self.directory / "served" / "repo.git"

    @property
    def url(self) -> str:
        return f"git://{self.address}/repo.git"

    def __call__(self, *words: str, at: Path | None = None, seconds: int = LONG_AGO) -> str:
        date = f"{seconds} +0000"
        identity = {"GIT_AUTHOR_NAME": "n", "GIT_AUTHOR_EMAIL": "e@x", "GIT_COMMITTER_NAME": "n"}
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            **identity,
            "GIT_COMMITTER_EMAIL": "e@x",
            "GIT_AUTHOR_DATE": date,
            "GIT_COMMITTER_DATE": date,
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
        }
        result = subprocess.run(
            ["git", "-C", str(at or self.work), *words], env=environment, capture_output=True, check=True, timeout=60
        )
        return result.stdout.decode().strip()

    def commit(self, files: Mapping[str, str], *, message: str = "m", seconds: int = LONG_AGO) -> str:
        """Write files, commit all, bring it to the served copy; returns the commit's id."""
        for name, content in files.items():
            path = self.work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        self("add", "-A")
        self("commit", "-q", "--allow-empty", "-m", message, seconds=seconds)
        self.publish()
        return self("rev-parse", "HEAD")

    def publish(self) -> None:
        """Bring all branches and tags to the served copy."""
        self("push", "-q", "--force", "--mirror", str(self.bare))


def make_repository(directory: Path) -> Git:
    git = Git(directory)
    git.work.mkdir(parents=True)
    git.bare.parent.mkdir()
    git("init", "-q", "-b", "main")
    git("init", "-q", "--bare", "-b", "main", str(git.bare), at=git.bare.parent)
    git("config", "receive.autogc", "false", at=git.bare)  # which goes on when the push has ended
    return git


@contextmanager
def git_server(directory: Path) -> Iterator[str]:
    """Serve the repositories of a directory by the git protocol; gives the address."""
    words = ["git", "daemon", "--inetd", "--export-all", f"--base-path={directory}", str(directory)]

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            environment = {**os.environ, "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory"}
            environment["GIT_CONFIG_VALUE_0"] = "*"
            subprocess.run(
                words,
                stdin=self.request,
                stdout=self.request,
                stderr=subprocess.DEVNULL,
                env=environment,
                check=False,
                timeout=60,
            )

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
