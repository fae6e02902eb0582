"""Proxies of Docker's client configuration."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from frozen import replace
from runtime.context import Context
from runtime.registry.clientconfig import client_file, client_setting, proxy_variables

PROXIES = {"httpProxy": "http://p:1", "noProxy": "a,b", "httpsProxy": "", "unknown": "x"}


@pytest.fixture
def home(context: Context, tmp_path: Path) -> Context:
    return replace(context, environ={"HOME": str(tmp_path)}, stderr=io.StringIO())


def _write(home: Context, text: str) -> None:
    path = client_file(home.environ)
    assert path is not None
    path.parent.mkdir()
    path.write_text(text)


def test_the_file_is_found_as_docker_finds_it() -> None:
    assert client_file({}) is None
    assert client_file({"HOME": "/h"}) == Path("/h/.docker/config.json")
    assert client_file({"HOME": "/h", "DOCKER_CONFIG": "/d"}) == Path("/d/config.json")


def test_proxies_are_given_in_both_spellings_unless_one_asked_for_them(home: Context) -> None:
    _write(home, json.dumps({"proxies": {"default": PROXIES, "tcp://other": {"ftpProxy": "x"}}}))
    assert proxy_variables(home, ()) == {
        "HTTP_PROXY": "http://p:1",
        "http_proxy": "http://p:1",
        "NO_PROXY": "a,b",
        "no_proxy": "a,b",
    }
    assert proxy_variables(home, {"http_proxy", "NO_PROXY"}) == {"HTTP_PROXY": "http://p:1", "no_proxy": "a,b"}


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"auths": {}}', '{"proxies": {}}', '{"proxies": []}', '{"proxies": {"default": [1]}}', "{"],
)
def test_most_have_no_proxies(home: Context, text: str) -> None:
    _write(home, text)
    assert proxy_variables(home, ()) == {}
    assert home.stderr.getvalue() == ""  # type: ignore[attr-defined]


def test_a_file_that_cannot_be_read_is_told_of(home: Context) -> None:
    _write(home, '{"proxies": ')
    assert proxy_variables(home, ()) == {}
    assert "is not JSON: its proxies cannot be read" in home.stderr.getvalue()  # type: ignore[attr-defined]


def test_one_setting_is_a_text_that_is_not_empty(home: Context) -> None:
    _write(home, '{"psFormat": "{{.ID}}", "imagesFormat": "", "detachKeys": 1}')
    assert client_setting(home, "psFormat") == "{{.ID}}"
    assert [client_setting(home, name) for name in ("imagesFormat", "detachKeys", "statsFormat")] == [None] * 3


def test_no_file_and_no_home_is_fine(home: Context) -> None:
    assert proxy_variables(home, ()) == {}
    assert proxy_variables(replace(home, environ={}), ()) == {}
