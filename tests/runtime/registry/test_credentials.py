"""Where credentials are found and kept."""

from __future__ import annotations

import base64
import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from frozen import replace
from runtime.context import Context
from runtime.errors import DocumentError, RegistryError, UsageError
from runtime.registry.credentials import Credentials, CredentialSource, parse_creds

HELPER = """#!/bin/sh
# Keeps one file a server; what it is told comes on standard input alone.
read -r line
case "$1" in
get) key=$(printf %s "$line" | tr '/:' '__'); echo "$# $1" >> "$KEPT/calls"
     test -f "$KEPT/$key" && cat "$KEPT/$key" || { echo "credentials not found in native keychain"; exit 1; } ;;
store) key=$(printf %s "$line" | sed 's/.*"ServerURL": "\\([^"]*\\)".*/\\1/' | tr '/:' '__')
       printf %s "$line" > "$KEPT/$key" ;;
erase) rm -f "$KEPT/$(printf %s "$line" | tr '/:' '__')" ;;
esac
"""


def encoded(text: str) -> dict[str, str]:
    return {"auth": base64.b64encode(text.encode()).decode()}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home" / ".docker").mkdir(parents=True)
    return tmp_path / "home"


@pytest.fixture
def config(home: Path) -> Path:
    return home / ".docker" / "config.json"


@pytest.fixture
def here(context: Context, home: Path) -> Context:
    return replace(context, environ={"HOME": str(home), "PATH": os.environ["PATH"]})


@pytest.fixture
def helper(home: Path, here: Context) -> Context:
    """Install a helper program `docker-credential-files`."""
    program = home / "bin" / "docker-credential-files"
    program.parent.mkdir()
    program.write_text(HELPER)
    program.chmod(0o755)
    (home / "kept").mkdir()
    environ = {**here.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "KEPT": str(home / "kept")}
    return replace(here, environ=environ)


def test_docker_s_file_is_read(here: Context, config: Path) -> None:
    config.write_text(json.dumps({"auths": {"registry.example:5000": encoded("me:pass:word")}}))
    found = CredentialSource(here).lookup("registry.example:5000", "team/app")
    assert found == Credentials(username="me", secret="pass:word")
    assert CredentialSource(here).lookup("other.example") is None


@pytest.mark.parametrize(
    "key", ["https://index.docker.io/v1/", "index.docker.io", "docker.io", "https://index.docker.io/v2/"]
)
def test_docker_hub_is_known_by_all_its_names(here: Context, config: Path, key: str) -> None:
    config.write_text(json.dumps({"auths": {key: encoded("me:x")}}))
    assert CredentialSource(here).lookup("docker.io", "library/app") == Credentials(username="me", secret="x")


def test_a_key_may_be_a_url(here: Context, config: Path) -> None:
    config.write_text(json.dumps({"auths": {"https://registry.example/v1/": encoded("me:x")}}))
    assert CredentialSource(here).lookup("registry.example") is not None


def test_the_most_specific_entry_wins(here: Context, home: Path) -> None:
    auth = home / "auth.json"
    entries = {
        "r.example": encoded("all:1"),
        "r.example/team": encoded("team:2"),
        "r.example/team/app": encoded("app:3"),
    }
    auth.write_text(json.dumps({"auths": entries}))
    source = CredentialSource(replace(here, environ={**here.environ, "REGISTRY_AUTH_FILE": str(auth)}))
    names = [
        (source.lookup("r.example", path) or Credentials()).username for path in ("team/app", "team/x", "teams/app", "")
    ]
    assert names == ["app", "team", "all", "all"]


def test_registry_auth_file_comes_before_docker_s(here: Context, home: Path, config: Path) -> None:
    auth = home / "auth.json"
    config.write_text(json.dumps({"auths": {"r.example": encoded("docker:1"), "d.example": encoded("docker:1")}}))
    auth.write_text(json.dumps({"auths": {"r.example": encoded("other:2")}}))
    source = CredentialSource(replace(here, environ={**here.environ, "REGISTRY_AUTH_FILE": str(auth)}))
    assert [(source.lookup(name) or Credentials()).username for name in ("r.example", "d.example")] == [
        "other",
        "docker",
    ]


def test_docker_config_names_the_directory(here: Context, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"r.example": encoded("me:1")}}))
    source = CredentialSource(replace(here, environ={"DOCKER_CONFIG": str(tmp_path)}))
    assert source.lookup("r.example") is not None


def test_tokens_of_a_file_are_read(here: Context, config: Path) -> None:
    config.write_text(json.dumps({"auths": {"a": {"identitytoken": "i"}, "b": {"registrytoken": "r"}, "c": {}}}))
    source = CredentialSource(here)
    assert source.lookup("a") == Credentials(identity_token="i")
    assert source.lookup("b") == Credentials(registry_token="r")
    assert source.lookup("c") is None


