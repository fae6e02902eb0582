"""Who we are: challenges, passwords, tokens, and what nobody may see of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frozen import replace
from runtime.context import Context
from runtime.errors import NotFound, RegistryError
from runtime.oci.references import parse_reference
from runtime.registry.auth import Authorization, Challenge, error_text, merged_scopes, parse_challenges
from runtime.registry.client import Repository
from runtime.registry.credentials import Credentials, CredentialSource
from runtime.registry.hosts import Hosts
from runtime.registry.transport import Transport
from tests.runtime.registry.scripted import Answer, MemoryRegistry, Request, ScriptedServer, TokenServer, error

USER = Credentials(username="user", secret="sesame")
CONFIG = b"{}"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Basic", [("basic", {})]),
        ('Basic realm="a, b=\\"c\\""', [("basic", {"realm": 'a, b="c"'})]),
        (
            'Bearer realm="https://auth.example/token",service="x",scope="repository:a/b:pull,push"',
            [("bearer", {"realm": "https://auth.example/token", "service": "x", "scope": "repository:a/b:pull,push"})],
        ),
        (
            'Basic realm=x, Bearer realm="y" , scope=z',
            [("basic", {"realm": "x"}), ("bearer", {"realm": "y", "scope": "z"})],
        ),
        ("", []),
        ("===", []),
    ],
)
def test_challenges_are_read(header: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    assert [(item.scheme, dict(item.parameters)) for item in parse_challenges(header)] == expected


@given(st.text())
def test_any_header_is_read_or_left(header: str) -> None:
    assert all(isinstance(item, Challenge) for item in parse_challenges(header))


@given(st.binary())
def test_any_error_body_gives_some_text(data: bytes) -> None:
    assert len(error_text(data)) <= 300


def test_scopes_of_one_repository_are_one() -> None:
    wanted = ["repository:b:push,pull", "repository:a/c:pull", "repository:b:pull", "registry:catalog:*"]
    assert merged_scopes(wanted) == ("registry:catalog:*", "repository:a/c:pull", "repository:b:pull,push")


@pytest.fixture
def guard(registry: MemoryRegistry) -> TokenServer:
    return TokenServer(registry)


@pytest.fixture
def guarded(guard: TokenServer, serve: Callable[..., ScriptedServer]) -> ScriptedServer:
    server = serve(guard)
    guard.realm = f"http://{server.host}/token"
    return server


@pytest.fixture
def blob(registry: MemoryRegistry) -> str:
    return registry.add_blob("team/app", CONFIG)


def app(transport: Transport, server: ScriptedServer) -> Repository:
    return Repository(transport, parse_reference(f"{server.host}/team/app"))


def test_a_token_is_got_with_user_name_and_password(
    make_transport: Callable[..., Transport], guarded: ScriptedServer, guard: TokenServer, blob: str
) -> None:
    assert app(make_transport(credentials=USER), guarded).has_blob(blob) == len(CONFIG)  # type: ignore[arg-type]
    asked = guard.given[-1]
    assert asked.query["scope"] == "repository:team/app:pull"
    assert asked.query["service"] == "registry"
    assert asked.query["account"] == "user"


def test_a_token_may_be_given_to_nobody_in_particular(
    transport: Transport, guarded: ScriptedServer, guard: TokenServer, blob: str
) -> None:
    guard.anonymous = True
    assert app(transport, guarded).has_blob(blob) == len(CONFIG)  # type: ignore[arg-type]
    assert "authorization" not in guard.given[-1].headers


def test_a_token_is_used_again(
    make_transport: Callable[..., Transport], guarded: ScriptedServer, guard: TokenServer, blob: str
) -> None:
    repository = app(make_transport(credentials=USER), guarded)
    for _ in range(5):
        repository.has_blob(blob)  # type: ignore[arg-type]
    assert len(guard.given) == 1


def test_a_token_that_dies_early_is_renewed(
    make_transport: Callable[..., Transport], guarded: ScriptedServer, guard: TokenServer, blob: str
) -> None:
    guard.uses = 2
    repository = app(make_transport(credentials=USER), guarded)
    assert [repository.has_blob(blob) for _ in range(6)] == [len(CONFIG)] * 6  # type: ignore[arg-type]
    assert len(guard.given) == 3


def test_a_token_is_renewed_before_its_end(guard: TokenServer) -> None:
    now = [0]
    tokens = iter(("one", "two"))

    def fetch(*_: object) -> tuple[int, bytes]:
        return 200, b'{"token": "%s", "expires_in": 100}' % next(tokens).encode()

    known = Authorization("host", lambda: USER, fetch, secure=True, now=lambda: now[0])
    assert known.header(("repository:a:pull",)) is None
    assert known.challenged('Bearer realm="https://auth.example/"', ("repository:a:pull",), None)
    assert known.header(("repository:a:pull",)) == "Bearer one"
    now[0] = 89 * 10**9
    assert known.header(("repository:a:pull",)) == "Bearer one"
    now[0] = 91 * 10**9
    assert known.header(("repository:a:pull",)) == "Bearer two"


def test_many_threads_ask_for_one_token(
    make_transport: Callable[..., Transport], guarded: ScriptedServer, guard: TokenServer, blob: str
) -> None:
    repository = app(make_transport(credentials=USER), guarded)
    barrier = threading.Barrier(8)

    def ask(_: int) -> int | None:
        barrier.wait()
        return repository.has_blob(blob)  # type: ignore[arg-type]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [len(CONFIG)] * 8
    assert len(guard.given) == 1


def test_a_push_asks_for_more_and_a_mount_for_the_other_repository_too(
    make_transport: Callable[..., Transport], guarded: ScriptedServer, guard: TokenServer, blob: str
) -> None:
    import base64
    import io

    other = Repository(make_transport(credentials=USER), parse_reference(f"{guarded.host}/team/other"), push=True)
    assert other.mount_blob(blob, "team/app")  # type: ignore[arg-type]
    other.upload_stream(io.BytesIO(b"more"))
    asked = guarded.asked("GET", "/token")
    assert len(asked) == 2
    assert base64.b64decode(asked[0].headers["authorization"].split()[1]) == b"user:sesame"
    assert guard.given[-1].query["scope"] == "repository:team/other:pull,push"


def test_an_identity_token_is_exchanged(
    make_transport: Callable[..., Transport], guarded: ScriptedServer, guard: TokenServer, blob: str
) -> None:
    transport = make_transport(credentials=Credentials(identity_token="refresh-me"))
    assert app(transport, guarded).has_blob(blob) == len(CONFIG)  # type: ignore[arg-type]
    assert guard.given[-1].method == "POST"
    assert b"grant_type=refresh_token" in guard.given[-1].body


def test_a_wrong_password_is_told_as_such(
    make_transport: Callable[..., Transport], guarded: ScriptedServer, blob: str
) -> None:
    transport = make_transport(credentials=Credentials(username="user", secret="open"))
    with pytest.raises(RegistryError, match=r"unauthorized: .*incorrect username or password") as caught:
        app(transport, guarded).get_manifest("latest")
    assert "pybuild login" in str(caught.value.hint)
    assert "open" not in f"{caught.value}{caught.value.hint}{caught.value.__cause__!r}"


def test_who_has_no_credentials_is_told_to_log_in(transport: Transport, guarded: ScriptedServer) -> None:
    with pytest.raises(NotFound, match=r"pull access denied for .*/team/app, repository does not exist or may require"):
        app(transport, guarded).get_manifest("latest")


def test_a_helper_that_is_of_no_help_is_told_to_who_is_denied(
    context: Context, guarded: ScriptedServer, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text('{"credsStore": "absent"}')
    here = replace(context, environ={**context.environ, "DOCKER_CONFIG": str(tmp_path)})
    with Transport(here, Hosts(), CredentialSource(here)) as transport, pytest.raises(NotFound) as caught:
        app(transport, guarded).get_manifest("latest")
    assert "the credential helper docker-credential-absent is not installed" in str(caught.value.hint)


def test_basic_is_answered_with_basic(
    make_transport: Callable[..., Transport], registry: MemoryRegistry, serve: Callable[..., ScriptedServer], blob: str
) -> None:
    def basic(request: Request) -> Answer:
        if request.headers.get("authorization") != "Basic dXNlcjpzZXNhbWU=":
            return error(401, "UNAUTHORIZED", "who?", WWW_Authenticate='Basic realm="x"')
        return registry(request)

    server = serve(basic)
    repository = app(make_transport(credentials=USER), server)
    assert repository.has_blob(blob) == len(CONFIG)  # type: ignore[arg-type]
    wrong = make_transport(credentials=Credentials(username="user", secret="open"))
    with pytest.raises(RegistryError, match="incorrect username or password"):
        app(wrong, server).get_manifest("x")


def test_a_password_is_not_sent_in_the_open_to_the_token_server_of_a_secure_registry() -> None:
    sent: list[object] = []

    def fetch(*words: object) -> tuple[int, bytes]:
        sent.append(words)
        return 200, b'{"token": "x"}'

    known = Authorization("host", lambda: USER, fetch, secure=True, now=lambda: 0)
    with pytest.raises(RegistryError, match="without encryption"):
        known.challenged('Bearer realm="http://auth.example/token"', (), None)
    assert not sent


def test_a_token_server_that_sends_us_elsewhere_gets_no_password_there(
    make_transport: Callable[..., Transport], guarded: ScriptedServer, serve: Callable[..., ScriptedServer]
) -> None:
    thief = serve(lambda _: Answer(body=b'{"token": "x"}'))
    guarded.fault("GET", "/token", Answer(302, {"Location": f"http://{thief.host}/token"}))
    with pytest.raises(RegistryError, match="sends us elsewhere"):
        app(make_transport(credentials=USER), guarded).get_manifest("x")
    assert thief.connections == 0


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"token": 5}', b'{"token": "a b"}', b'{"token": "a\\nb"}', b"[" * 5000, b'{"token": ""}']
)
def test_a_token_that_is_none_is_refused(
    make_transport: Callable[..., Transport], guarded: ScriptedServer, body: bytes
) -> None:
    guarded.fault("GET", "/token", Answer(body=body))
    with pytest.raises(RegistryError, match="no token"):
        app(make_transport(credentials=USER), guarded).get_manifest("x")


@pytest.mark.parametrize("realm", ["nonsense", "file:///x", "http://a:b@host/", "http://[", ""])
def test_a_token_server_must_have_a_url(
    make_transport: Callable[..., Transport], guarded: ScriptedServer, guard: TokenServer, realm: str
) -> None:
    guard.realm = realm
    with pytest.raises(RegistryError):
        app(make_transport(credentials=USER), guarded).get_manifest("x")


def test_a_server_that_is_never_content_is_left(transport: Transport, serve: Callable[..., ScriptedServer]) -> None:
    def never(request: Request) -> Answer:
        if request.path == "/token":
            return Answer(body=b'{"token": "t"}')
        return error(401, "UNAUTHORIZED", "no", WWW_Authenticate=f'Bearer realm="http://{server.host}/token"')

    server = serve(never)
    with pytest.raises(NotFound, match="pull access denied"):
        app(transport, server).get_manifest("x")
    assert len(server.requests) < 10


def test_a_busy_token_server_is_asked_again(
    make_transport: Callable[..., Transport], guarded: ScriptedServer, blob: str
) -> None:
    guarded.fault("GET", "/token", error(503, "X", "later"), times=2)
    assert app(make_transport(credentials=USER), guarded).has_blob(blob) is not None  # type: ignore[arg-type]


def test_nothing_secret_is_in_a_repr() -> None:
    shown = repr(Credentials(username="user", secret="s3cret", identity_token="t0ken", registry_token="r0ken"))
    assert "user" in shown
    assert not any(word in shown for word in ("s3cret", "t0ken", "r0ken"))


def thief_of(serve: Callable[..., ScriptedServer]) -> ScriptedServer:
    return serve(lambda _: error(401, "UNAUTHORIZED", "who?", WWW_Authenticate='Basic realm="x"'))


def test_what_was_given_for_a_registry_is_not_told_to_its_mirror(
    make_transport: Callable[..., Transport], registry: MemoryRegistry, serve: Callable[..., ScriptedServer], blob: str
) -> None:
    from runtime.registry.hostfiles import Place, Rule
    from runtime.registry.hosts import Hosts

    mirror, server = thief_of(serve), serve(registry)
    rule = Rule(prefix=server.host, mirrors=(Place(host=mirror.host, scheme="http"),))
    repository = app(make_transport(hosts=Hosts(((rule,),)), credentials=USER), server)
    assert repository.read_blob(blob, 2, limit=2) == CONFIG  # type: ignore[arg-type]
    assert mirror.requests
    assert all("authorization" not in request.headers for request in mirror.requests)


def test_the_place_of_a_foreign_layer_is_told_nothing(
    make_transport: Callable[..., Transport], registry: MemoryRegistry, serve: Callable[..., ScriptedServer]
) -> None:
    thief, server = thief_of(serve), serve(registry)
    repository = app(make_transport(credentials=USER), server)
    stream = repository.blob("sha256:" + "0" * 64, 5, urls=(f"http://{thief.host}/layer",))  # type: ignore[arg-type]
    with pytest.raises(RegistryError):
        stream.read()
    assert thief.requests
    assert all("authorization" not in request.headers for request in thief.requests)
