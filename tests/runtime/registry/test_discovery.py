"""Search, catalog and login, below the verbs."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from runtime.errors import RegistryError
from runtime.registry.credentials import Credentials
from runtime.registry.discovery import Found, catalog, search, sign_in
from runtime.registry.transport import Transport
from tests.runtime.registry.scripted import Answer, MemoryRegistry, Request, ScriptedServer, TokenServer, error


def test_a_registry_with_a_search_is_searched(transport: Transport, serve: Callable[..., ScriptedServer]) -> None:
    results = {
        "results": [
            {"name": "team/app", "description": "An app", "star_count": 5, "is_official": True, "is_automated": None},
            {"name": "other"},
        ]
    }
    server = serve(lambda request: Answer(200 if request.path != "/v2/" else 404, body=json.dumps(results).encode()))
    found = search(transport, server.host, "app", limit=25)
    assert found == (
        Found(name=f"{server.host}/team/app", description="An app", stars=5, official=True),
        Found(name=f"{server.host}/other"),
    )
    assert server.requests[-1].query == {"q": "app", "n": "25"}


def catalog_of(*names: str) -> Callable[[Request], Answer]:
    def answer(request: Request) -> Answer:
        if request.path != "/v2/_catalog":
            return error(404, "NOT_FOUND", "page not found")
        last = request.query.get("last", "")
        rest = [name for name in names if name > last]
        link = {"Link": f'</v2/_catalog?last={rest[1]}&n=2>; rel="next"'} if len(rest) > 2 else {}
        return Answer(200, link, json.dumps({"repositories": rest[:2]}).encode())

    return answer


def test_the_catalog_of_a_registry_without_a_search_is_looked_through(
    transport: Transport, serve: Callable[..., ScriptedServer]
) -> None:
    server = serve(catalog_of("a/app", "b/tool", "c/apple", "d/app"))
    assert [item.name for item in search(transport, server.host, "app", limit=2)] == [
        f"{server.host}/a/app",
        f"{server.host}/c/apple",
    ]
    assert list(catalog(transport, server.host)) == ["a/app", "b/tool", "c/apple", "d/app"]


def test_a_registry_that_shows_nothing_is_told_so(transport: Transport, serve: Callable[..., ScriptedServer]) -> None:
    server = serve(lambda _: error(403, "DENIED", "no"))
    with pytest.raises(RegistryError, match="offers no search"):
        search(transport, server.host, "app", limit=25)


def test_a_login_returns_the_token_that_is_to_be_kept(
    make_transport: Callable[..., Transport], registry: MemoryRegistry, serve: Callable[..., ScriptedServer]
) -> None:
    guard = TokenServer(registry)
    server = serve(guard)
    guard.realm = f"http://{server.host}/token"
    account = Credentials(username="user", secret="sesame")
    kept = sign_in(make_transport(credentials=account), server.host)
    assert kept == Credentials(username="user", identity_token="refresh-me")


def test_a_wrong_password_does_not_log_in(
    make_transport: Callable[..., Transport], registry: MemoryRegistry, serve: Callable[..., ScriptedServer]
) -> None:
    guard = TokenServer(registry, anonymous=True)
    server = serve(guard)
    guard.realm = f"http://{server.host}/token"
    with pytest.raises(RegistryError, match="incorrect username or password"):
        sign_in(make_transport(credentials=Credentials(username="user", secret="open")), server.host)


def test_a_server_that_is_no_registry_does_not_log_in(
    transport: Transport, serve: Callable[..., ScriptedServer]
) -> None:
    server = serve(lambda _: Answer(404, body=b"<html>"))
    with pytest.raises(RegistryError, match="404"):
        sign_in(transport, server.host)
