"""Servers and clients of the registry tests: all on loopback, with short time-outs."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from runtime.context import Context
from runtime.oci.references import parse_reference
from runtime.registry.client import Repository
from runtime.registry.credentials import Credentials, CredentialSource
from runtime.registry.hosts import Hosts
from runtime.registry.transport import Timing, Transport
from tests.runtime.registry.scripted import Handler, MemoryRegistry, ScriptedServer

QUICK = Timing(connect=60, stall=60, answer=60, tries=6, total=120, longest_wait=60, first_wait=0.01)
"""Quick to try again, and patient with a server that has a busy machine for its own."""


@pytest.fixture
def registry() -> MemoryRegistry:
    return MemoryRegistry()


@pytest.fixture
def serve() -> Iterator[Callable[..., ScriptedServer]]:
    """Return a function that starts a server for a handler."""
    with ExitStack() as stack:

        def start(handler: Handler, tls: ssl.SSLContext | None = None, port: int = 0) -> ScriptedServer:
            return stack.enter_context(ScriptedServer(handler, tls, port))

        yield start


@pytest.fixture
def server(registry: MemoryRegistry, serve: Callable[..., ScriptedServer]) -> ScriptedServer:
    return serve(registry)


@pytest.fixture
def make_transport(context: Context) -> Iterator[Callable[..., Transport]]:
    """Return a function that makes a transport without any configuration of the machine."""
    with ExitStack() as stack:

        def make(
            *, hosts: Hosts | None = None, credentials: Credentials | None = None, timing: Timing = QUICK
        ) -> Transport:
            source = CredentialSource(context, credentials or Credentials())
            if credentials is None:
                source.lookup = lambda *_, **__: None  # type: ignore[method-assign]
            return stack.enter_context(Transport(context, hosts or Hosts(), source, timing=timing))

        yield make


@pytest.fixture
def transport(make_transport: Callable[..., Transport]) -> Transport:
    return make_transport()


@pytest.fixture
def repository(transport: Transport, server: ScriptedServer) -> Repository:
    return Repository(transport, parse_reference(f"{server.host}/team/app"))


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with ca.crt, and a server's and a client's certificate and key that this CA signed."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl")
    directory = tmp_path_factory.mktemp("certificates")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True, timeout=60)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=Test CA")
    here = "subjectAltName=IP:127.0.0.1,DNS:localhost"
    for name, names in (("server", here), ("client", here), ("elsewhere", "subjectAltName=IP:192.0.2.1")):
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}", "-addext", names)
        words = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30", "-copy_extensions", "copy")
        openssl("x509", "-req", "-in", f"{name}.csr", *words, "-out", f"{name}.crt")
    return directory


@pytest.fixture
def server_tls(certificates: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.crt", certificates / "server.key")
    return context


@pytest.fixture
def open_files() -> Callable[[], int]:
    return lambda: len(os.listdir("/proc/self/fd"))
