from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from frozen import replace
from runtime.cli import importimage
from runtime.cli.arguments import read_arguments
from runtime.context import Context
from runtime.errors import PybuildError


def tree() -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as tar:
        info = tarfile.TarInfo("file")
        info.size = 50_000
        tar.addfile(info, io.BytesIO(b"x" * 50_000))
    return output.getvalue()


class Handler(BaseHTTPRequestHandler):
    data: ClassVar[bytes] = tree()

    def do_GET(self) -> None:
        if self.path == "/redirect":
            self.send_response(302)
            self.send_header("Location", "/root.tar")
            self.end_headers()
            return
        if self.path not in {"/root.tar", "/short.tar"}:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.data)))
        self.end_headers()
        self.wfile.write(self.data if self.path == "/root.tar" else self.data[:30_000])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class has this name
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def run(context: Context, *words: str) -> str:
    output = io.StringIO()
    assert importimage.run(read_arguments(importimage.VERB, words), replace(context, stdout=output)) == 0
    return output.getvalue()


@pytest.mark.parametrize("path", ["/root.tar", "/redirect"])
def test_a_tar_is_imported_from_a_url(context: Context, server: str, path: str) -> None:
    assert run(context, server + path, "web:1").startswith("sha256:")


@pytest.mark.parametrize(
    ("path", "message"),
    [("/short.tar", "before its end|to its end"), ("/nothing", "404"), (":1/x", "cannot be fetched: [^<]+$")],
)
def test_what_cannot_be_fetched_is_named(context: Context, server: str, path: str, message: str) -> None:
    url = server + path if path.startswith("/") else "http://127.0.0.1" + path
    with pytest.raises(PybuildError, match=message):
        run(context, url)
    assert run(replace(context, stdout=io.StringIO()), server + "/root.tar")


def test_nothing_is_fetched_offline(context: Context, server: str) -> None:
    with pytest.raises(PybuildError, match="offline"):
        run(replace(context, offline=True), server + "/root.tar")
