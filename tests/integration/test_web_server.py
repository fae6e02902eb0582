"""A real Debian gets nginx from its package registry, is built twice, and serves a page."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.programs import Program
from tests.ports import free_ports

EXAMPLE = Path(__file__).parents[2] / "examples" / "nginx"
pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.netadmin, pytest.mark.overlay]


@pytest.fixture(scope="session")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a Debian trixie root filesystem as a tar, with the machine's own package sources."""
    if shutil.which("mmdebstrap") is None:
        pytest.fail("mmdebstrap is missing: apt-get install mmdebstrap")
    directory = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        directory = directory.parent  # one for all workers
    target = directory / "trixie.tar"
    with open(directory / "trixie.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            command = ["mmdebstrap", "--quiet", "--variant=minbase", "trixie", f"{target}.part.tar"]
            for tries in (2, 1, 0):  # the network between here and there is not ours
                if subprocess.run([*command, *mirror()], check=not tries, timeout=300).returncode == 0:
                    break
            os.rename(f"{target}.part.tar", target)
    return target


def mirror() -> list[str]:
    """Return the package source that this machine uses, so that the image uses it as well."""
    for path in (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list")):
        for line in path.read_text().splitlines() if path.exists() else ():
            words = line.split()
            if words[:1] == ["URIs:"]:
                return [words[1]]
            if words[:1] == ["deb"]:
                return [next(word for word in words if "://" in word)]
    return []


@pytest.fixture
def port() -> int:
    """Return a port that nobody uses."""
    return free_ports()


@pytest.fixture
def site(pybuild: Program, port: int) -> Path:
    """Return a copy of the example that listens on a port of the test's own."""
    target = pybuild.home / "nginx"
    shutil.copytree(EXAMPLE, target)
    conf = target / "default.conf"
    conf.write_text(conf.read_text().replace("8080", str(port)))
    pybuild.own(target)
    return target


def fetch(port: int, path: str) -> str:
    """Return what the server answers, waiting until it does (a minute at most)."""
    end = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=10) as answer:
                text: str = answer.read().decode()
                return text
        except (OSError, http.client.HTTPException):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


@contextmanager
def served(program: Program, image: str) -> Iterator[subprocess.Popen[bytes]]:
    with program.popen("run", "--rm", "--network", "host", image) as process:
        try:
            yield process
            process.terminate()
            process.communicate(timeout=60)
        finally:
            process.kill()


def test_a_debian_web_server_is_built_cached_and_served(
    pybuild: Program, debian: Path, site: Path, port: int, missing: Callable[[str], None]
) -> None:
    if pybuild.user and shutil.which("pasta") is None and shutil.which("slirp4netns") is None:
        missing("pasta or slirp4netns")
    pybuild("import", "-", "debian:trixie", input=debian.read_bytes())
    first = pybuild.text("build", "-q", "-t", "web", site, timeout=600)
    again = pybuild("build", "--progress", "plain", "-t", "web", site)
    assert pybuild.text("build", "-q", "-t", "web", site) == first
    steps = again.stderr.decode()
    assert steps.count("CACHED") == 4
    assert first in steps
    with served(pybuild, "web") as server:
        assert "served by nginx" in fetch(port, "index.html")
        assert server.poll() is None

    (site / "site" / "index.html").write_text("another page\n")
    rebuilt = pybuild("build", "--progress", "plain", "-t", "web", site).stderr.decode()
    assert rebuilt.count("CACHED") == 3
    config = json.loads(pybuild.text("inspect", "web"))[0]["Config"]
    assert config["Healthcheck"]["Test"] == ["CMD", "nginx", "-t"]
    assert config["StopSignal"] == "SIGQUIT"
    with served(pybuild, "web"):
        assert fetch(port, "index.html") == "another page\n"
