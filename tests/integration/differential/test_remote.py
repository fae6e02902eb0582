"""pybuild takes from elsewhere what BuildKit takes; both ask the same servers on the loopback device.

Where no docker with BuildKit answers, its results are those recorded in `recorded_remote.json`.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.differential.describe import describe
from tests.integration.differential.remote_cases import COPY_ALL, REMOTES, Remote
from tests.integration.differential.test_differential import Docker, docker, program
from tests.integration.programs import Program
from tests.remotes import LONG_AGO, Git, Web, git_server, make_repository, web_server

__all__ = ["docker", "program"]

RECORDED = Path(__file__).with_name("recorded_remote.json")


@dataclass
class Places:
    """Where the servers are, and an archive that is a context."""

    web: Web
    git: Git
    archive: bytes

    def fill(self, text: str, directory: str) -> str:
        return text.replace("WEB", self.web.url("")).replace("GIT", self.git.url).replace("CONTEXT", directory)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    if shutil.which("git") is None:
        pytest.skip("git")
    with ExitStack() as stack:
        web = stack.enter_context(web_server())
        git = make_repository(tmp_path_factory.mktemp("git"))
        git.address = stack.enter_context(git_server(git.bare.parent))
        _fill_repository(git)
        archive = _archive({"Dockerfile": COPY_ALL, "x": "x\n", "sub/Other": COPY_ALL, ".dockerignore": "x\n"})
        web.put("/hello.txt", "hello\n", modified=LONG_AGO)
        web.put("/hello.txt?x=1", "hello\n", modified=LONG_AGO)
        web.put("/", "index\n", modified=LONG_AGO)
        web.put("/files.tar.gz", gzip.compress(_archive({"one": "1", "d/two": "2"}), mtime=0), modified=LONG_AGO)
        web.put("/moved", status=302, headers={"Location": "/hello.txt"})
        web.put("/context.tar", archive, modified=LONG_AGO)
        web.put("/Dockerfile", f"{COPY_ALL}\n", modified=LONG_AGO)
        yield Places(web, git, archive)


def _fill_repository(git: Git) -> None:
    (git.work / "sub").mkdir()
    (git.work / "sub/run.sh").write_text("#!\n")
    (git.work / "sub/run.sh").chmod(0o755)
    (git.work / "sub/link").symlink_to("run.sh")
    git.commit({"top": "top\n", "sub/deep/d": "d\n", ".gitattributes": "*.crlf eol=crlf\n", "t.crlf": "a\nb\n"})
    git("tag", "-a", "v1", "-m", "one")
    git("checkout", "-q", "-b", "both")
    git.commit({"which": "branch\n"})
    git("checkout", "-q", "--detach", "main")
    git.commit({"which": "tag\n"})
    git("tag", "both")
    git("checkout", "-q", "-b", "side", "main")
    git.commit({"side": "s\n"})
    git("checkout", "-q", "-b", "ctx", "main")
    git.commit({"Dockerfile": f"{COPY_ALL}\n", "sub/Dockerfile": f"{COPY_ALL}\n", ".dockerignore": "top\n"})
    git("checkout", "-q", "main")
    git.publish()


def _archive(files: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.uid, member.gid, member.mtime = len(content), 12, 34, LONG_AGO
            tar.addfile(member, io.BytesIO(content.encode()))
    return out.getvalue()


def _make_context(base: Path, case: Remote, places: Places) -> Path:
    for name, content in {
        "Dockerfile": places.fill(case.text, str(base)),
        "a.txt": "a\n",
        "named/f": "f\n",
        "named/d/g": "g\n",
        "named/ignored": "",
        "named/.dockerignore": "ignored\n",
    }.items():
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o644)
    for path in base.rglob("*"):
        os.utime(path, (LONG_AGO, LONG_AGO))
    return base


@pytest.mark.root
@pytest.mark.overlay
@pytest.mark.parametrize("case", REMOTES, ids=lambda case: case.name)
def test_what_comes_from_elsewhere_is_what_buildkit_makes_of_it(
    case: Remote,
    places: Places,
    program: Program,
    docker: Docker | None,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    missing: Callable[[str], None],
) -> None:
    context = _make_context(tmp_path, case, places)
    stdin = places.archive if case.archive else None
    recorded: dict[str, Any] = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    if docker is not None:
        words = [places.fill(word, docker.prefix + str(context)) for word in case.words]
        docker("buildx", "build", "-q", "-t", "differential-remote", *words, stdin=stdin)
        theirs = _described(docker("save", "differential-remote"), case, places)
        if request.config.getoption("--record"):
            recorded[case.name] = theirs
            RECORDED.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n")
    elif case.name in recorded:
        theirs = recorded[case.name]
    else:
        missing("a docker with BuildKit, or a recorded result")
    words = [places.fill(word, str(context)) for word in case.words]
    program("build", "-q", "-t", "differential-remote", *words, input=stdin)
    assert _described(program("save", "differential-remote").stdout, case, places) == theirs


def _described(archive: bytes, case: Remote, places: Places) -> dict[str, Any]:
    """Describe an image without times, and with the servers' names in place of their addresses."""
    scratch = case.text.rpartition("FROM")[2].strip().startswith("scratch")
    found = dict(describe(archive, base_layers=0 if scratch else 1))
    del found["times"]
    text = json.dumps(found).replace(places.web.address, "WEB").replace(places.git.address, "GIT")
    loaded: dict[str, Any] = json.loads(text)
    return loaded
