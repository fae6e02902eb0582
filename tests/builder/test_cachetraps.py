"""Never a wrong hit: what counts is a miss, and what does not count is none."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.context import DirectoryContext
from builder.options import BuildOptions
from runtime.store import Store
from tests.builder.benches import Bench, Built

TEXT = "FROM scratch\nCOPY src /src/\nWORKDIR /after\n"
Change = Callable[[Path], object]


def relink(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


def fifo(directory: Path) -> None:
    (directory / "b").unlink()
    os.mkfifo(directory / "b")


def hard_link(directory: Path) -> None:
    (directory / "b").unlink()
    os.link(directory / "a", directory / "b")


def same_size_and_time(path: Path, content: str) -> None:
    status = path.stat()
    path.write_text(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace_in_place(path: Path) -> None:
    """Write the same content into a new inode, at another time."""
    content = path.read_text()
    path.unlink()
    path.write_text(content)
    os.utime(path, (1, 1))


def list_otherwise(directory: Path) -> None:
    """Make the same names again in another order."""
    for name in ("b", "a"):
        replace_in_place(directory / name)


MISSES: dict[str, Change] = {
    "content of the same size and time": lambda d: same_size_and_time(d / "a", "2"),
    "mode of a file": lambda d: (d / "a").chmod(0o755),
    "set-user-ID bit": lambda d: (d / "a").chmod(0o4644),
    "mode of a directory": lambda d: (d / "sub").chmod(0o700),
    "link target": lambda d: relink(d / "link", "b"),
    "link to a file with the same content": lambda d: relink(d / "a", "b"),
    "an empty directory": lambda d: (d / "empty").mkdir(),
    "an empty file": lambda d: (d / "nothing").touch(),
    "a file less": lambda d: (d / "b").unlink(),
    "a hard link for a copy": hard_link,
    "the case of a name": lambda d: (d / "a").rename(d / "A"),
    "a name's normal form": lambda d: (d / "a").rename(d / "a\u0301"),
    "content between names": lambda d: ((d / "a").write_text("2"), (d / "b").write_text("1")),
    "a fifo for a file": fifo,
}
HITS: dict[str, Change] = {
    "times": lambda d: os.utime(d / "a", (5, 5)),
    "the time of a directory": lambda d: os.utime(d / "sub", (5, 5)),
    "the time of a link": lambda d: os.utime(d / "link", (5, 5), follow_symlinks=False),
    "another inode": lambda d: replace_in_place(d / "a"),
    "the order of names": list_otherwise,
    "a change that was taken back": lambda d: ((d / "a").write_text("9"), (d / "a").write_text("1")),
}


@pytest.fixture
def source(bench: Bench) -> Path:
    bench.write({"src/a": "1", "src/b": "2", "src/sub/c": "3"})
    directory = bench.directory / "src"
    (directory / "link").symlink_to("a")
    for path in (directory / "a", directory / "b", directory / "sub/c"):
        path.chmod(0o644)
    (directory / "sub").chmod(0o755)
    return directory


@pytest.mark.parametrize("name", MISSES)
def test_what_matters_is_a_miss(bench: Bench, source: Path, name: str) -> None:
    bench.build(TEXT)
    MISSES[name](source)
    again = bench.build(TEXT)
    assert again.ran[0] == "COPY src /src/"
    assert bench.build(TEXT).executed == 0


@pytest.mark.parametrize("name", HITS)
def test_what_does_not_matter_is_a_hit(bench: Bench, source: Path, name: str) -> None:
    bench.build(TEXT)
    HITS[name](source)
    assert bench.build(TEXT).executed == 0


@pytest.mark.root
@pytest.mark.parametrize("name", ["owner", "attribute"])
def test_owners_and_attributes_of_another_stage_count(bench: Bench, source: Path, name: str) -> None:
    text = "FROM scratch AS one\nCOPY {flag} src /src/\nFROM scratch\nCOPY --from=one /src /src/\n"
    bench.build(text.format(flag=""))
    if name == "owner":
        assert bench.build(text.format(flag="--chown=5:6")).executed == 2
        assert bench.build(text.format(flag="--chown=5:7")).executed == 2
        return
    try:
        os.setxattr(source / "a", "user.mark", b"1")
    except OSError:
        pytest.skip("the file system has no attributes")
    # BuildKit sends no user.* attributes of a context; what is not copied must not count either.
    assert bench.build(text.format(flag="")).executed == 0


def test_a_file_that_never_stops_changing_arrives_as_it_was_at_one_time(
    bench: Bench, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = DirectoryContext.open
    count = 0

    def change(context: DirectoryContext, path: bytes) -> int:
        nonlocal count
        count += 1
        (source / "a").write_text(f"change {count}")
        return opened(context, path)

    with monkeypatch.context() as patch:
        patch.setattr(DirectoryContext, "open", change)
        assert bench.build(TEXT).executed == 2
    (source / "a").write_text("at rest")
    built = bench.build(TEXT)
    assert built.executed == 2
    with Store.open(bench.context) as store:
        image = store.images.get(built.id)  # type: ignore[arg-type]
        with store.snapshots.view(image.chain_id) as view, view.open("/src/a") as file:
            assert file.read() == (source / "a").read_bytes()


def test_a_file_that_changes_once_while_it_is_read_arrives_as_it_is_then(
    bench: Bench, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = DirectoryContext.open
    changed = False

    def change(context: DirectoryContext, path: bytes) -> int:
        nonlocal changed
        if not changed:
            changed = True
            same_size_and_time(source / "a", "9")
        return opened(context, path)

    monkeypatch.setattr(DirectoryContext, "open", change)
    built = bench.build(TEXT)
    with Store.open(bench.context) as store:
        image = store.images.get(built.id)  # type: ignore[arg-type]
        with store.snapshots.view(image.chain_id) as view:
            assert view.read_text("/src/a") == "9"
    assert bench.build(TEXT).executed == 0


def test_equal_builds_at_the_same_time_do_each_step_once_and_make_one_image(bench: Bench, source: Path) -> None:
    results: list[Built] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            results.append(Bench(context=bench.context, directory=bench.directory).build(TEXT))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len({built.id for built in results}) == 1
    assert sum(built.executed for built in results) == 2


def test_the_epoch_counts_for_a_directory_that_is_made_and_not_for_a_copy(bench: Bench, source: Path) -> None:
    bench.build(TEXT, options=BuildOptions(epoch=1))
    assert bench.build(TEXT, options=BuildOptions(epoch=2)).executed == 1
    assert bench.build(TEXT, options=BuildOptions(epoch=1)).executed == 0


def test_ignored_files_do_not_count(bench: Bench, source: Path) -> None:
    bench.write({".dockerignore": "src/b\n"})
    bench.build(TEXT)
    (source / "b").write_text("other")
    assert bench.build(TEXT).executed == 0
    bench.write({".dockerignore": "src/a\n"})
    assert bench.build(TEXT).executed == 2
