"""COPY and ADD write the layer that BuildKit writes, and notice what changes under their hands."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from shutil import rmtree

import pytest

from builder.context import DirectoryContext
from builder.heldtree import HeldTree
from builder.interfaces import Result, SourceChanged
from builder.steps.copy import CopyStep
from builder.trees import plan_copy
from frozen import replace
from grammar.ignore import IgnoreFile
from grammar.instructions import InlineFile
from runtime.context import Context
from runtime.errors import NotFound, PybuildError, UsageError
from runtime.oci.digests import Digest
from runtime.store import Store
from tests.builder.copybench import Bench, instruction, listing, open_bench, write

pytestmark = pytest.mark.root

LONG_AGO = 1_000_000_000


@pytest.fixture
def bench(context: Context, tmp_path: Path) -> Iterator[Bench]:
    with open_bench(context, tmp_path) as opened:
        yield opened


@pytest.mark.parametrize(
    ("sources", "destination", "paths"),
    [
        (["a"], "/x", ["x 644 0:0"]),
        (["a"], "/x/", ["x/ 755 0:0", "x/a 644 0:0"]),
        (["a"], "x/y", ["x/ 755 0:0", "x/y 644 0:0"]),
        (["a"], "/", ["a 644 0:0"]),
        (["a", "b"], "/x/", ["x/ 755 0:0", "x/a 644 0:0", "x/b 644 0:0"]),
        (["d/sub"], "/x", ["x/ 755 0:0", "x/g 644 0:0"]),
        (["d/sub", "a"], "/x/", ["x/ 755 0:0", "x/a 644 0:0", "x/g 644 0:0"]),
        (["no*"], "/x/", []),
        (["no*", "a"], "/x/", ["x/ 755 0:0", "x/a 644 0:0"]),
    ],
)
def test_files_arrive_where_the_destination_says(
    bench: Bench, sources: list[str], destination: str, paths: list[str]
) -> None:
    assert bench.copy(*sources, to=destination) == paths


def test_a_directory_arrives_whole(bench: Bench) -> None:
    assert bench.copy("d", to="/x") == [
        *("x/ 755 0:0", "x/e/ 755 0:0", "x/f 644 0:0", "x/h 644 0:0", "x/l 0:0 -> f"),
        *("x/sub/ 755 0:0", "x/sub/g 644 0:0"),
    ]


def test_a_socket_arrives_as_an_empty_file(bench: Bench) -> None:
    os.mknod(bench.directory / "s", stat.S_IFSOCK | 0o600)
    (bench.directory / "s").chmod(0o750)
    assert bench.copy("s", to="/x") == ["x 750 0:0"]
    assert bench.copy(".", to="/x")[-1:] == ["x/s 750 0:0"]


@pytest.mark.root
def test_a_mark_of_what_is_deleted_is_no_file(bench: Bench) -> None:
    os.mknod(bench.directory / "d/sub/n", stat.S_IFCHR | 0o600, os.makedev(0, 0))
    os.link(bench.directory / "d/sub/n", bench.directory / "d/sub/o")
    assert bench.copy("d/sub", to="/x") == ["x/ 755 0:0", "x/g 644 0:0"]
    assert bench.copy("d/sub/n", "a", to="/x/") == ["x/ 755 0:0", "x/a 644 0:0"]


def test_hard_links_and_times_are_kept(bench: Bench) -> None:
    step, given = CopyStep(instruction("d", to="/x")), bench.given()
    with bench.store.snapshots.prepare(None) as preparation:
        step.execute(given, preparation)
        top = preparation.upperdir / "x"
        assert (top / "f").stat().st_ino == (top / "h").stat().st_ino
        assert (top / "f").stat().st_mtime == LONG_AGO
        assert int(top.stat().st_mtime) == int((bench.directory / "d").stat().st_mtime)


def test_owner_and_mode_override_what_the_files_have(bench: Bench) -> None:
    assert bench.copy("d/sub", to="/x/y", chown="3:4", chmod="700") == [
        *("x/ 700 3:4", "x/y/ 700 3:4", "x/y/g 700 3:4"),
    ]


def test_a_directory_that_exists_keeps_its_metadata_and_those_below_get_the_sources(bench: Bench) -> None:
    def base(upper: Path) -> None:
        (upper / "x/sub").mkdir(parents=True)
        os.chown(upper / "x", 5, 5)
        os.chown(upper / "x/sub", 5, 5)
        (upper / "x").chmod(0o711)

    bench.layer(base)
    assert bench.copy("d", to="/x")[:1] == ["x/ 711 5:5"]
    assert "x/sub/ 755 0:0" in bench.copy("d", to="/x")


def test_links_of_the_image_are_followed_inside_it(bench: Bench) -> None:
    def base(upper: Path) -> None:
        (upper / "real").mkdir()
        (upper / "real/file").write_text("old")
        (upper / "dir").symlink_to("/real")
        (upper / "file").symlink_to("dir/file")
        (upper / "up").symlink_to("../../../../new/place")

    bench.layer(base)
    assert bench.copy("a", to="/dir/") == ["real/ 755 0:0", "real/a 644 0:0"]
    assert bench.copy("a", to="/file") == ["real/ 755 0:0", "real/file 644 0:0"]
    assert bench.copy("a", to="/up") == ["new/ 755 0:0", "new/place 644 0:0"]


def test_what_is_in_the_way_is_refused(bench: Bench) -> None:
    def base(upper: Path) -> None:
        (upper / "file").write_text("x")
        (upper / "x/f").mkdir(parents=True)
        (upper / "y").mkdir()
        (upper / "y/sub").write_text("x")

    bench.layer(base)
    with pytest.raises(PybuildError, match="/file"):
        bench.copy("a", to="/file/")
    with pytest.raises(PybuildError, match="cannot replace directory /x/f with a file"):
        bench.copy("d", to="/x")
    with pytest.raises(PybuildError, match="cannot copy to non-directory: /y/sub"):
        bench.copy("d", to="/y")


def test_a_file_takes_the_place_of_a_link_when_a_directory_is_copied(bench: Bench) -> None:
    def base(upper: Path) -> None:
        (upper / "x").mkdir()
        (upper / "x/f").symlink_to("elsewhere")

    bench.layer(base)
    assert "x/f 644 0:0" in bench.copy("d", to="/x")


def test_here_documents_become_files(bench: Bench) -> None:
    files = (InlineFile(name="one", content="1\n"), InlineFile(name="two", content="2\n"))
    assert bench.copy(to="/x/", files=files, chmod="755") == ["x/ 755 0:0", "x/one 755 0:0", "x/two 755 0:0"]
    assert bench.copy(to="/x", files=files[:1]) == ["x 644 0:0"]


def test_excluded_paths_stay_behind(bench: Bench) -> None:
    assert bench.copy("d", to="/x", excludes=("*/g", "e", "h")) == [
        *("x/ 755 0:0", "x/f 644 0:0", "x/l 0:0 -> f", "x/sub/ 755 0:0"),
    ]
    assert bench.copy("a", "b", to="/x/", excludes=("a",)) == ["x/ 755 0:0", "x/a 644 0:0", "x/b 644 0:0"]
    assert bench.copy("d", to="/x", excludes=("sub", "!sub/g", "/f", "h", "e", "l")) == [
        *("x/ 755 0:0", "x/f 644 0:0", "x/sub/ 755 0:0", "x/sub/g 644 0:0"),
    ]


def test_ignored_paths_are_not_in_the_context(bench: Bench) -> None:
    bench.ignore = IgnoreFile(["d", "!d/sub/g", "b"])
    assert bench.copy(".", to="/x") == [
        "x/ 755 0:0",
        "x/a 644 0:0",
        "x/d/ 700 0:0",
        "x/d/sub/ 755 0:0",
        "x/d/sub/g 644 0:0",
    ]
    with pytest.raises(NotFound, match='"/b": not found'):
        bench.copy("b", to="/")


def test_parents_keep_the_path_behind_the_pivot(bench: Bench) -> None:
    assert bench.copy("d/sub/g", to="/x/", parents=True) == [
        *("x/ 755 0:0", "x/d/ 700 0:0", "x/d/sub/ 755 0:0", "x/d/sub/g 644 0:0"),
    ]
    assert bench.copy("d/./sub/g", to="/x/", parents=True) == ["x/ 755 0:0", "x/sub/ 755 0:0", "x/sub/g 644 0:0"]


def test_parents_leave_links_as_they_are_and_go_through_none(bench: Bench) -> None:
    (bench.directory / "dl").symlink_to("d")
    (bench.directory / "fl").symlink_to("d/sub/g")
    lines = bench.copy("fl", "dl", to="/x/", parents=True)
    assert lines == ["x/ 755 0:0", "x/dl 0:0 -> d", "x/fl 0:0 -> d/sub/g"]
    with pytest.raises(NotFound, match='"/dl/sub/g": not found'):
        bench.copy("dl/sub/g", to="/x/", parents=True)
    assert bench.copy("dl/./sub/g", to="/y/", parents=True)[-1] == "y/sub/g 644 0:0"


def test_patterns_of_exclude_see_the_path_that_parents_keep(bench: Bench) -> None:
    assert not any("g" in line for line in bench.copy("d", to="/x/", parents=True, excludes=("d/sub/g",)))
    assert any("g" in line for line in bench.copy("d", to="/y/", parents=True, excludes=("sub/g",)))
    assert not any("g" in line for line in bench.copy("./d/./sub", to="/z/", parents=True, excludes=("sub/g",)))
    assert bench.copy("d/sub/[g]", to="/q/", parents=True, excludes=("d/sub",)) == ["q/ 755 0:0"]
    with pytest.raises(NotFound, match='"/d/sub/g": not found') as refused:
        bench.copy("d/sub/g", to="/r/", parents=True, excludes=("d/sub",))
    assert refused.value.hint == "--exclude leaves it out"
    assert any("g" in line for line in bench.copy("d", to="/s/", parents=True, excludes=("d", "!d/sub")))


def test_hard_links_join_what_one_pattern_of_parents_finds(bench: Bench) -> None:
    os.link(bench.directory / "d/sub/g", bench.directory / "d/second")

    def joined(*words: str) -> bool:
        step, given = CopyStep(instruction(*words, to="/x/", parents=True)), bench.given()
        with bench.store.snapshots.prepare(None) as preparation:
            step.execute(given, preparation)
            return (preparation.upperdir / "x/d/second").samefile(preparation.upperdir / "x/d/sub/g")

    assert joined("d/*")
    assert joined("d")
    assert not joined("d/second", "d/sub/[g]")
    before = bench.key("d/*", to="/x/", parents=True)
    (bench.directory / "d/second").unlink()
    write(bench.directory, {"d/second": "g\n"})
    assert bench.key("d/*", to="/x/", parents=True) != before
    assert not joined("d/*")


def test_parents_make_the_destination_also_where_a_pattern_matches_nothing(bench: Bench) -> None:
    assert bench.copy("d/no*thing", to="/x/", parents=True) == ["x/ 755 0:0"]
    assert bench.copy("d/no*thing", to="/x/") == []


def test_a_stage_is_copied_from_with_its_owners(bench: Bench) -> None:
    def stage(upper: Path) -> None:
        (upper / "o").mkdir()
        (upper / "o/x").write_text("x")
        os.chown(upper / "o/x", 9, 8)
        (upper / "ln").symlink_to("/o")

    chain = bench.layer(stage)
    bench.sources["s"] = Result(chain=chain, content=Digest("sha256:" + "1" * 64))
    bench.parent = replace(bench.parent, chain=None)
    assert bench.copy("/ln", to="/y", from_="s") == ["y/ 755 0:0", "y/x 644 9:8"]
    with pytest.raises(NotFound, match='"/nope": not found in s'):
        bench.copy("/nope", to="/y", from_="s")


@pytest.mark.parametrize(
    "change",
    [
        lambda base: (base / "d/f").write_text("other"),
        lambda base: (base / "d/sub/g").chmod(0o755),
        lambda base: (base / "d/sub").chmod(0o711),
        lambda base: (base / "d/new").mkdir(),
        lambda base: (base / "d/e").rmdir(),
        lambda base: ((base / "d/l").unlink(), (base / "d/l").symlink_to("sub")),
        lambda base: ((base / "d/h").unlink(), (base / "d/h").write_text("f\n")),
        lambda base: (base / "d/f").rename(base / "d/F"),
    ],
)
def test_a_key_is_another_when_what_is_copied_is(bench: Bench, change: Callable[[Path], object]) -> None:
    before = bench.key("d")
    change(bench.directory)
    assert bench.key("d") != before


@pytest.mark.parametrize(
    "change",
    [
        lambda base: os.utime(base / "d/f", (5, 5)),
        lambda base: ((base / "d/sub/g").rename(base / "g"), write(base, {"d/sub/g": "g\n"})),
        lambda base: (base / "unrelated").write_text("x"),
        lambda base: (base / "d").chmod(0o755),
        lambda base: os.chown(base / "d/f", 7, 7),
    ],
)
def test_a_key_stays_when_only_times_inodes_owners_and_others_change(
    bench: Bench, change: Callable[[Path], object]
) -> None:
    before = bench.key("d")
    change(bench.directory)
    assert bench.key("d") == before


def test_the_same_size_and_time_with_other_content_is_another_key(bench: Bench) -> None:
    before = bench.key("a")
    bench.stack.pop_all().close()
    with Store.open(bench.context) as store:
        bench.store = store
        with ExitStack() as stack:
            bench.stack = stack
            assert bench.key("a") == before
            (bench.directory / "a").write_text("z\n")
            os.utime(bench.directory / "a", (LONG_AGO, LONG_AGO))
            assert bench.key("a") != before


def test_a_file_that_changes_between_key_and_copy_is_noticed(bench: Bench) -> None:
    step, given = CopyStep(instruction("d", to="/x")), bench.given()
    step.key_parts(given)
    (bench.directory / "d/f").write_text("changed")
    with bench.store.snapshots.prepare(None) as preparation, pytest.raises(SourceChanged) as caught:
        step.execute(given, preparation)
    assert caught.value.path == "d/f"


def test_a_file_that_grows_is_copied_as_it_was_seen(bench: Bench) -> None:
    step, given = CopyStep(instruction("d", to="/x")), bench.given()
    step.key_parts(given)
    with (bench.directory / "d/f").open("a") as file:
        file.write("more")
    with bench.store.snapshots.prepare(None) as preparation:
        step.execute(given, preparation)
        assert (preparation.upperdir / "x/f").read_text() == "f\n"


def test_what_changed_once_is_held_the_second_time(bench: Bench) -> None:
    step, given = CopyStep(instruction("d", to="/x")), bench.given()
    step.key_parts(given)
    for number in range(2):
        (bench.directory / "d/f").write_text(f"changed {number}")
        with bench.store.snapshots.prepare(None) as preparation, ExitStack() as stack:
            if number == 0:
                stack.enter_context(pytest.raises(SourceChanged))
            step.execute(given, preparation)
            found = listing(preparation.upperdir)
            assert "x/sub/g 644 0:0" in found
            assert (preparation.upperdir / "x/f").read_text() == (preparation.upperdir / "x/h").read_text()
            assert (preparation.upperdir / "x/f").read_text() == "changed 0"
        step.key_parts(given)


def test_a_held_tree_is_the_same_to_a_key(bench: Bench, tmp_path: Path) -> None:
    tree = bench.open()
    (tmp_path / "held").mkdir()
    held = HeldTree(tree, tmp_path / "held", bench.context.cancel)
    assert plan_copy(held, b"d").digest == plan_copy(tree, b"d").digest
    (bench.directory / "d/sub/g").write_text("other")
    with os.fdopen(held.open(b"d/sub/g")) as file:
        assert file.read() == "g\n"


@pytest.mark.parametrize("kind", ["nothing", "directory", "link"])
def test_a_held_tree_lacks_what_goes_before_it_is_read(bench: Bench, tmp_path: Path, kind: str) -> None:
    (tmp_path / "held").mkdir()
    (bench.directory / "d/sub/a").write_text("a")
    held = HeldTree(bench.open(), tmp_path / "held", bench.context.cancel)
    found = []
    for path, _, _ in held.walk(b"d/sub"):
        found.append(path)
        if path == b"a":
            (bench.directory / "d/sub/g").unlink()
            _put(bench.directory / "d/sub/g", kind)
    assert found == [b"", b"a"]


@pytest.mark.parametrize("kind", ["nothing", "directory", "link", "fifo"])
@pytest.mark.parametrize("size", [2, 3_000_000])
def test_a_file_whose_place_something_else_takes_is_noticed(bench: Bench, kind: str, size: int) -> None:
    path = bench.directory / "d/sub/g"
    path.write_bytes(b"g" * size)
    step, given = CopyStep(instruction("d", to="/x")), bench.given()
    step.key_parts(given)
    path.unlink()
    _put(path, kind)
    with bench.store.snapshots.prepare(None) as preparation, pytest.raises(SourceChanged) as caught:
        step.execute(given, preparation)
    assert caught.value.path == "d/sub/g"


@pytest.mark.parametrize("kind", ["nothing", "directory", "link", "fifo"])
def test_a_file_that_is_deleted_before_it_is_read_is_not_there(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    whole = bench.copy("d", to="/x")
    (bench.directory / "d/gone").write_text("gone")
    (bench.directory / "d/linked").write_text("linked")
    os.link(bench.directory / "d/linked", bench.directory / "d/sub/linked")
    read = DirectoryContext.file_digest

    def racing(self: DirectoryContext, path: bytes, size: int | None = None) -> bytes:
        if path in (b"d/gone", b"d/linked"):
            (bench.directory / os.fsdecode(path)).unlink()
            _put(bench.directory / os.fsdecode(path), kind)
        return read(self, path, size)

    monkeypatch.setattr(DirectoryContext, "file_digest", racing)
    assert bench.copy("d", to="/x") == sorted([*whole, "x/sub/linked 644 0:0"])


@pytest.mark.parametrize("kind", ["nothing", "link", "fifo"])
def test_a_directory_that_is_deleted_before_it_is_listed_is_empty(bench: Bench, kind: str) -> None:
    found = []
    for path, _, _ in bench.open().walk(b"d"):
        found.append(path)
        if path == b"l":
            rmtree(bench.directory / "d/sub")
            _put(bench.directory / "d/sub", kind)
    assert found == [b"", b"e", b"f", b"h", b"l", b"sub"]


def _put(path: Path, kind: str) -> None:
    match kind:
        case "directory":
            path.mkdir()
        case "link":
            path.symlink_to("/etc/passwd")
        case "fifo":
            os.mkfifo(path)


def archive(mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:  # type: ignore[call-overload]
        for name, kind in (("p", tarfile.DIRTYPE), ("p/z", tarfile.REGTYPE)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.uid, entry.gid, entry.mode = kind, 7, 8, 0o750
            tar.addfile(entry)
        entry = tarfile.TarInfo("p/l")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(entry)
    return buffer.getvalue()


UNPACKED = ["x/ 755 0:0", "x/p/ 750 7:8", "x/p/l 0:0 -> /etc", "x/p/z 750 7:8"]


@pytest.mark.parametrize(
    "compress", [bytes, gzip.compress, bz2.compress, lzma.compress], ids=["tar", "gz", "bz2", "xz"]
)
def test_add_unpacks_archives_whatever_they_are_called(bench: Bench, compress: Callable[[bytes], bytes]) -> None:
    (bench.directory / "data.bin").write_bytes(compress(archive()))
    assert bench.copy("data.bin", to="/x", keyword="add") == UNPACKED
    assert bench.copy("data.bin", to="/x/", keyword="add", unpack=False) == ["x/ 755 0:0", "x/data.bin 644 0:0"]
    assert bench.copy("data.bin", to="/x/") == ["x/ 755 0:0", "x/data.bin 644 0:0"]


@pytest.mark.parametrize(
    "content", [b"", b"text", b"\0" * 10240, gzip.compress(b"text", mtime=0), b"\x1f\x8b\x08broken"]
)
def test_add_copies_what_is_no_archive(bench: Bench, content: bytes) -> None:
    (bench.directory / "data.tar.gz").write_bytes(content)
    assert bench.copy("data.tar.gz", to="/x/", keyword="add") == ["x/ 755 0:0", "x/data.tar.gz 644 0:0"]


def test_an_archive_that_ends_early_is_refused(bench: Bench) -> None:
    (bench.directory / "cut.tgz").write_bytes(gzip.compress(archive() * 50)[:200])
    with pytest.raises(PybuildError, match=r"cut\.tgz"):
        bench.copy("cut.tgz", to="/x/", keyword="add")


def test_an_archive_replaces_what_is_in_its_way(bench: Bench) -> None:
    def base(upper: Path) -> None:
        (upper / "x/p/z/deep").mkdir(parents=True)

    bench.layer(base)
    (bench.directory / "data").write_bytes(archive())
    assert "x/p/z 750 7:8" in bench.copy("data", to="/x", keyword="add")


@pytest.mark.parametrize(
    ("word", "options", "said"),
    [
        ("https://example.org/x", {"keyword": "copy"}, "COPY cannot read"),
        ("https://example.org/x", {"checksum": "sha256:12"}, "invalid checksum"),
        ("https://example.org/x", {"keep_git_dir": True}, "--keep-git-dir says nothing of a file"),
        ("https://example.org/..", {}, "cannot be the name of a file"),
        ("https://example.org/x.git#main:../y", {}, "lies outside of the repository"),
        ("https://example.org/x.git?what=1", {}, 'unexpected query "what"'),
        ("https://example.org/x.git", {"checksum": "sha256:12"}, "invalid checksum"),
        ("https://example.org/x.git", {"unpack": True}, "--unpack says nothing of a git repository"),
    ],
)
def test_remote_sources_that_cannot_be_meant_are_refused_before_anything_is_asked(
    bench: Bench, word: str, options: Mapping[str, object], said: str
) -> None:
    step = CopyStep(instruction(word, to="/", **{"keyword": "add", **options}))
    with pytest.raises(UsageError, match=said):
        step.check(bench.open())


@pytest.mark.parametrize(
    ("sources", "destination", "options"),
    [
        (["d"], "/x", {}),
        (["d"], "/x/y/", {"chown": "3:4", "chmod": "750"}),
        (["a"], "/one", {}),
        (["a", "b", "d"], "/many/", {}),
        (["d", "a"], "/many/", {}),
        (["d/sub", "d"], "/two/", {}),
        (["d"], "/old", {}),
        (["d/f", "d/h"], "/links/", {}),
        (["a"], "/old/link", {}),
    ],
)
def test_digests_taken_on_the_way_are_those_of_the_layer(
    bench: Bench, sources: list[str], destination: str, options: dict[str, object]
) -> None:
    def base(upper: Path) -> None:
        (upper / "old/sub").mkdir(parents=True)
        (upper / "old/f").write_text("old")
        (upper / "old/link").symlink_to("f")
        (upper / "old").chmod(0o2775)

    bench.layer(base)
    step, given = CopyStep(instruction(*sources, to=destination, **options)), bench.given()
    with bench.store.snapshots.prepare(bench.parent.chain) as preparation:
        taken = step.execute(given, preparation)
        assert taken in (None, preparation.measure())
    if destination == "/x":
        assert taken is not None


def test_of_several_files_a_destination_that_is_no_directory_gets_the_last(bench: Bench) -> None:
    assert bench.copy("a", "b", to="/x") == ["x 644 0:0"]
    assert bench.copy("a", "b", to="/x/") == ["x/ 755 0:0", "x/a 644 0:0", "x/b 644 0:0"]


def test_directories_that_a_copy_makes_take_only_the_permissions_of_a_mode(bench: Bench) -> None:
    assert bench.copy("a", to="/x/y", chmod="3711") == ["x/ 711 0:0", "x/y 3711 0:0"]
