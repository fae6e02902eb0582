"""The client and its verbs against Debian's docker-registry: plain, with passwords, over TLS."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from frozen import replace
from runtime.context import Context
from runtime.errors import NotFound, RegistryError
from runtime.oci.digests import Digest
from runtime.oci.documents import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST
from runtime.oci.references import parse_reference
from runtime.registry.client import Repository
from runtime.registry.credentials import Credentials, CredentialSource
from runtime.registry.hosts import Hosts
from runtime.registry.transport import Body, Transport
from tests.ports import free_ports

pytestmark = pytest.mark.peer

Start = Callable[..., str]
LAYER = os.urandom(5_000_000)


@pytest.fixture
def start(tmp_path: Path, missing: Callable[[str], None]) -> Iterator[Start]:
    """Return a function that starts a registry with more configuration, and returns its host."""
    if shutil.which("docker-registry") is None:
        missing("docker-registry")
    with ExitStack() as stack:

        def run(*, tls: Path | None = None, auth: str = "") -> str:
            host = f"127.0.0.1:{free_ports()}"
            files = {"certificate": str(tls / "server.crt"), "key": str(tls / "server.key")} if tls else {}
            config = {
                "version": "0.1",
                "log": {"level": "error", "accesslog": {"disabled": True}},
                "storage": {"filesystem": {"rootdirectory": str(tmp_path / "data")}, "delete": {"enabled": True}},
                "http": {"addr": host, **({"tls": files} if files else {})},
            }
            if auth:
                (tmp_path / "htpasswd").write_text(auth)
                config["auth"] = {"htpasswd": {"realm": "test", "path": str(tmp_path / "htpasswd")}}
            path = tmp_path / "registry.json"
            path.write_text(json.dumps(config))
            process = subprocess.Popen(["docker-registry", "serve", str(path)], stderr=subprocess.DEVNULL)
            stack.callback(process.wait, 60)
            stack.callback(process.kill)
            _wait_for(host)
            return host

        yield run


def _wait_for(host: str) -> None:
    name, _, port = host.partition(":")
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            socket.create_connection((name, int(port)), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("docker-registry does not listen")


@pytest.fixture
def htpasswd(missing: Callable[[str], None]) -> str:
    bcrypt = pytest.importorskip("bcrypt")
    return f"user:{bcrypt.hashpw(b'sesame', bcrypt.gensalt(4)).decode()}\n"


@pytest.fixture
def alone(context: Context, tmp_path: Path) -> Context:
    """Return a context whose home is empty."""
    home = tmp_path / "home"
    home.mkdir()
    return replace(context, environ={"HOME": str(home), "PATH": os.environ["PATH"]})


def round_trip(transport: Transport, host: str) -> None:
    repository = Repository(transport, parse_reference(f"{host}/team/app"), push=True)
    layer = Digest("sha256:" + hashlib.sha256(LAYER).hexdigest())
    assert repository.has_blob(layer) is None
    repository.upload_blob(Body(open=lambda: io.BytesIO(LAYER), size=len(LAYER)), layer)
    assert repository.has_blob(layer) == len(LAYER)
    config, size = repository.upload_stream(io.BytesIO(b"{}"))
    streamed, length = repository.upload_stream(io.BytesIO(LAYER * 2), chunk=1_500_000)
    assert (streamed, length) == ("sha256:" + hashlib.sha256(LAYER * 2).hexdigest(), 2 * len(LAYER))
    layers = [{"mediaType": OCI_LAYER, "digest": layer, "size": len(LAYER)}]
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": layers}
    document["config"] = {"mediaType": OCI_CONFIG, "digest": config, "size": size}
    data = json.dumps(document).encode()
    digest, _ = repository.put_manifest("v1", OCI_MANIFEST, data)
    assert repository.get_manifest("v1") == repository.get_manifest(digest)
    assert list(repository.tags()) == ["v1"]
    begun = hashlib.sha256(LAYER[:1234])
    with repository.blob(layer, len(LAYER), offset=1234, hasher=begun) as stream:
        assert b"".join(iter(stream.read, b"")) == LAYER[1234:]
    other = Repository(transport, parse_reference(f"{host}/team/other"), push=True)
    assert other.mount_blob(layer, "team/app")
    assert other.has_blob(layer) == len(LAYER)
    assert repository.referrers(digest) == ()
    repository.delete_manifest(digest)
    assert repository.head_manifest("v1") is None


def test_a_plain_registry_takes_and_gives(start: Start, alone: Context) -> None:
    host = start()
    with Transport(alone, Hosts()) as transport:
        round_trip(transport, host)


def test_a_registry_with_passwords_takes_and_gives(start: Start, alone: Context, htpasswd: str) -> None:
    host = start(auth=htpasswd)
    known = CredentialSource(alone, Credentials(username="user", secret="sesame"))
    with Transport(alone, Hosts(), known) as transport:
        round_trip(transport, host)
    with Transport(alone, Hosts()) as transport, pytest.raises(NotFound, match="pull access denied"):
        Repository(transport, parse_reference(f"{host}/team/app")).get_manifest("v1")
    wrong = CredentialSource(alone, Credentials(username="user", secret="open"))
    with Transport(alone, Hosts(), wrong) as transport, pytest.raises(RegistryError, match="incorrect username"):
        Repository(transport, parse_reference(f"{host}/team/app")).get_manifest("v1")


def test_a_registry_over_tls_takes_and_gives(start: Start, alone: Context, certificates: Path) -> None:
    host = start(tls=certificates)
    directory = Path(alone.environ["HOME"]) / ".config" / "pybuild" / "certs.d" / host
    directory.mkdir(parents=True)
    shutil.copy(certificates / "ca.crt", directory / "ca.crt")
    with Transport(alone) as transport:
        round_trip(transport, host)


def test_tls_of_an_unknown_ca_is_not_passed_over_for_plain_http(
    start: Start, alone: Context, certificates: Path
) -> None:
    host = start(tls=certificates)
    with Transport(alone, Hosts()) as transport, pytest.raises(RegistryError, match="unknown authority"):
        Repository(transport, parse_reference(f"{host}/team/app")).get_manifest("v1")


def pybuild(alone: Context, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "builder.cli.main", *words],
        env={**alone.environ, "PYBUILD_ROOT": str(alone.layout.root)},
        cwd=Path(__file__).parents[3],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_login_and_logout(start: Start, alone: Context, htpasswd: str) -> None:
    host = start(auth=htpasswd)
    config = Path(alone.environ["HOME"]) / ".docker" / "config.json"
    refused = pybuild(alone, "login", "-u", "user", "--password-stdin", host, stdin="open\n")
    assert refused.returncode == 1
    assert "unauthorized" in refused.stderr
    assert "incorrect username or password" in refused.stderr
    assert not config.exists()
    done = pybuild(alone, "login", "-u", "user", "--password-stdin", f"https://{host}/v2/", stdin="sesame\n")
    assert (done.returncode, done.stdout) == (0, "Login Succeeded\n")
    assert "stored unencrypted" in done.stderr
    assert config.stat().st_mode & 0o777 == 0o600
    again = pybuild(alone, "login", host)
    assert (again.returncode, again.stdout) == (0, "Login Succeeded\n")
    assert "Authenticating with existing credentials... [Username: user]" in again.stderr
    assert pybuild(alone, "search", f"{host}/app").returncode == 0
    assert pybuild(alone, "logout", host).stdout == f"Removing login credentials for {host}\n"
    assert pybuild(alone, "logout", host).stdout == f"Not logged in to {host}\n"
    assert pybuild(alone, "search", f"{host}/app").returncode == 1


def test_a_search_looks_through_the_catalog(start: Start, alone: Context) -> None:
    host = start()
    with Transport(alone, Hosts()) as transport:
        for name in ("team/app", "team/tool", "apple"):
            repository = Repository(transport, parse_reference(f"{host}/{name}"), push=True)
            config, size = repository.upload_stream(io.BytesIO(b"{}"))
            document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": []}
            document["config"] = {"mediaType": OCI_CONFIG, "digest": config, "size": size}
            repository.put_manifest("v1", OCI_MANIFEST, json.dumps(document).encode())
    found = pybuild(alone, "search", "--format", "{{.Name}}", f"{host}/app")
    assert sorted(found.stdout.split()) == [f"{host}/apple", f"{host}/team/app"]
    table = pybuild(alone, "search", f"{host}/tool").stdout.splitlines()
    assert table[0].split() == ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"]
    assert "--offline" in pybuild(alone, "search", "--offline", f"{host}/app").stderr


def test_a_remote_image_is_inspected(start: Start, alone: Context) -> None:
    host = start()
    with Transport(alone, Hosts()) as transport:
        repository = Repository(transport, parse_reference(f"{host}/team/app"), push=True)
        image = json.dumps({"architecture": "arm64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}})
        config, size = repository.upload_stream(io.BytesIO(image.encode()))
        document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": []}
        document["config"] = {"mediaType": OCI_CONFIG, "digest": config, "size": size}
        digest, _ = repository.put_manifest("v1", OCI_MANIFEST, json.dumps(document).encode())
    shown = pybuild(alone, "inspect", "--remote", "--format", "{{.Digest}} {{.Architecture}}", f"{host}/team/app:v1")
    assert shown.stdout == f"{digest} arm64\n"
    absent = pybuild(alone, "inspect", "--remote", f"{host}/team/app:v2")
    assert (absent.returncode, absent.stdout) == (1, "[]\n")
    assert "manifest unknown" in absent.stderr


def test_a_password_is_in_no_traceback(start: Start, alone: Context, htpasswd: str) -> None:
    host = start(auth=htpasswd)
    done = pybuild(alone, "--debug", "login", "-u", "user", "-p", "hush-hush", host)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "hush-hush" not in done.stderr
    assert "dXNlcjpodXNo" not in done.stderr


def test_wrong_words_of_login_are_refused(alone: Context) -> None:
    for words, told in (
        (("login", "--password-stdin", "r.example"), "Must provide --username with --password-stdin"),
        (("login", "-u", "a", "-p", "b", "--password-stdin", "r.example"), "mutually exclusive"),
        (("login", "r.example"), "Cannot perform an interactive login from a non TTY device"),
        (("login", "-u", "a", "--password-stdin", "a b"), "is no registry"),
        (("search", "--limit", "101", "x"), "outside the range"),
        (("search", "--filter", "x=y", "x"), "invalid filter"),
    ):
        done = pybuild(alone, *words, stdin="secret\n")
        assert done.returncode == 2, words
        assert told in done.stderr
        assert "secret" not in done.stderr
