"""The verb as a process: how it starts, stops, dies, and what it takes of the memory."""

from __future__ import annotations

import hashlib
import http.client
import os
import select
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from runtime.cli.registryserve import dangers, read_address
from runtime.context import Context
from runtime.errors import UsageError
from runtime.registry.server.serve import Settings
from runtime.store import Store
from runtime.store.check import check
from tests.runtime.registry.server.clients import StartRegistry, digest_of

PROGRAM = "from builder.cli.main import main; main()"
MIB = 1 << 20

Run = Callable[..., "Process"]


class Process:
    """A server of its own, whose URL is known."""

    def __init__(self, context: Context, *flags: str) -> None:
        command = [sys.executable, "-c", PROGRAM, "--root", str(context.layout.root), "registry", "serve", *flags]
        self.popen = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.popen.stderr is not None
        self.first = self.popen.stderr.readline()
        self.url = self.first.removeprefix("listening on ").strip()
        parts = urlsplit(self.url)
        self.host, self.port = parts.hostname or "", parts.port or 0

    def call(self, method: str, path: str, body: bytes | None = None) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        connection.request(method, path, body)
        response = connection.getresponse()
        response.body = response.read()  # type: ignore[attr-defined]
        connection.close()
        return response

    def end(self, number: int = signal.SIGTERM) -> int:
        self.popen.send_signal(number)
        self.popen.communicate(timeout=60)
        return self.popen.returncode

    def memory(self) -> int:
        """Give the most memory that the process had at once, in bytes."""
        for line in Path(f"/proc/{self.popen.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
        raise AssertionError


@pytest.fixture
def run(context: Context) -> Iterator[Run]:
    """Return a function that starts a server on any port."""
    with ExitStack() as stack:

        def begin(*flags: str, host: str = "127.0.0.1:0") -> Process:
            process = Process(context, "--host", host, *flags)
            stack.callback(process.popen.communicate)
            stack.callback(process.popen.kill)
            return process

        yield begin


def until_kept(context: Context, place: str, size: int) -> None:
    """Wait until so many bytes of an upload are on the disk."""
    upload = context.layout.root / "registry/uploads" / place.rpartition("/")[2]
    deadline = time.monotonic() + 60
    while not (upload.exists() and upload.stat().st_size >= size):
        assert time.monotonic() < deadline, "nothing comes"
        time.sleep(0.01)


@contextmanager
def half_sent(process: Process, path: str, data: bytes, sent: int) -> Iterator[socket.socket]:
    """Send the beginning of a PATCH; the block may send the rest."""
    connection = socket.create_connection((process.host, process.port), timeout=60)
    try:
        head = f"PATCH {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(data)}\r\n\r\n"
        connection.sendall(head.encode() + data[:sent])
        yield connection
    finally:
        connection.close()


def test_it_says_where_it_listens_and_ends_with_success(run: Run) -> None:
    process = run()
    assert process.first.startswith("listening on http://127.0.0.1:")
    assert process.call("GET", "/v2/").status == 200
    process.popen.send_signal(signal.SIGTERM)
    assert process.popen.communicate(timeout=60) == ("", "")
    assert process.popen.returncode == 0


def test_a_stop_lets_open_requests_end_and_takes_no_new_ones(run: Run, context: Context) -> None:
    process = run()
    data = os.urandom(2 * MIB)
    place = process.call("POST", "/v2/a/blobs/uploads/", b"").headers["Location"]
    with half_sent(process, place, data, MIB) as connection:
        until_kept(context, place, MIB // 2)
        process.popen.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 60
        with pytest.raises(ConnectionRefusedError):
            while time.monotonic() < deadline:
                socket.create_connection((process.host, process.port)).close()
                time.sleep(0.02)
        connection.sendall(data[MIB:])
        assert connection.recv(100).startswith(b"HTTP/1.1 202")
    process.popen.communicate(timeout=60)
    assert process.popen.returncode == 0
    again = run()
    assert again.call("PUT", f"{place}?digest={digest_of(data)}", b"").status == 201


def test_a_kill_in_the_middle_of_an_upload_harms_nothing_and_the_upload_goes_on(run: Run, context: Context) -> None:
    data = os.urandom(5 * MIB)
    process = run()
    digest = digest_of(data)
    assert process.call("POST", f"/v2/a/blobs/uploads/?digest={digest_of(b'old')}", b"old").status == 201
    place = process.call("POST", "/v2/a/blobs/uploads/", b"").headers["Location"]
    with half_sent(process, place, data, 4 * MIB):
        until_kept(context, place, MIB)
        process.popen.kill()
        process.popen.wait()
    again = run()
    assert again.call("GET", f"/v2/a/blobs/{digest}").status == 404
    there = int(again.call("GET", place).headers["Range"].removeprefix("0-")) + 1
    assert MIB <= there <= 4 * MIB
    assert again.call("PATCH", place, data[there:]).status == 202
    assert again.call("PUT", f"{place}?digest={digest}", b"").status == 201
    assert again.call("GET", f"/v2/a/blobs/{digest}").body == data  # type: ignore[attr-defined]
    assert again.end() == 0
    with Store.open(context) as store:
        assert check(store).problems == ()
        assert set(store.blobs.digests()) == {digest, digest_of(b"old")}


def test_memory_does_not_grow_with_the_size_of_a_blob(run: Run) -> None:
    process = run()
    size = 300 * MIB
    block = os.urandom(MIB)
    hasher = hashlib.sha256()
    for _ in range(300):
        hasher.update(block)
    process.call("GET", "/v2/")
    before = process.memory()
    connection = http.client.HTTPConnection(process.host, process.port, timeout=120)
    connection.request(
        "POST",
        f"/v2/a/blobs/uploads/?digest=sha256:{hasher.hexdigest()}",
        (block for _ in range(300)),
        {"Content-Length": str(size)},
    )
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (201, b"")
    connection.request("GET", answer.headers["Location"])
    response = connection.getresponse()
    count = 0
    while data := response.read(MIB):
        count += len(data)
    connection.close()
    assert count == size
    assert process.memory() - before < 48 * MIB


def test_a_certificate_makes_it_speak_tls(run: Run, tmp_path: Path, missing: Callable[[str], None]) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=localhost"]
    try:
        subprocess.run([*command, "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    except FileNotFoundError:
        missing("openssl")
    process = run("--tls-cert", str(certificate), "--tls-key", str(key))
    assert process.url.startswith("https://")
    context = ssl.create_default_context(cafile=str(certificate))
    connection = http.client.HTTPSConnection(process.host, process.port, context=context, timeout=60)
    data = os.urandom(3 * MIB)
    connection.request("POST", f"/v2/a/blobs/uploads/?digest={digest_of(data)}", data)
    answer = connection.getresponse()
    answer.read()
    connection.request("GET", answer.headers["Location"])
    assert connection.getresponse().read() == data
    connection.close()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--tls-cert", "x"), "belong together"),
        (("--tls-cert", "none", "--tls-key", "none"), "cannot be read"),
        (("--htpasswd", "none"), "No such file"),
        (("--mirror", "example.com"), "is no URL"),
        (("--host", "127.0.0.1:x"), "is no address"),
        (("--host", "192.0.2.1:0"), "cannot listen on 192.0.2.1:0"),
    ],
)
def test_what_cannot_be_served_is_said_in_one_message(context: Context, flags: tuple[str, ...], words: str) -> None:
    command = [sys.executable, "-c", PROGRAM, "--root", str(context.layout.root), "registry", "serve", *flags]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert ended.returncode in {1, 2}
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_that_is_taken_is_said(run: Run, context: Context) -> None:
    port = run().port
    command = [sys.executable, "-c", PROGRAM, "--root", str(context.layout.root), "registry", "serve"]
    ended = subprocess.run(
        [*command, "--host", f"127.0.0.1:{port}"], check=False, capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, "in use" in ended.stderr) == (1, True)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", ("127.0.0.1", 5000)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("localhost", ("localhost", 5000)),
        (":7", ("", 7)),
        ("[::1]:7", ("::1", 7)),
        ("[::1]", ("::1", 5000)),
    ],
)
def test_an_address_is_read(text: str, address: tuple[str, int]) -> None:
    assert read_address(text) == address


