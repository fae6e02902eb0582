"""ADD takes from elsewhere what BuildKit takes, and a step whose source has not changed is remembered."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.failures import InstructionFailed
from frozen import replace
from runtime.store import Store
from tests.builder.benches import Bench, Built
from tests.remotes import LONG_AGO, Git, Web, git_server, make_repository, web_server

pytestmark = pytest.mark.root


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as server:
        yield server


@pytest.fixture
def git(tmp_path: Path) -> Iterator[Git]:
    repository = make_repository(tmp_path / "git")
    with git_server(repository.bare.parent) as address:
        repository.address = address
        yield repository


def tree(bench: Bench, built: Built) -> list[str]:
    """Say what an image holds: `path mode uid:gid`, directories with a slash."""
    with Store.open(bench.context) as store:
        image = store.images.require(built.id)
        with store.snapshots.view(store.images.unpacked(image)) as view:
            return [
                f"{path.decode()}{'/' if found.kind == 'directory' else ''} {found.mode:o} {found.uid}:{found.gid}"
                for path, found, _ in view.walk(b"")
                if path
            ]


def archive(**files: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.uid, member.mode = len(content), 7, 0o640
            tar.addfile(member, io.BytesIO(content.encode()))
    return gzip.compress(out.getvalue(), mtime=0)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ADD URL/f.txt /", ["f.txt 600 0:0"]),
        ("ADD URL/f.txt /d/", ["d/ 755 0:0", "d/f.txt 600 0:0"]),
        ("ADD URL/f.txt /other", ["other 600 0:0"]),
        ("ADD --chown=3:4 --chmod=755 URL/f.txt /d/", ["d/ 755 3:4", "d/f.txt 755 3:4"]),
        ("ADD --link URL/f.txt /d/", ["d/ 755 0:0", "d/f.txt 600 0:0"]),
        ("ADD URL/t.tgz /d/", ["d/ 755 0:0", "d/t.tgz 600 0:0"]),
        ("ADD --unpack=true URL/t.tgz /d/", ["d/ 755 0:0", "d/in 640 7:0"]),
        ("ADD URL/f.txt here /d/", ["d/ 755 0:0", "d/f.txt 600 0:0", "d/here 644 0:0"]),
        ("ARG N=f\nADD URL/$N.txt /", ["f.txt 600 0:0"]),
        ("WORKDIR /w\nADD URL/f.txt .", ["w/ 755 0:0", "w/f.txt 600 0:0"]),
    ],
)
def test_a_file_from_a_url_arrives_as_buildkit_has_it(bench: Bench, web: Web, line: str, expected: list[str]) -> None:
    web.put("/f.txt", "hello", modified=LONG_AGO)
    web.put("/t.tgz", archive(**{"in": "x"}))
    bench.write({"here": "x"})
    (bench.directory / "here").chmod(0o644)
    built = bench.build(f"FROM scratch\n{line.replace('URL', web.url(''))}\n")
    assert tree(bench, built) == expected


def test_a_step_is_remembered_as_long_as_the_url_gives_the_same(bench: Bench, web: Web) -> None:
    text = f"FROM scratch\nADD {web.put('/f', 'x', etag=True)} /f\nCOPY <<E /after\nE\n"
    first = bench.build(text)
    assert (first.executed, bench.build(text).executed) == (2, 0)
    web.put("/f", "x", modified=5)
    again = bench.build(text)
    assert (again.executed, again.id) == (0, first.id)
    web.put("/f", "y")
    assert bench.build(text).executed == 2


def test_equal_files_of_two_urls_share_a_step(bench: Bench, web: Web) -> None:
    one, two = web.put("/a/f", "x"), web.put("/b/f", "x")
    bench.build(f"FROM scratch\nADD {one} /f\n")
    assert bench.build(f"FROM scratch\nADD {two} /f\n").executed == 0


def test_a_pinned_file_connects_once(bench: Bench, web: Web) -> None:
    pin = "sha256:" + hashlib.sha256(b"x").hexdigest()
    text = f"FROM scratch\nADD --checksum={pin} {web.put('/f', 'x')} /f\n"
    bench.build(text)
    bench.context = replace(bench.context, offline=True)
    assert bench.build(text).executed == 0
    assert len(web.asked) == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ADD URL/gone /", "invalid response status 404"),
        ("ADD --checksum=sha256:" + "0" * 64 + " URL/f /", "checksum mismatch: expected sha256:000"),
        ("ADD GIT#nothere /", "does not contain ref nothere"),
        ("ADD GIT#main:nothere /", "the directory 'nothere' is not there"),
        ("ADD --checksum=0123456789 GIT /", "checksum mismatch: expected 0123456789, got "),
        ("ADD GIT?what=1 /", 'unexpected query "what"'),
    ],
)
def test_what_cannot_be_had_is_an_error_at_its_line(bench: Bench, web: Web, git: Git, line: str, said: str) -> None:
    web.put("/f", "x")
    git.commit({"f": ""})
    line = line.replace("URL", web.url("")).replace("GIT", git.url)
    with pytest.raises(InstructionFailed) as caught:
        bench.build(f"FROM scratch\nENV A=1\n{line}\n")
    assert said in caught.value.message
    assert caught.value.line == 3
    assert caught.value.hint


def test_a_repository_arrives_without_its_history(bench: Bench, git: Git) -> None:
    git.commit({"a": "1", "d/b": "2"})
    built = bench.build(f"FROM scratch\nADD {git.url}#main /src\nADD --chown=5:6 --exclude=b {git.url}#main:d /part/\n")
    assert tree(bench, built) == ["part/ 755 5:6", "src/ 755 0:0", "src/a 644 0:0", "src/d/ 755 0:0", "src/d/b 644 0:0"]


def test_a_kept_history_arrives_too(bench: Bench, git: Git) -> None:
    git.commit({"a": "1"})
    built = bench.build(f"FROM scratch\nADD --keep-git-dir=true {git.url} /src\n")
    assert "src/.git/HEAD 644 0:0" in tree(bench, built)


def test_a_step_is_remembered_as_long_as_the_commit_has_the_same_files(bench: Bench, git: Git) -> None:
    git.commit({"a": "1", "d/b": "2"})
    text = f"FROM scratch\nADD {git.url}#main:d /part\nCOPY <<E /after\nE\n"
    first = bench.build(text)
    assert (first.executed, bench.build(text).executed) == (2, 0)
    git.commit({"a": "another"})
    again = bench.build(text)
    assert (again.executed, again.id) == (0, first.id)
    git.commit({"d/b": "another"})
    assert bench.build(text).executed == 2


def test_what_a_failing_step_asks_for_is_not_kept_waiting(bench: Bench, web: Web) -> None:
    text = f"FROM scratch AS a\nADD {web.url('/gone')} /x\nFROM scratch\nCOPY --from=a /x /x\n"
    with pytest.raises(InstructionFailed, match="404"):
        bench.build(text)
    assert [name for name in bench.failures() if "404" in name] == []
