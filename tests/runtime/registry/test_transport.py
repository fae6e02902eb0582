"""One request, whatever it takes: retries, redirects, schemes, cancellation, nothing while offline."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

import pytest

from frozen import replace
from runtime.context import Context
from runtime.errors import Cancelled, RegistryError
from runtime.registry.answers import PlainOnly
from runtime.registry.credentials import Credentials
from runtime.registry.hosts import Endpoint, Hosts
from runtime.registry.transport import Body, ConnectionCut, Response, Timing, Transport, Tries, Unreachable
from tests.runtime.registry.conftest import QUICK
from tests.runtime.registry.scripted import Answer, Request, ScriptedServer, error


def at(server: ScriptedServer) -> Endpoint:
    return Endpoint(host=server.host, schemes=("http",), credential=server.host)


def get(transport: Transport, server: ScriptedServer, path: str = "/x") -> bytes:
    with transport.request("GET", at(server), path) as answer:
        return answer.whole(1000)


@pytest.fixture
def echo(serve: Callable[..., ScriptedServer]) -> ScriptedServer:
    """Answers with the body that it was sent, `ok` without one."""
    return serve(lambda request: Answer(body=request.body or b"ok"))


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_heal_is_tried_again(transport: Transport, echo: ScriptedServer, status: int) -> None:
    echo.fault("GET", "/x", error(status, "UNKNOWN", "not now"), times=3)
    assert get(transport, echo) == b"ok"
    assert len(echo.requests) == 4


@pytest.mark.parametrize("status", [400, 403, 404, 405, 501])
def test_what_does_not_heal_is_not_tried_again(transport: Transport, echo: ScriptedServer, status: int) -> None:
    echo.fault("GET", "/x", error(status, "NO", "never"), times=9)
    with pytest.raises(RegistryError, match="never") as caught:
        get(transport, echo)
    assert (caught.value.status, caught.value.code) == (status, "NO")
    assert len(echo.requests) == 1


def test_there_are_six_tries(transport: Transport, echo: ScriptedServer) -> None:
    echo.fault("GET", "/x", error(503, "UNAVAILABLE", "down"), times=100)
    with pytest.raises(RegistryError, match="down") as caught:
        get(transport, echo)
    assert len(echo.requests) == 6
    assert caught.value.hint is not None
    assert "come back" in caught.value.hint


@pytest.mark.parametrize("answer", [Answer(drop=True), Answer(body=b"x", raw=b"\x00\x01 nonsense\r\n\r\n")])
def test_a_connection_without_an_answer_is_tried_again(
    transport: Transport, echo: ScriptedServer, answer: Answer
) -> None:
    echo.fault("GET", "/x", answer, times=2)
    assert get(transport, echo) == b"ok"


@pytest.mark.parametrize(("lines", "whole"), [(50, True), (150, False)])
def test_what_stands_behind_the_last_chunk_has_an_end(
    transport: Transport, echo: ScriptedServer, lines: int, whole: bool
) -> None:
    body = b"2\r\nok\r\n0\r\n" + b"Trailer: x\r\n" * lines + b"\r\n"
    echo.fault("GET", "/x", Answer(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body))
    if whole:
        assert get(transport, echo) == b"ok"
        return
    with pytest.raises(ConnectionCut, match="the answer is not HTTP"):
        get(transport, echo)


def test_a_silent_server_is_not_waited_for(transport: Transport, serve: Callable[..., ScriptedServer]) -> None:
    ended = threading.Event()

    def silent(_: Request) -> Answer:
        ended.wait()
        return Answer(drop=True)

    server = serve(silent)
    transport.timing = replace(QUICK, stall=0.1, tries=3)
    with pytest.raises(ConnectionCut, match="nothing came"):
        get(transport, server)
    ended.set()


def test_retry_after_is_honoured(transport: Transport, echo: ScriptedServer) -> None:
    echo.fault("GET", "/x", error(429, "TOOMANYREQUESTS", "slowly", Retry_After="1"))
    start = time.monotonic()
    assert get(transport, echo) == b"ok"
    assert time.monotonic() - start >= 1


@pytest.mark.parametrize(("said", "told"), [("300", "5 minutes"), ("a date in two hours", "2 hours"), ("61", "61 sec")])
def test_who_asks_for_much_patience_is_named_with_the_time(
    transport: Transport, echo: ScriptedServer, said: str, told: str
) -> None:
    if not said.isdecimal():
        said = formatdate(time.time() + 7200, usegmt=True)
    transport.timing = replace(QUICK, longest_wait=60, total=120)
    echo.fault("GET", "/x", error(429, "TOOMANYREQUESTS", "pull rate limit", Retry_After=said))
    with pytest.raises(RegistryError, match=r"toomanyrequests: .*pull rate limit") as caught:
        get(transport, echo)
    assert told in str(caught.value.hint)
    assert len(echo.requests) == 1


def test_all_tries_together_have_an_end(transport: Transport, echo: ScriptedServer) -> None:
    transport.timing = replace(QUICK, total=0.5, first_wait=0.3, tries=100)
    echo.fault("GET", "/x", error(500, "X", "no"), times=100)
    with pytest.raises(RegistryError):
        get(transport, echo)
    assert len(echo.requests) <= 2  # the second wait would be longer than what is left


def test_a_body_is_sent_again_from_its_start(transport: Transport, echo: ScriptedServer) -> None:
    import io

    echo.fault("PUT", "/x", error(500, "X", "no"))
    body = Body(open=lambda: io.BytesIO(b"content"), size=7)
    with transport.request("PUT", at(echo), "/x", body=body) as answer:
        assert answer.whole(100) == b"content"
    assert [request.body for request in echo.requests] == [b"content"] * 2


def test_a_body_that_shrank_is_an_error_of_its_own(transport: Transport, echo: ScriptedServer) -> None:
    import io

    with pytest.raises(RegistryError, match="3 bytes before its time"):
        transport.request("PUT", at(echo), "/x", body=Body(open=lambda: io.BytesIO(b"cont"), size=7))


def test_what_reading_a_body_raises_comes_through(transport: Transport, echo: ScriptedServer) -> None:
    @dataclass
    class Broken:
        def read(self, _: int = -1, /) -> bytes:
            raise PermissionError(13, "no")

    with pytest.raises(PermissionError):
        transport.request("PUT", at(echo), "/x", body=Body(open=Broken, size=7))


def test_of_what_is_tried_once_the_first_failure_is_told(transport: Transport, echo: ScriptedServer) -> None:
    echo.fault("GET", "/x", Answer(drop=True))
    with pytest.raises(ConnectionCut):
        transport.request("GET", at(echo), "/x", tries=transport.once())


def test_nothing_is_asked_while_offline(context: Context, echo: ScriptedServer) -> None:
    with (
        Transport(replace(context, offline=True), Hosts(), timing=QUICK) as transport,
        pytest.raises(RegistryError, match="--offline"),
    ):
        get(transport, echo)
    assert echo.connections == 0


def test_a_cancelled_context_ends_a_wait(context: Context, transport: Transport, echo: ScriptedServer) -> None:
    transport.timing = Timing(longest_wait=1000, total=2000)  # longer than a test may take
    timer = threading.Timer(0.2, context.cancel.set, (15,))

    def later(_: Request) -> Answer:
        timer.start()
        return error(503, "X", "later", Retry_After="1000")

    echo.fault("GET", "/x", later)
    with pytest.raises(Cancelled):
        get(transport, echo)
    timer.join()


def test_a_cancelled_context_ends_a_connection_attempt(context: Context, transport: Transport) -> None:
    import socket

    # A listener whose queue is full answers no more greetings.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(address)
        timer = threading.Timer(0.2, context.cancel.set, (2,))
        timer.start()
        transport.timing = Timing(connect=1000)
        with pytest.raises(Cancelled):
            transport.request("GET", Endpoint(host=f"127.0.0.1:{address[1]}", schemes=("http",)), "/x")
        timer.join()
        for one in waiting:
            one.close()


def test_a_refused_connection_is_told_at_once(transport: Transport) -> None:
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1: connection refused"):
        transport.request("GET", Endpoint(host="127.0.0.1:1", schemes=("http",)), "/x")


def test_a_server_that_came_up_between_two_looks_is_found(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [Unreachable("connection refused"), PlainOnly("it does not speak HTTPS")]

    def fail(*_: object, **__: object) -> Response:
        raise failures.pop(0)

    monkeypatch.setattr(transport, "_exchange", fail)
    assert transport.origin(Endpoint(host="127.0.0.1:1", schemes=("http", "https"))) == "http://127.0.0.1:1"


@pytest.mark.parametrize("host", ["registry.invalid", "registry.invalid:5000"])
def test_an_unknown_host_is_named(transport: Transport, host: str) -> None:
    with pytest.raises(Unreachable, match=r"lookup registry\.invalid: no such host"):
        transport.request("GET", Endpoint(host=host), "/x")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed(transport: Transport, echo: ScriptedServer, status: int) -> None:
    echo.fault("GET", "/x", Answer(status, {"Location": "/other?y=1"}))
    assert get(transport, echo) == b"ok"
    assert echo.requests[-1].path == "/other"


def test_circles_are_left(transport: Transport, echo: ScriptedServer) -> None:
    echo.fault("GET", "/", Answer(307, {"Location": "/x"}), times=100)
    with pytest.raises(RegistryError, match="in circles"):
        get(transport, echo)
    assert len(echo.requests) == 11


def test_credentials_do_not_follow_a_redirect_to_another_host(
    make_transport: Callable[..., Transport], serve: Callable[..., ScriptedServer]
) -> None:
    other = serve(lambda _: Answer(body=b"from elsewhere"))

    def guarded(request: Request) -> Answer:
        if request.headers.get("authorization") is None:
            return error(401, "UNAUTHORIZED", "who?", WWW_Authenticate='Basic realm="x"')
        return Answer(307, {"Location": f"http://{other.host}/layer"})

    server = serve(guarded)
    transport = make_transport(credentials=Credentials(username="user", secret="sesame"))
    assert get(transport, server) == b"from elsewhere"
    assert "authorization" in server.requests[-1].headers
    assert all("authorization" not in request.headers for request in other.requests)


def test_a_host_that_was_redirected_to_gets_no_password_though_it_asks(
    make_transport: Callable[..., Transport], serve: Callable[..., ScriptedServer]
) -> None:
    thief = serve(lambda _: error(401, "UNAUTHORIZED", "who?", WWW_Authenticate='Basic realm="x"'))
    server = serve(lambda _: Answer(302, {"Location": f"http://{thief.host}/layer"}))
    transport = make_transport(credentials=Credentials(username="user", secret="sesame"))
    with pytest.raises(RegistryError):
        get(transport, server)
    assert all("authorization" not in request.headers for request in thief.requests)


def test_an_upload_is_not_redirected_to_another_host(
    transport: Transport, echo: ScriptedServer, serve: Callable[..., ScriptedServer]
) -> None:
    other = serve(lambda _: Answer(201))
    echo.fault("PUT", "/x", Answer(307, {"Location": f"http://{other.host}/x"}))
    with pytest.raises(RegistryError, match="not followed"):
        transport.request("PUT", at(echo), "/x", body=b"secret content")
    assert other.connections == 0


def test_an_upload_is_redirected_on_its_own_host(transport: Transport, echo: ScriptedServer) -> None:
    echo.fault("PUT", "/x", Answer(307, {"Location": "/y"}))
    with transport.request("PUT", at(echo), "/x", body=b"content") as answer:
        assert answer.whole(10) == b"content"


def test_a_redirect_to_a_blocked_host_is_refused(
    make_transport: Callable[..., Transport], echo: ScriptedServer
) -> None:
    from runtime.registry.hostfiles import Rule

    hosts = Hosts(((Rule(prefix="bad.example", blocked=True),),))
    echo.fault("GET", "/x", Answer(302, {"Location": "https://bad.example/layer"}))
    with pytest.raises(RegistryError, match=r"bad\.example is blocked"):
        get(make_transport(hosts=hosts), echo)


@pytest.mark.parametrize("target", ["file:///etc/passwd", "http://u:p@host/", "gopher://x/", "http://[::1"])
def test_a_redirect_to_no_http_url_is_refused(transport: Transport, echo: ScriptedServer, target: str) -> None:
    echo.fault("GET", "/x", Answer(302, {"Location": target}))
    with pytest.raises(RegistryError, match="no URL"):
        get(transport, echo)


def test_the_scheme_of_a_loopback_server_is_found_out_once(transport: Transport, echo: ScriptedServer) -> None:
    endpoint = Endpoint(host=echo.host, schemes=("http", "https"))
    for _ in range(2):
        transport.request("GET", endpoint, "/x").close()
    assert [request.path for request in echo.requests] == ["/v2/", "/x", "/x"]


def test_a_body_beyond_its_limit_is_refused(transport: Transport, echo: ScriptedServer) -> None:
    echo.fault("GET", "/x", Answer(body=b"y" * 1001))
    with pytest.raises(RegistryError, match="more than the 1000 bytes"):
        get(transport, echo)


def test_an_endless_error_body_is_not_read_to_its_end(transport: Transport, echo: ScriptedServer) -> None:
    echo.fault("GET", "/x", Answer(404, body=b"z" * 10_000_000))
    with pytest.raises(RegistryError, match="404"):
        get(transport, echo)


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'{"errors": 5}', b'{"errors": [[]]}', b"\xff\xfe", b"null", b'{"errors":[{"code":{}}]}', b"{}"],
)
def test_an_error_body_may_be_anything(transport: Transport, echo: ScriptedServer, body: bytes) -> None:
    echo.fault("GET", "/x", Answer(404, body=body))
    with pytest.raises(RegistryError) as caught:
        get(transport, echo)
    assert caught.value.status == 404


def test_connections_are_used_again(transport: Transport, echo: ScriptedServer) -> None:
    for _ in range(5):
        get(transport, echo)
    assert echo.connections == 1


def test_a_proxy_is_asked_for_plain_http(context: Context, serve: Callable[..., ScriptedServer]) -> None:
    proxy = serve(lambda request: Answer(body=request.path.encode()))
    environ = {"HTTP_PROXY": f"http://me:hidden@{proxy.host}", "HOME": "/nonexistent"}
    with Transport(replace(context, environ=environ), Hosts(), timing=QUICK) as transport:
        endpoint = Endpoint(host="registry.example", schemes=("http",))
        with transport.request("GET", endpoint, "/x") as answer:
            assert answer.whole(100) == b"/x"
    assert proxy.requests[0].headers["host"] == "registry.example"
    assert proxy.requests[0].headers["proxy-authorization"].startswith("Basic ")


def test_the_password_of_a_proxy_is_in_no_message(context: Context) -> None:
    environ = {"HTTPS_PROXY": "http://me:hidden@127.0.0.1:1", "HOME": "/nonexistent"}
    with (
        Transport(replace(context, environ=environ), Hosts(), timing=QUICK) as transport,
        pytest.raises(RegistryError, match=r"the proxy 127\.0\.0\.1:1") as caught,
    ):
        transport.request("GET", Endpoint(host="registry.example"), "/x")
    assert "hidden" not in f"{caught.value} {caught.value.hint}"


def test_an_environment_with_a_netrc_and_a_bundle_changes_nothing(
    context: Context, echo: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password hidden\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent")
    with Transport(context, Hosts(), timing=QUICK) as transport:
        assert get(transport, echo) == b"ok"
    assert "authorization" not in echo.requests[-1].headers


def test_a_response_says_where_it_came_from(transport: Transport, echo: ScriptedServer) -> None:
    with transport.request("GET", at(echo), "/x") as answer:
        assert isinstance(answer, Response)
        assert answer.host == echo.host


def test_a_larger_piece_of_work_has_one_patience(transport: Transport, echo: ScriptedServer) -> None:
    echo.fault("GET", "/x", Answer(drop=True), times=100)
    tries = transport.tries()
    for _ in range(3):
        with pytest.raises(ConnectionCut):
            transport.request("GET", at(echo), "/x", tries=tries)
    assert len(echo.requests) == 8


def test_a_long_piece_of_work_that_breaks_is_tried_again_if_it_moved_until_then(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("runtime.registry.transport.time.monotonic", lambda: now[0])
    tries = Tries(context, Timing(first_wait=0))
    now[0] += 600
    with pytest.raises(ConnectionCut):
        tries.again(ConnectionCut("cut"))
    tries.alive()
    for _ in range(4):
        tries.again(ConnectionCut("cut"))
    with pytest.raises(ConnectionCut):
        tries.again(ConnectionCut("cut"))


@pytest.mark.parametrize(
    ("body", "patience"),
    [
        (b"", 300),
        (b"{}", 60),
        (Body(open=lambda: io.BytesIO(b""), size=400 << 20), 160),
        (Body(open=lambda: io.BytesIO(b""), size=4 << 30), 300),
    ],
    ids=["the end of an upload", "a manifest", "a layer", "a large layer"],
)
def test_an_answer_is_waited_for_as_long_as_what_was_sent_may_take(
    make_transport: Callable[..., Transport], body: Body | bytes, patience: float
) -> None:
    assert round(make_transport(timing=Timing())._patience_for(body)) == patience