@pytest.mark.parametrize("text", ["a:b", "a:", "::1", "[::1", "[::1]7", "a:65536", "a:-1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no address"):
        read_address(text)


def test_without_its_libraries_the_verb_says_which_command_installs_them(context: Context) -> None:
    hidden = "import sys; sys.modules['aiohttp'] = None; "
    command = [sys.executable, "-c", hidden + PROGRAM, "--root", str(context.layout.root), "registry", "serve"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "pip install 'pybuild[all]'" in ended.stderr


def test_a_connection_on_which_no_request_comes_is_given_up(
    start: StartRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.registry.server.serve._HEAD", 1.0)
    client = start()
    with socket.create_connection((client.host, client.port), timeout=60) as used:
        used.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert used.recv(4096).startswith(b"HTTP/1.1 200")
        with (
            socket.create_connection((client.host, client.port), timeout=60) as silent,
            socket.create_connection((client.host, client.port), timeout=60) as slow,
        ):
            slow.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n")
            with suppress(ConnectionError):
                while not select.select([slow], [], [], 0.1)[0]:
                    slow.sendall(b"X-A: b\r\n")
            for connection in (silent, slow):
                with suppress(ConnectionError):
                    assert connection.recv(4096) == b""
        used.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert used.recv(4096).startswith(b"HTTP/1.1 200"), "one that was used may be used again"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Settings(host="127.0.0.1"), []),
        (Settings(host="::1"), []),
        (Settings(host="localhost"), []),
        (Settings(host=""), ["read and change"]),
        (Settings(host="0.0.0.0", read_only=True), ["can read all"]),
        (Settings(host="::", mirror="https://example.com"), ["can read all"]),
        (Settings(host="192.0.2.1", htpasswd=Path("users")), ["passwords"]),
        (Settings(host="192.0.2.1", htpasswd=Path("users"), certificate=(Path("c"), Path("k"))), []),
    ],
)
def test_who_listens_beyond_the_machine_hears_what_that_means(settings: Settings, words: list[str]) -> None:
    found = list(dangers(settings))
    assert len(found) == len(words)
    assert all(word in text for word, text in zip(words, found, strict=True))
