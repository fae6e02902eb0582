"""Who is let in: htpasswd files, as they are and as they change."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import UsageError
from runtime.registry.server.auth import Htpasswd, read_basic, read_users
from runtime.registry.server.serve import Settings
from runtime.registry.server.workers import Workers
from tests.runtime.registry.server.clients import StartRegistry


def entry(user: str, password: str, prefix: str = "2b") -> str:
    kept = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode()
    return f"{user}:{kept.replace('$2b$', f'${prefix}$')}\n"


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def htpasswd(tmp_path: Path) -> Path:
    path = tmp_path / "htpasswd"
    path.write_text("# users\n\n" + entry("ann", "pa:ss", "2y") + entry("bob", "p" * 100))
    return path


def test_only_users_with_their_password_are_let_in(start: StartRegistry, htpasswd: Path) -> None:
    client = start(Settings(htpasswd=htpasswd))
    for header in (
        "",
        "Basic",
        "Basic !",
        "Bearer x",
        basic("ann", "wrong"),
        basic("nobody", "pa:ss"),
        basic("", ""),
        "Basic " + base64.b64encode(b"ann").decode(),
    ):
        answer = client.get("/v2/", Authorization=header)
        assert (answer.status, answer.code) == (401, "UNAUTHORIZED")
        assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
    for _ in range(2):
        assert client.get("/v2/", Authorization=basic("ann", "pa:ss")).status == 200
    assert client.get("/v2/", Authorization=basic("bob", "p" * 100)).status == 200


def test_whether_the_server_lives_is_told_to_everybody(start: StartRegistry, htpasswd: Path) -> None:
    client = start(Settings(htpasswd=htpasswd))
    answer = client.get("/")
    assert (answer.status, answer.body) == (200, b"")


def test_a_change_of_the_file_holds_at_once(start: StartRegistry, htpasswd: Path) -> None:
    client = start(Settings(htpasswd=htpasswd))
    known = basic("ann", "pa:ss")
    assert client.get("/v2/", Authorization=known).status == 200
    fresh = htpasswd.with_name("new")
    fresh.write_text(entry("ann", "other") + entry("eve", "x"))
    os.replace(fresh, htpasswd)
    assert client.get("/v2/", Authorization=known).status == 401
    assert client.get("/v2/", Authorization=basic("ann", "other")).status == 200
    assert client.get("/v2/", Authorization=basic("eve", "x")).status == 200
    htpasswd.unlink()
    assert client.get("/v2/", Authorization=basic("eve", "x")).status == 401


def test_every_path_asks_who_it_is_before_anything_else(start: StartRegistry, htpasswd: Path) -> None:
    client = start(Settings(htpasswd=htpasswd))
    for method, path in (
        ("POST", "/"),
        ("GET", "/v1/"),
        ("POST", "/v2/a/blobs/uploads/"),
        ("PATCH", "/v2/UPPER/x"),
        ("GET", "/v2/_catalog"),
    ):
        assert client.call(method, path).status == 401


@pytest.mark.parametrize("line", ["ann", "ann:$apr1$x$y", "ann:{SHA}x", ":$2b$04$" + "a" * 53, "ann:$2b$04$short"])
def test_a_file_with_an_entry_that_is_not_bcrypt_is_refused_at_the_start(tmp_path: Path, line: str) -> None:
    path = tmp_path / "htpasswd"
    path.write_text(entry("bob", "x") + line + "\n")
    with Workers() as workers, pytest.raises(UsageError, match="line 2"):
        Htpasswd(path, workers)


def test_a_file_that_is_not_there_is_refused_at_the_start(tmp_path: Path) -> None:
    with Workers() as workers, pytest.raises(UsageError, match="No such file"):
        Htpasswd(tmp_path / "none", workers)


@given(st.binary(max_size=200))
def test_any_file_is_read(data: bytes) -> None:
    users, _ = read_users(data)
    assert all(kept.startswith(b"$2") and len(kept) == 60 for kept in users.values())


@given(st.text(max_size=40))
def test_any_header_is_read(text: str) -> None:
    read_basic(text)
    read_basic(f"Basic {text}")
