"""A URL is asked as often as it has to be, and what it gave is kept."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import pytest

from builder.cachestore import delete, entries
from builder.interfaces import NotFetched
from builder.remote.web import NoNetwork
from runtime.errors import DigestMismatch, PybuildError
from runtime.store import Store
from tests.builder.remote.conftest import Bench
from tests.remotes import LONG_AGO, Web, web_server


def checksum(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def test_a_file_is_kept_by_its_content_with_the_time_that_the_server_says(remote: Bench, web: Web) -> None:
    url = web.put("/dir/f.txt?x=1", b"hello", modified=LONG_AGO)
    with remote.build() as sources:
        file = sources.file(url)
    assert file.name == "f.txt"
    assert file.digest == checksum(b"hello")
    assert file.mtime_ns == LONG_AGO * 10**9
    assert file.path.read_bytes() == b"hello"
    assert remote.loaded == [f"[internal] load remote file {url}"]


def test_one_build_asks_once_for_each_url(remote: Bench, web: Web) -> None:
    url = web.put("/f", b"x")
    with remote.build() as sources:
        assert sources.file(url) == sources.file(url)
    assert len(web.asked) == 1


@pytest.mark.parametrize(
    ("more", "header"), [({"etag": True}, "if-none-match"), ({"modified": 5}, "if-modified-since")]
)
def test_the_next_build_asks_whether_it_has_changed(
    remote: Bench, web: Web, more: dict[str, object], header: str
) -> None:
    url = web.put("/f", b"x", **more)
    for _ in range(2):
        with remote.build() as sources:
            assert sources.file(url).digest == checksum(b"x")
    assert header not in web.asked[0][1]
    assert header in web.asked[1][1]
    assert remote.loaded == []
    web.put("/f", b"y", etag=True, modified=6)
    with remote.build() as sources:
        assert sources.file(url).digest == checksum(b"y")


def test_without_fetching_nobody_is_asked(remote: Bench, web: Web) -> None:
    url = web.put("/f", b"x", etag=True)
    with remote.build() as sources, pytest.raises(NotFetched):
        sources.file(url, fetch=False)
    with remote.build() as sources:
        sources.file(url)
    with remote.build() as sources, pytest.raises(NotFetched):
        sources.file(url, fetch=False)
    assert len(web.asked) == 1


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_file_with_a_checksum_is_never_asked_for_again(remote: Bench, web: Web, algorithm: str) -> None:
    url = web.put("/f", b"x")
    pin = checksum(b"x", algorithm)
    with remote.build() as sources:
        sources.file(url, pin)
    with remote.build(offline=True) as sources:
        assert sources.file(url, pin.upper().replace("SHA", "sha"), fetch=False).digest == checksum(b"x")
        assert sources.file("http://elsewhere.invalid/g", pin, fetch=False).name == "g"
    assert len(web.asked) == 1


def test_another_content_than_the_checksum_says_is_an_error_with_both(remote: Bench, web: Web) -> None:
    url = web.put("/f", b"x")
    with remote.build() as sources, pytest.raises(DigestMismatch) as caught:
        sources.file(url, checksum(b"y"))
    assert caught.value.expected == checksum(b"y")
    assert caught.value.actual == checksum(b"x")
    assert not list((remote.context.layout.root / "downloads").glob("*"))


def test_for_want_of_a_network_the_stored_copy_is_used_with_a_warning(remote: Bench) -> None:
    with web_server() as web:
        url = web.put("/f", b"x")
        with remote.build() as sources:
            sources.file(url)
    with remote.build() as sources:
        assert sources.file(url).digest == checksum(b"x")
        with pytest.raises(NoNetwork, match="connection refused"):
            sources.file(web.url("/g"))
    assert len(remote.warnings) == 1
    assert "the stored copy is used" in remote.warnings[0]


def test_offline_nothing_connects(remote: Bench, web: Web) -> None:
    url = web.put("/f", b"x")
    with remote.build(offline=True) as sources, pytest.raises(NoNetwork, match="--offline"):
        sources.file(url)
    with remote.build() as sources:
        sources.file(url)
    with remote.build(offline=True) as sources:
        assert sources.file(url).digest == checksum(b"x")
    assert len(web.asked) == 1
    assert remote.warnings == []


def test_a_dead_url_is_an_error_that_names_it_and_its_status(remote: Bench, web: Web) -> None:
    with remote.build() as sources, pytest.raises(PybuildError) as caught:
        sources.file(web.url("/gone"))
    assert "/gone: invalid response status 404" in caught.value.message
    assert caught.value.hint


def test_a_file_that_is_gone_is_an_error_although_there_is_a_copy(remote: Bench, web: Web) -> None:
    url = web.put("/f", b"x", etag=True)
    with remote.build() as sources:
        sources.file(url)
    web.put("/f", status=410)
    with remote.build() as sources, pytest.raises(PybuildError, match="status 410"):
        sources.file(url)


def test_redirects_are_followed_but_not_in_circles(remote: Bench, web: Web) -> None:
    web.put("/f", b"x")
    start = web.put("/start", status=302, headers={"Location": "/f"})
    circle = web.put("/circle", status=302, headers={"Location": "/circle"})
    with remote.build() as sources:
        file = sources.file(start)
        assert file.digest == checksum(b"x")
        assert file.name == "start"
        with pytest.raises(PybuildError, match="redirects more than 10 times"):
            sources.file(circle)


def test_an_answer_that_breaks_off_is_asked_for_again(remote: Bench, web: Web) -> None:
    url = web.put("/f", b"x" * 1000, cuts=1)
    with remote.build() as sources:
        assert sources.file(url).size == 1000
    assert len(web.asked) == 2


CONTENT = bytes(range(256)) * 1000


@pytest.mark.parametrize(
    ("page", "pinned", "asked"),
    [
        ({"etag": True}, False, [None, 128000, 192000]),
        ({"modified": 1_700_000_000}, False, [None, 128000, 192000]),
        ({}, False, [None, None, None]),
        ({}, True, [None, 128000, 192000]),
        ({"etag": True, "shift": 7}, False, [None, 128000, None]),
        ({"etag": True, "shift": 1 << 20}, False, [None, 128000, None, 128000, None]),
        ({"etag": True, "ranges": False}, False, [None, 128000, 128000]),
    ],
    ids=["by its tag", "by its time", "unknown", "by its checksum", "wrong part", "no such part", "no ranges"],
)
def test_what_came_before_a_connection_broke_is_not_asked_for_again(
    remote: Bench, web: Web, page: dict[str, Any], pinned: bool, asked: list[int | None]
) -> None:
    url = web.put("/f", CONTENT, cuts=2, **{"ranges": True, **page})
    with remote.build() as sources:
        file = sources.file(url, checksum(CONTENT) if pinned else None)
        assert file.digest == checksum(CONTENT)
        assert file.path.read_bytes() == CONTENT
    ranges = [headers.get("range") for _, headers in web.asked]
    assert ranges == [None if first is None else f"bytes={first}-" for first in asked]


def test_a_file_that_changes_while_it_comes_is_taken_anew(remote: Bench, web: Web) -> None:
    url = web.put("/f", CONTENT, cuts=1, ranges=True, etag=True)
    page = web.pages["/f"]
    changed = CONTENT[::-1]
    web.answered = lambda: setattr(page, "content", changed)
    with remote.build() as sources:
        assert sources.file(url).digest == checksum(changed)
    assert len(web.asked) == 2


def test_credentials_of_a_url_and_tokens_go_to_their_host_alone(remote: Bench, web: Web) -> None:
    web.put("/f", b"x", authorization="Basic dTpw")
    web.put("/g", b"x", authorization="Bearer t0k")
    with remote.build() as sources:
        assert sources.file(web.url("/f").replace("//", "//u:p@")).size == 1
        with pytest.raises(PybuildError, match="status 401") as caught:
            sources.file(web.url("/g"))
        assert f"HTTP_AUTH_TOKEN_{web.address}" in (caught.value.hint or "")
    with remote.build(secrets={f"HTTP_AUTH_TOKEN_{web.address}": b"t0k\n"}) as sources:
        assert sources.file(web.url("/g")).size == 1


def test_a_damaged_copy_is_fetched_anew(remote: Bench, web: Web) -> None:
    url = web.put("/f", b"good", etag=True)
    with remote.build() as sources:
        path = sources.file(url).path
    os.truncate(path, 0)
    path.write_bytes(b"evil")
    with remote.build() as sources:
        file = sources.verified(sources.file(url), url, None)
        assert file.path.read_bytes() == b"good"


def test_what_was_brought_is_part_of_the_cache_and_can_be_deleted(remote: Bench, web: Web) -> None:
    url = web.put("/f", b"x" * 5000)
    with remote.build() as sources:
        sources.file(url)
        with Store.open(remote.context) as store:
            (entry,) = entries(store)
            assert entry.in_use
            assert delete(store, [entry]) == ()
    with Store.open(remote.context) as store:
        (entry,) = entries(store)
        assert (entry.type, entry.description, entry.in_use) == ("source.http", url, False)
        assert entry.size >= 5000
        assert delete(store, [entry]) == (entry,)
        assert entries(store) == ()
    with remote.build() as sources:
        assert sources.file(url).size == 5000
    assert len(web.asked) == 2
