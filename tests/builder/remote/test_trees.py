"""A ref of a repository is asked for as often as it has to be, and gives the commit's files."""

from __future__ import annotations

import os
import stat
from base64 import b64encode

import pytest

from builder.cachestore import delete, entries
from builder.interfaces import NotFetched
from builder.remote.web import NoNetwork
from builder.remote.words import parse_git
from frozen import replace
from runtime.errors import DigestMismatch, NotFound, PybuildError
from runtime.store import Store
from tests.builder.remote.conftest import Bench
from tests.remotes import LONG_AGO, Git, Web, git_server


def names(bench: Bench, word: str, *, keep: bool = False, offline: bool = False) -> list[str]:
    with bench.build(offline=offline) as sources:
        tree = sources.open_tree(sources.tree(parse_git(word), keep_git_dir=keep))
        return sorted(os.fsdecode(path) for path, _, _ in tree.walk(b"") if path)


def test_a_tree_has_the_files_of_its_commit_without_the_history(remote: Bench, git: Git) -> None:
    (git.work / "link").symlink_to("a")
    git.commit({"a": "1\n", "d/x.sh": "#!\n"})
    (git.work / "d/x.sh").chmod(0o755)
    git.commit({})
    with remote.build() as sources:
        tree = sources.open_tree(sources.tree(parse_git(git.url)))
        found = {os.fsdecode(path): metadata for path, metadata, _ in tree.walk(b"")}
    assert sorted(found) == ["", "a", "d", "d/x.sh", "link"]
    assert stat.S_IMODE(found["d/x.sh"].mode) == 0o755
    assert stat.S_IMODE(found["a"].mode) == 0o644
    assert found["link"].link == b"a"
    assert {metadata.mtime_ns for metadata in found.values()} == {LONG_AGO * 10**9}
    assert (found["a"].uid, found["a"].gid) == (0, 0)


def test_refs_mean_tags_before_branches_and_both_before_nothing(remote: Bench, git: Git) -> None:
    git.commit({"f": "branch\n"})
    git("branch", "both")
    git("checkout", "-q", "--detach")
    tagged = git.commit({"f": "tag\n", "more": ""})
    git("tag", "-a", "both", "-m", "x")
    git("tag", "light")
    git.publish()
    assert names(remote, f"{git.url}#both") == ["f", "more"]
    assert names(remote, f"{git.url}#refs/heads/both") == ["f"]
    assert names(remote, f"{git.url}?branch=both") == ["f"]
    assert names(remote, f"{git.url}#light") == ["f", "more"]
    assert names(remote, f"{git.url}#{tagged}") == ["f", "more"]
    assert names(remote, git.url) == ["f"]


def test_a_branch_is_asked_for_in_each_build_and_a_commit_never_again(remote: Bench, git: Git) -> None:
    first = git.commit({"f": "1"})
    assert names(remote, f"{git.url}#main") == ["f"]
    assert names(remote, f"{git.url}#{first}") == ["f"]
    git.commit({"g": "2"})
    assert names(remote, f"{git.url}#main") == ["f", "g"]
    assert names(remote, f"{git.url}#{first}", offline=True) == ["f"]
    with remote.build(offline=True) as sources:
        assert sources.tree(parse_git(f"{git.url}#{first}"), fetch=False).commit.id == first
    with remote.build() as sources, pytest.raises(NotFetched):
        sources.tree(parse_git(f"{git.url}#main"), fetch=False)


def test_for_want_of_a_network_the_last_commit_of_a_branch_is_used_with_a_warning(remote: Bench, git: Git) -> None:
    git.commit({"f": "1"})
    with git_server(git.bare.parent) as address:
        word = f"git://{address}/repo.git#main"
        assert names(remote, word) == ["f"]
    assert names(remote, word, offline=True) == ["f"]
    assert remote.warnings == []
    assert names(remote, word) == ["f"]
    assert "the stored commit" in remote.warnings[0]
    with pytest.raises(NoNetwork):
        names(remote, word.replace("#main", "#other"))
    with pytest.raises(PybuildError, match="--offline"):
        names(remote, word.replace("#main", "#other"), offline=True)


def test_an_old_commit_that_no_branch_ends_in_is_found(remote: Bench, git: Git) -> None:
    old = git.commit({"f": "1"})
    git.commit({"g": "2"})
    assert names(remote, f"{git.url}#{old}") == ["f"]


def test_a_part_of_a_repository_stands_alone(remote: Bench, git: Git) -> None:
    git.commit({"f": "1", "d/e/x": "", "d/y": ""})
    assert names(remote, f"{git.url}#main:d") == ["e", "e/x", "y"]
    assert names(remote, f"{git.url}#:d/e", keep=True) == ["x"]
    for missing, said in (("nothere", "is not there"), ("f", "is not a directory")):
        with pytest.raises(NotFound, match=said) as caught:
            names(remote, f"{git.url}#main:{missing}")
        assert caught.value.hint == "there are d"


