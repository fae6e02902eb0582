"""Digests are remembered for files that are what they were, and for no others."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from builder import statcache
from builder.statcache import _CLOCK_REALTIME_COARSE, StatCache, recognise
from runtime.context import Context
from runtime.store import Store

DIGEST = b"d" * 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "context"
    path.mkdir()
    for name in ("a", "b"):
        (path / name).write_text(name)
    while time.clock_gettime_ns(_CLOCK_REALTIME_COARSE) <= (path / "b").stat().st_ctime_ns:
        time.sleep(0.001)
    return path


def learned(store: Store, folder: Path, *names: str, where: bytes = b"sub") -> None:
    cache = StatCache(store, folder)
    for name in names:
        cache.learn(where, os.fsencode(name), (folder / name).stat(), DIGEST)
    cache.save()


def known(store: Store, folder: Path, name: str, where: bytes = b"sub") -> bytes:
    return recognise(StatCache(store, folder).folder(where), os.fsencode(name), (folder / name).stat())


def test_a_digest_is_known_to_the_next_build_in_its_folder_alone(context: Context, folder: Path) -> None:
    with Store.open(context) as store:
        learned(store, folder, "a")
        assert known(store, folder, "a") == DIGEST
        assert known(store, folder, "b") == b""
        assert known(store, folder, "a", where=b"") == b""
        learned(store, folder, "b")
        assert (known(store, folder, "a"), known(store, folder, "b")) == (DIGEST, DIGEST)


@pytest.mark.parametrize("change", ["content", "mode", "time", "link", "replaced"])
def test_a_file_that_may_be_another_one_is_not_recognised(context: Context, folder: Path, change: str) -> None:
    with Store.open(context) as store:
        learned(store, folder, "a")
        status = (folder / "a").stat()
        if change == "content":
            (folder / "a").write_text("z")
            os.utime(folder / "a", ns=(status.st_atime_ns, status.st_mtime_ns))
        elif change == "mode":
            (folder / "a").chmod(0o600)
        elif change == "time":
            os.utime(folder / "a", ns=(1, 1))
        elif change == "link":
            os.link(folder / "a", folder / "c")
        else:
            (folder / "b").rename(folder / "a")
        assert known(store, folder, "a") == b""


def test_a_file_that_changed_when_the_scan_began_is_not_learned(context: Context, folder: Path) -> None:
    with Store.open(context) as store:
        cache = StatCache(store, folder)
        (folder / "a").write_text("z")
        cache.learn(b"sub", b"a", (folder / "a").stat(), DIGEST)
        cache.save()
        assert known(store, folder, "a") == b""


def test_what_is_gone_is_dropped(context: Context, folder: Path) -> None:
    with Store.open(context) as store:
        learned(store, folder, "a", "b")
        cache = StatCache(store, folder)
        cache.forget(b"sub", {b"a"})
        cache.save()
        assert StatCache(store, folder).folder(b"sub").keys() == {b"b"}


def test_much_that_was_learned_is_written_at_once(
    context: Context, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statcache, "_UNSAVED", 2)
    with Store.open(context) as store:
        cache = StatCache(store, folder)
        cache.learn(b"sub", b"a", (folder / "a").stat(), DIGEST)
        assert cache.folder(b"sub").keys() == {b"a"}
        assert known(store, folder, "a") == b""
        cache.learn(b"other", b"b", (folder / "b").stat(), DIGEST)
        assert known(store, folder, "a") == DIGEST


def test_nothing_is_believed_on_a_file_system_of_others(
    context: Context, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(context) as store:
        learned(store, folder, "a")
        monkeypatch.setattr(statcache, "file_system_of", lambda _: "fuse.sshfs")
        assert known(store, folder, "a") == b""


def test_a_directory_whose_name_is_no_text_is_remembered_too(context: Context, folder: Path) -> None:
    odd = folder.rename(Path(os.fsdecode(os.fsencode(folder) + b"-\xff")))
    with Store.open(context) as store:
        learned(store, odd, "a", where=b"\xfe")
        assert known(store, odd, "a", where=b"\xfe") == DIGEST