def test_what_was_given_comes_first(here: Context, config: Path) -> None:
    config.write_text(json.dumps({"auths": {"r.example": encoded("file:1")}}))
    given = parse_creds("me:a:b")
    assert given == Credentials(username="me", secret="a:b")
    assert CredentialSource(here, given).lookup("r.example") is given


@pytest.mark.parametrize("text", ["", "me", ":secret"])
def test_creds_without_both_parts_are_refused_unseen(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_creds(text)
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"auths": []}', '{"auths": {"r": 1}}', '{"auths": {"r": {"auth": "%"}}}', '{"credHelpers": 1}']
)
def test_a_damaged_file_is_named_without_its_content(here: Context, config: Path, text: str) -> None:
    config.write_text(text)
    with pytest.raises(DocumentError, match=r"config\.json"):
        CredentialSource(here).lookup("r")


def test_a_login_is_kept_for_its_owner_alone_and_nothing_else_is_lost(here: Context, config: Path) -> None:
    config.write_text(json.dumps({"HttpHeaders": {"X": "é"}, "auths": {"other": encoded("a:b")}}))
    assert CredentialSource(here).store("r.example", Credentials(username="me", secret="x")) == config
    assert json.loads(config.read_text()) == {
        "HttpHeaders": {"X": "é"},
        "auths": {"other": encoded("a:b"), "r.example": encoded("me:x")},
    }
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert os.listdir(config.parent) == ["config.json"]


def test_docker_hub_is_kept_under_docker_s_key(here: Context, config: Path) -> None:
    CredentialSource(here).store("docker.io", Credentials(username="me", secret="x", identity_token="t"))
    entry = json.loads(config.read_text())["auths"]["https://index.docker.io/v1/"]
    assert entry["identitytoken"] == "t"


def test_the_directory_is_made_and_a_link_is_kept(here: Context, home: Path, config: Path) -> None:
    config.parent.rmdir()
    source = CredentialSource(here)
    source.store("r.example", Credentials(username="me", secret="x"))
    assert stat.S_IMODE(config.parent.stat().st_mode) == 0o700
    config.rename(home / "real.json")
    config.symlink_to(home / "real.json")
    source.store("s.example", Credentials(username="me", secret="x"))
    assert config.is_symlink()
    assert set(json.loads((home / "real.json").read_text())["auths"]) == {"r.example", "s.example"}


def test_logins_at_once_do_not_lose_each_other(here: Context, config: Path) -> None:
    def log_in(number: int) -> None:
        CredentialSource(here).store(f"r{number}.example", Credentials(username="me", secret="x"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(log_in, range(24)))
    assert len(json.loads(config.read_text())["auths"]) == 24


def test_a_logout_forgets_all_spellings(here: Context, config: Path) -> None:
    entries = {"https://r.example/v1/": encoded("a:b"), "r.example": encoded("a:b"), "other": encoded("a:b")}
    config.write_text(json.dumps({"auths": entries}))
    assert CredentialSource(here).erase("r.example")
    assert list(json.loads(config.read_text())["auths"]) == ["other"]
    assert not CredentialSource(here).erase("r.example")


@pytest.mark.parametrize("setting", [{"credsStore": "files"}, {"credHelpers": {"r.example": "files"}}])
def test_a_helper_keeps_what_the_file_would(helper: Context, config: Path, home: Path, setting: object) -> None:
    config.write_text(json.dumps(setting))
    assert CredentialSource(helper).store("r.example", Credentials(username="me", secret="hush")) is None
    assert "hush" not in config.read_text()
    assert CredentialSource(helper).lookup("r.example") == Credentials(username="me", secret="hush")
    assert CredentialSource(helper).lookup("s.example") is None
    assert (home / "kept" / "calls").read_text().splitlines()[0] == "1 get"
    assert CredentialSource(helper).erase("r.example")
    assert CredentialSource(helper).lookup("r.example") is None


def test_a_helper_may_keep_a_token(helper: Context, config: Path) -> None:
    config.write_text('{"credsStore": "files"}')
    CredentialSource(helper).store("r.example", Credentials(username="me", identity_token="again"))
    assert CredentialSource(helper).lookup("r.example") == Credentials(identity_token="again")


def test_a_helper_that_is_not_installed_does_not_keep_public_images_away(here: Context, config: Path) -> None:
    config.write_text('{"credsStore": "absent"}')
    source = CredentialSource(here)
    assert source.lookup("r.example") is None
    assert "docker-credential-absent is not installed" in source.troubles[0]
    with pytest.raises(RegistryError, match="not installed"):
        source.store("r.example", Credentials(username="me", secret="x"))


def test_a_helper_is_no_path(here: Context, config: Path) -> None:
    config.write_text('{"credsStore": "../../evil"}')
    source = CredentialSource(here)
    assert source.lookup("r.example") is None
    assert source.troubles