@pytest.mark.parametrize(("ref", "hint"), [("mian", "did you mean main?"), ("zzz", "there are main, v1")])
def test_a_ref_that_is_not_there_is_an_error_with_those_that_are(remote: Bench, git: Git, ref: str, hint: str) -> None:
    git.commit({"f": "1"})
    git("tag", "v1")
    git.publish()
    with pytest.raises(NotFound) as caught:
        names(remote, f"{git.url}#{ref}")
    assert f"does not contain ref {ref}" in caught.value.message
    assert caught.value.hint == hint


def test_a_commit_that_is_not_there_is_an_error(remote: Bench, git: Git) -> None:
    git.commit({"f": "1"})
    with pytest.raises(NotFound, match="has no commit 0123"):
        names(remote, f"{git.url}#0123456789abcdef0123456789abcdef01234567")


def test_a_repository_that_is_not_there_is_an_error(remote: Bench, git: Git) -> None:
    with pytest.raises(PybuildError, match="could not ls-remote"):
        names(remote, git.url.replace("repo.git", "other.git"))


def test_another_commit_than_the_checksum_says_is_an_error_with_both(remote: Bench, git: Git) -> None:
    first = git.commit({"f": "1"})
    second = git.commit({"f": "2"})
    assert names(remote, f"{git.url}?branch=main&checksum={second}") == ["f"]
    assert names(remote, f"{git.url}?branch=main&checksum={second[:10]}") == ["f"]
    with pytest.raises(DigestMismatch) as caught:
        names(remote, f"{git.url}?branch=main&checksum={first}")
    assert (caught.value.expected, caught.value.actual) == (first, second)


def test_a_ref_with_its_whole_commit_id_is_not_asked_for_again(remote: Bench, git: Git) -> None:
    commit = git.commit({"f": "1"})
    word = f"{git.url}?branch=main&checksum={commit}"
    names(remote, word)
    with remote.build() as sources:
        assert sources.tree(parse_git(word), fetch=False).commit.id == commit


def test_a_kept_history_is_a_shallow_repository_and_equal_each_time(remote: Bench, git: Git) -> None:
    git.commit({"f": "1"})
    git("tag", "v1")
    git.commit({"f": "2"})
    contents = set()
    for _ in range(2):
        with remote.build() as sources:
            source = parse_git(f"{git.url}#v1")
            tree = sources.open_tree(sources.tree(source, keep_git_dir=True))
            contents.add(tree.digest(""))
            place = next(sources._trees._asker.store.workspace().glob("git-*/tree"))
            assert git("status", "--porcelain", at=place) == ""
            assert git("describe", "--tags", at=place) == "v1"
            assert git("remote", "get-url", "origin", at=place) == git.url
            assert git("rev-list", "--count", "HEAD", at=place) == "1"
    assert len(contents) == 1


def test_submodules_come_along_unless_they_are_not_wanted(remote: Bench, git: Git) -> None:
    git.commit({"inner": "1"})
    inner = git("rev-parse", "HEAD")
    git("checkout", "-q", "--orphan", "outer")
    git("rm", "-q", "-rf", ".")
    (git.work / ".gitmodules").write_text('[submodule "s"]\n\tpath = lib/s\n\turl = ../repo.git\n')
    git("add", "-A")
    git("update-index", "--add", "--cacheinfo", f"160000,{inner},lib/s")
    git("commit", "-q", "-m", "outer")
    git.publish()
    assert names(remote, f"{git.url}?branch=outer") == [".gitmodules", "lib", "lib/s", "lib/s/inner"]
    assert names(remote, f"{git.url}?branch=outer&submodules=0") == [".gitmodules", "lib", "lib/s"]
    assert names(remote, f"{git.url}?branch=outer&subdir=lib") == ["s", "s/inner"]


