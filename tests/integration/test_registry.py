"""Images on their way to and from Debian's docker-registry, by the program, and what other tools make of them."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.programs import Program
from tests.ports import free_ports

pytestmark = [pytest.mark.root, pytest.mark.userns, pytest.mark.overlay]

_CONFIG = """version: 0.1
log: {{level: error}}
storage:
  filesystem: {{rootdirectory: {directory}}}
http: {{addr: "{host}"}}
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a registry; gives its host and port."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("docker-registry (package docker-registry)")
    directory = tmp_path_factory.mktemp("registry")
    host = f"127.0.0.1:{free_ports()}"
    (directory / "config.yml").write_text(_CONFIG.format(directory=directory / "data", host=host))
    with subprocess.Popen(
        [program, "serve", str(directory / "config.yml")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            _wait_for(host)
            yield host
        finally:
            process.kill()


def _wait_for(host: str) -> None:
    name, _, port = host.rpartition(":")
    for _ in range(1200):
        try:
            socket.create_connection((name, int(port)), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("the registry does not come up")


@pytest.fixture
def pushed(box: Program, registry: str) -> str:
    """Return the name of `box` at the registry, which is all that the store knows it by no longer."""
    name = f"{registry}/{'user' if box.user else 'root'}/box:v1"
    box("tag", "box", name)
    box("push", name)
    box("rmi", name)
    return name


def _away(program: Program) -> None:
    """Forget all images and what they needed."""
    program("image", "prune", "-a", "-f", status=None)
    program("system", "prune", "-a", "-f", status=None)


def test_what_was_pushed_is_pulled_run_and_up_to_date(box: Program, pushed: str) -> None:
    identity = box.text("inspect", "--format", "{{.Id}}", "box")
    _away(box)
    pulled = box("pull", pushed)
    lines = pulled.stdout.decode().splitlines()
    assert lines[0].startswith("Digest: sha256:")
    assert lines[1:] == [f"Status: Downloaded newer image for {pushed}", pushed]
    assert b"v1: Pulling from" in pulled.stderr
    assert b"Pull complete" in pulled.stderr
    assert box.text("inspect", "--format", "{{.Id}}", pushed) == identity
    assert box.text("run", "--rm", "--network", "none", pushed, "echo", "hello") == "hello"
    assert f"Status: Image is up to date for {pushed}" in box.text("pull", pushed)
    assert box.text("pull", "-q", pushed) == pushed


def test_push_says_what_docker_says(box: Program, registry: str) -> None:
    name = f"{registry}/words/{'user' if box.user else 'root'}"
    box("tag", "box", name)
    result = box("push", name)
    assert f"The push refers to repository [{name}]".encode() in result.stderr
    digest = json.loads(box.text("inspect", name))[0]["RepoDigests"][0].partition("@")[2]
    line = result.stdout.decode().strip()
    assert line.startswith(f"latest: digest: {digest} size: ")
    assert box.text("push", "-q", name) == f"{name}:latest"


def test_a_container_of_a_digest_is_listed_without_it(box: Program, pushed: str) -> None:
    box("pull", pushed)
    digest = json.loads(box.text("inspect", pushed))[0]["RepoDigests"][0]
    container = box.text("create", "--network", "none", digest, "true")
    words = ("ps", "-a", "--filter", f"id={container}", "--format", "{{.Image}}")
    assert box.text(*words) == digest.partition("@")[0]
    assert box.text(*words, "--no-trunc") == digest
    box("rm", container)


def test_run_pulls_what_is_missing_and_says_so(box: Program, pushed: str) -> None:
    _away(box)
    result = box("run", "--rm", "--network", "none", pushed, "echo", "hello")
    assert result.stdout == b"hello\n"
    assert f"Unable to find image '{pushed}' locally".encode() in result.stderr
    quiet = box("run", "--rm", "--network", "none", "--pull", "always", "-q", pushed, "echo", "hello")
    assert quiet.stderr == b""


def test_what_no_registry_has_ends_run_with_125_and_the_others_with_1(box: Program, registry: str) -> None:
    for words, status in ((("run", "--rm"), 125), (("pull",), 1)):
        result = box(*words, f"{registry}/no/such", status=status)
        assert b"manifest unknown" in result.stderr
    assert b"Unable to find image" in box("run", "--pull", "missing", f"{registry}/no/such", status=125).stderr
    assert b"No such image" in box("run", "--pull", "never", f"{registry}/no/such", status=125).stderr
    assert b"does not exist locally" in box("push", f"{registry}/no/such", status=1).stderr


def test_a_build_pulls_whatever_it_names(box: Program, pushed: str, registry: str) -> None:
    other = pushed.replace("/box:v1", "/other:v2")
    box("tag", "box", other)
    box("push", other)
    _away(box)
    text = (
        f"FROM {pushed}\nCOPY --from={other} /etc/passwd /copied\n"
        f"RUN --network=none --mount=from={other},target=/m test -x /m/bin/busybox\n"
    )
    directory = box.directory("context", {"Dockerfile": text})
    box("build", "-t", "out", directory)
    assert box.text("run", "--rm", "--network", "none", "out", "head", "-c", "4", "/copied") == "root"
    box("--offline", "build", "-t", "out", directory)
    missing = box.directory("missing", {"Dockerfile": f"FROM {registry}/no/such\n"})
    result = box("build", missing, status=1)
    assert b"No such image" in result.stderr
    assert b"manifest unknown" in result.stderr


def test_a_lock_holds_what_the_tag_left(box: Program, pushed: str) -> None:
    directory = box.directory("context", {"Dockerfile": f"FROM {pushed}\nRUN --network=none true\n"})
    first = box.text("lock", directory)
    moved = box.directory("moved", {"Dockerfile": "FROM box\nLABEL moved=yes\n"})
    box("build", "-t", pushed, moved)
    box("push", pushed)
    drift = box("build", "--progress", "plain", directory)
    assert b"pybuild.lock pins" in drift.stderr
    labels = ("inspect", "--format", "{{json .Config.Labels}}")
    assert box.text(*labels, box.text("build", "-q", directory)) == '{"moved":"yes"}'
    assert "moved" not in box.text(*labels, box.text("build", "-q", "--locked", directory))
    assert "moved" not in box.text(*labels, box.text("--offline", "build", "-q", "--locked", directory))
    assert box.text("lock", directory) == first
    assert box.text("lock", "update", pushed, directory) != first
    assert box.text(*labels, box.text("build", "-q", "--locked", directory)) == '{"moved":"yes"}'


def test_copies_need_no_store(box: Program, pushed: str, registry: str) -> None:
    digest = box.text("copy", pushed, "oci:layout:v1")
    assert box.text("copy", "oci:layout:v1", "oci-archive:a.tar") == digest
    assert box.text("copy", "-q", "oci-archive:a.tar", f"docker://{registry}/copied/{box.user or 'root'}") == digest
    box("copy", pushed, "docker-archive:d.tar:loaded:v1")
    _away(box)
    assert box.text("load", "-i", "d.tar") == "Loaded image: loaded:v1"


def test_a_pull_that_is_killed_leaves_nothing_wrong(box: Program, pushed: str) -> None:
    _away(box)
    for delay in (0.15, 0.3, 0.45):
        process = box.popen("pull", pushed)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    box("system", "check")
    box("pull", pushed)
    box("system", "check")
    assert box.text("run", "--rm", "--network", "none", pushed, "echo", "hello") == "hello"


def test_pulls_at_once_fetch_a_layer_once(box: Program, pushed: str) -> None:
    _away(box)
    processes = [box.popen("pull", "-q", pushed) for _ in range(4)]
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out.decode().strip()) == (0, pushed), err
    box("system", "check")


@pytest.mark.peer
def test_skopeo_and_the_program_understand_each_other(
    box: Program, pushed: str, registry: str, tmp_path: Path, missing: Callable[[str], None]
) -> None:
    if shutil.which("skopeo") is None:
        missing("skopeo")

    def skopeo(*words: str) -> str:
        return subprocess.run(["skopeo", *words], capture_output=True, text=True, check=True, timeout=60).stdout

    theirs = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{pushed}"))
    box("pull", pushed)
    ours = json.loads(box.text("inspect", pushed))[0]
    assert ours["RepoDigests"] == [f"{pushed.rpartition(':')[0]}@{theirs['Digest']}"]
    for format_ in ("v2s2", "oci"):
        name = f"{registry}/skopeo/{box.user or 'root'}:{format_}"
        copy = ("copy", "--src-tls-verify=false", "--dest-tls-verify=false", "-f", format_)
        skopeo(*copy, f"docker://{pushed}", f"docker://{name}")
        box("pull", name)
        assert json.loads(box.text("inspect", name))[0]["Id"] == ours["Id"]
    zstd = f"{registry}/skopeo/{box.user or 'root'}:zstd"
    plain = f"docker-archive:{tmp_path}/plain.tar"
    skopeo("copy", "--src-tls-verify=false", f"docker://{pushed}", f"{plain}:box:v1")
    skopeo("copy", "--dest-tls-verify=false", "--dest-compress-format", "zstd", "-f", "oci", plain, f"docker://{zstd}")
    _away(box)
    box("pull", zstd)
    assert box.text("run", "--rm", "--network", "none", zstd, "echo", "hello") == "hello"
    box("copy", pushed, f"oci:{box.home / 'layout'}:v1")
    assert json.loads(skopeo("inspect", f"oci:{box.home / 'layout'}:v1"))["Digest"] == theirs["Digest"]
