"""TLS: whose certificates are trusted, and what we show of ourselves."""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from frozen import replace
from runtime.context import Context
from runtime.errors import RegistryError
from runtime.registry.hostfiles import Rule
from runtime.registry.hosts import Hosts
from runtime.registry.transport import Transport, Untrusted
from tests.runtime.registry.conftest import QUICK
from tests.runtime.registry.scripted import Answer, ScriptedServer


@pytest.fixture
def server(serve: Callable[..., ScriptedServer], server_tls: ssl.SSLContext) -> ScriptedServer:
    return serve(lambda _: Answer(body=b"ok"), server_tls)


def certs_for(host: str, directory: Path, **files: Path) -> tuple[Path, ...]:
    (directory / host).mkdir(parents=True)
    for name, source in files.items():
        shutil.copy(source, directory / host / name.replace("_", "."))
    return (directory,)


def ask(context: Context, hosts: Hosts, host: str) -> bytes:
    with Transport(context, hosts, timing=QUICK) as transport:
        endpoint = hosts.endpoints(host, "x")[-1]
        with transport.request("GET", endpoint, "/v2/") as answer:
            assert answer.url.startswith("https:")
            return answer.whole(10)


def test_a_ca_of_certs_d_is_trusted(
    context: Context, server: ScriptedServer, certificates: Path, tmp_path: Path
) -> None:
    directories = certs_for(server.host, tmp_path / "certs.d", ca_crt=certificates / "ca.crt")
    assert ask(context, Hosts((), directories), server.host) == b"ok"


def test_ssl_cert_file_takes_the_place_of_the_systems_roots(
    context: Context, server: ScriptedServer, certificates: Path
) -> None:
    trusting = replace(context, environ={"SSL_CERT_FILE": str(certificates / "ca.crt")})
    assert ask(trusting, Hosts(), server.host) == b"ok"


def test_a_certificate_of_an_unknown_ca_is_refused_with_what_to_do(context: Context, server: ScriptedServer) -> None:
    with pytest.raises(Untrusted, match="x509: certificate signed by unknown authority") as caught:
        ask(context, Hosts(), server.host)
    assert "certs.d" in str(caught.value.hint)


def test_a_certificate_for_another_name_is_refused(
    context: Context, serve: Callable[..., ScriptedServer], certificates: Path
) -> None:
    elsewhere = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    elsewhere.load_cert_chain(certificates / "elsewhere.crt", certificates / "elsewhere.key")
    trusting = replace(context, environ={"SSL_CERT_FILE": str(certificates / "ca.crt")})
    with pytest.raises(Untrusted, match="x509: IP address mismatch"):
        ask(trusting, Hosts(), serve(lambda _: Answer(), elsewhere).host)


def test_an_insecure_registry_is_not_judged(context: Context, server: ScriptedServer) -> None:
    hosts = Hosts(((Rule(prefix=server.host, insecure=True),),))
    assert ask(context, hosts, server.host) == b"ok"


def test_a_client_certificate_is_shown(
    context: Context,
    serve: Callable[..., ScriptedServer],
    server_tls: ssl.SSLContext,
    certificates: Path,
    tmp_path: Path,
) -> None:
    server_tls.verify_mode = ssl.CERT_REQUIRED
    server_tls.load_verify_locations(certificates / "ca.crt")
    server = serve(lambda _: Answer(body=b"ok"), server_tls)
    directories = certs_for(
        server.host,
        tmp_path / "certs.d",
        ca_crt=certificates / "ca.crt",
        client_cert=certificates / "client.crt",
        client_key=certificates / "client.key",
    )
    assert ask(context, Hosts((), directories), server.host) == b"ok"


def test_half_a_client_certificate_is_an_error(
    context: Context, server: ScriptedServer, certificates: Path, tmp_path: Path
) -> None:
    directories = certs_for(server.host, tmp_path / "certs.d", client_cert=certificates / "client.crt")
    with pytest.raises(RegistryError, match=r"client\.cert is of no use without client\.key"):
        ask(context, Hosts((), directories), server.host)


def test_a_ca_file_that_is_none_is_named(context: Context, server: ScriptedServer, tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("nothing\n")
    directories = certs_for(server.host, tmp_path / "certs.d", ca_crt=nonsense)
    with pytest.raises(RegistryError, match=r"ca\.crt cannot be used"):
        ask(context, Hosts((), directories), server.host)


def test_a_plain_server_where_https_is_wanted_is_told(context: Context) -> None:
    import socket
    import threading

    from runtime.registry.hosts import Endpoint

    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=answer, args=(listener,))
        server.start()
        endpoint = Endpoint(host=f"127.0.0.1:{listener.getsockname()[1]}", schemes=("https",))
        once = replace(QUICK, tries=1)
        with (
            Transport(context, Hosts(), timing=once) as transport,
            pytest.raises(RegistryError, match="does not speak HTTPS") as caught,
        ):
            transport.request("GET", endpoint, "/v2/")
        server.join()
    assert "plain_http = true" in (caught.value.hint or "")


def test_a_cancelled_greeting_ends_at_once(context: Context, serve: Callable[..., ScriptedServer]) -> None:
    import socket
    import threading

    from runtime.errors import Cancelled
    from runtime.registry.hosts import Endpoint
    from runtime.registry.transport import Timing

    with socket.create_server(("127.0.0.1", 0)) as listener:  # accepts, and says nothing
        timer = threading.Timer(0.3, context.cancel.set, (2,))
        timer.start()
        patient = Timing(connect=1000, stall=1000)  # longer than a test may take
        with Transport(context, Hosts(), timing=patient) as transport, pytest.raises(Cancelled):
            transport.request("GET", Endpoint(host=f"127.0.0.1:{listener.getsockname()[1]}"), "/v2/")
        timer.join()