def test_a_repository_that_names_itself_without_end_is_refused(
    remote: Bench, git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builder.remote.gittrees._MOST_SUBMODULES", 7)
    commit = git.commit({"f": "1"})
    for _ in range(3):
        (git.work / ".gitmodules").write_text(
            "".join(f'[submodule "{name}"]\n\tpath = {name}\n\turl = ../repo.git\n' for name in "ab")
        )
        git("add", ".gitmodules")
        for name in "ab":
            git("update-index", "--add", "--cacheinfo", f"160000,{commit},{name}")
        git("commit", "-q", "-m", "x")
        commit = git("rev-parse", "HEAD")
    git.publish()
    with pytest.raises(PybuildError, match="more than 7 submodules"):
        names(remote, git.url)


def test_a_submodule_that_names_this_machine_is_refused(remote: Bench, git: Git) -> None:
    commit = git.commit({".gitmodules": f'[submodule "s"]\n\tpath = s\n\turl = {git.bare}\n'})
    git("update-index", "--add", "--cacheinfo", f"160000,{commit},s")
    git("commit", "-q", "-m", "x")
    git.publish()
    with pytest.raises(PybuildError, match="which is not fetched"):
        names(remote, git.url)


def test_a_repository_is_fetched_over_plain_http_without_a_program_behind_it(remote: Bench, git: Git, web: Web) -> None:
    git.commit({"f": "1"})
    git("update-server-info", at=git.bare)
    for path in git.bare.rglob("*"):
        if path.is_file():
            web.put(f"/r.git/{path.relative_to(git.bare)}", path.read_bytes())
    assert names(remote, web.url("/r.git#main")) == ["f"]


def test_nothing_of_the_users_configuration_counts(
    remote: Bench, git: Git, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    git.commit({"f": "1"})
    home = git.directory / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(f'[url "git://127.0.0.1:9/"]\n\tinsteadOf = git://{git.address}/\n')
    monkeypatch.setenv("HOME", str(home))
    remote.context = replace(remote.context, environ={**remote.context.environ, "HOME": str(home)})
    assert names(remote, git.url) == ["f"]


def test_a_missing_program_is_named(remote: Bench) -> None:
    remote.context = replace(remote.context, environ={"PATH": "/nothing"})
    with pytest.raises(PybuildError, match="not installed") as caught:
        names(remote, "git://127.0.0.1:9/x")
    assert "install the package git" in (caught.value.hint or "")


def test_a_repository_is_part_of_the_cache_and_can_be_deleted(remote: Bench, git: Git) -> None:
    git.commit({"f": "1"})
    assert names(remote, git.url) == ["f"]
    with Store.open(remote.context) as store:
        (entry,) = entries(store)
        assert (entry.type, entry.description) == ("source.git", git.url)
        assert delete(store, [entry]) == (entry,)
    assert names(remote, git.url) == ["f"]


@pytest.mark.parametrize("secret", [None, "GIT_AUTH_TOKEN", "GIT_AUTH_TOKEN.HOST", "GIT_AUTH_HEADER"])
def test_credentials_come_from_the_url_or_from_secrets(remote: Bench, git: Git, web: Web, secret: str | None) -> None:
    git.commit({"f": "1"})
    git("update-server-info", at=git.bare)
    pair = b64encode(b"x-access-token:t0k" if secret else b"u:p").decode()
    wanted = f"{'basic' if secret else 'Basic'} {pair}"
    for path in git.bare.rglob("*"):
        if path.is_file():
            web.put(f"/r.git/{path.relative_to(git.bare)}", path.read_bytes(), authorization=wanted)
    word = web.url("/r.git")
    if secret is None:
        with pytest.raises(PybuildError, match="private, or not there") as caught:
            names(remote, word)
        assert "GIT_AUTH_TOKEN" in (caught.value.hint or "")
    given = {} if secret is None else {secret.replace("HOST", web.address): wanted if "HEADER" in secret else "t0k\n"}
    with remote.build(secrets={name: value.encode() for name, value in given.items()}) as sources:
        source = parse_git(word if secret else word.replace("//", "//u:p@"))
        tree = sources.open_tree(sources.tree(source, keep_git_dir=True))
        assert tree.stat(b"f") is not None
        with os.fdopen(tree.open(b".git/config")) as config:
            assert word in config.read()


def test_ssh_asks_nobody_and_takes_only_the_agent_that_was_given(remote: Bench, git: Git) -> None:
    git.commit({"f": "1"})
    programs = git.directory / "bin"
    programs.mkdir()
    log = git.directory / "log"
    ssh = programs / "ssh"
    ssh.write_text(f'#!/bin/sh\necho "${{SSH_AUTH_SOCK:-none}} $*" >>{log}\nfor last; do :; done\nexec sh -c "$last"\n')
    ssh.chmod(0o755)
    remote.context = replace(remote.context, environ={"PATH": f"{programs}:{os.environ['PATH']}", "HOME": "/home/me"})
    assert names(remote, f"git@host:{git.bare}") == ["f"]
    said = log.read_text()
    assert said.startswith("none -F none -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile=")
    assert "IdentityFile=none -o IdentityAgent=none" in said
    log.unlink()
    with remote.build() as sources:
        sources._trees._agent = lambda: git.directory / "socket"
        sources.tree(parse_git(f"git@host:{git.bare}#main"))
    assert log.read_text().startswith(f"{git.directory}/socket -F none")
    assert "IdentityAgent" not in log.read_text()
