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

import pytest

from builder.context import DirectoryContext, open_context
from builder.interfaces import Given, Result, SourceChanged
from builder.steps.copy import CopyStep
from frozen import replace
from grammar.ignore import IgnoreFile
from grammar.instructions import Copy, InlineFile
from runtime.context import Context
from runtime.errors import NotFound, PybuildError, UsageError
from runtime.oci.digests import ChainID, Digest
from runtime.store import Store
from runtime.store.snapshots import Snapshot
from runtime.store.trees import remove_tree

pytestmark = pytest.mark.root

LONG_AGO = 1_000_000_000


def write(base: Path, files: Mapping[str, str | None]) -> Path:
    """Make files; a name with a slash at its end is a directory, a None is one too."""
    for name, content in files.items():
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir(exist_ok=True)
        else:
            path.write_text(content)
            os.utime(path, (LONG_AGO, LONG_AGO))
    return base


class Bench:
    """A store, a build context and a parent tree; `copy` runs one instruction and returns what is in its layer."""

    def __init__(self, context: Context, store: Store, base: Path, stack: ExitStack) -> None:
        self.context = context
        self.store = store
        self.directory = base
        self.stack = stack
        self.parent = Result(chain=None, content=Digest("sha256:" + "0" * 64))
        self.sources: dict[str, Result] = {}
        self.ignore: IgnoreFile | None = None

    def open(self) -> DirectoryContext:
        return self.stack.enter_context(open_context(self.store, self.directory, self.ignore))

    def given(self) -> Given:
        return Given(
            context=self.context,
            store=self.store,
            build_context=self.open(),
            parent=self.parent,
            view=self.store.snapshots.view(self.parent.chain),
            sources=self.sources,
            variables={},
            proxies={},
            user="",
            working_directory="/",
            shell=(),
            platform="linux/amd64",
            epoch=None,
            output=lambda _stream, _data: None,
        )

    def layer(self, change: Callable[[Path], None]) -> ChainID:
        """Put a layer onto the parent, made by a function."""
        with self.store.snapshots.prepare(self.parent.chain) as preparation:
            change(preparation.upperdir)
            snapshot = preparation.commit(preparation.measure())
        self.parent = replace(self.parent, chain=snapshot.chain_id)
        return snapshot.chain_id

    def key(self, *sources: str, to: str = "/", **options: object) -> object:
        return CopyStep(instruction(*sources, to=to, **options)).key_parts(self.given())

    def copy(self, *sources: str, to: str, **options: object) -> list[str]:
        step = CopyStep(instruction(*sources, to=to, **options))
        given = self.given()
        step.key_parts(given)
        with self.store.snapshots.prepare(self.parent.chain) as preparation:
            step.execute(given, preparation)
            return listing(preparation.upperdir)


def instruction(*sources: str, to: str, **options: object) -> Copy:
    words: dict[str, object] = {"keyword": "copy", **options}
    return Copy(sources=sources, destination=to, **words)  # type: ignore[arg-type]


def listing(root: Path) -> list[str]:
    """Say what a layer holds: `path mode uid:gid` and what kind of thing each is."""
    lines = []
    for directory, names, files in os.walk(root):
        for name in sorted([*names, *files]):
            path = Path(directory, name)
            status = path.lstat()
            kind = "/" if path.is_dir() and not path.is_symlink() else ""
            link = f" -> {path.readlink()}" if path.is_symlink() else ""
            mode = "" if link else f" {status.st_mode & 0o7777:o}"
            lines.append(f"{path.relative_to(root)}{kind}{mode} {status.st_uid}:{status.st_gid}{link}")
    return sorted(lines)


@pytest.fixture
def bench(context: Context, tmp_path: Path) -> Iterator[Bench]:
    base = write(tmp_path / "context", {"a": "a\n", "b": "b\n", "d/f": "f\n", "d/sub/g": "g\n", "d/e": None})
    (base / "d/l").symlink_to("f")
    os.link(base / "d/f", base / "d/h")
    (base / "d").chmod(0o700)
    with ExitStack() as stack:
        yield Bench(context, stack.enter_context(Store.open(context)), base, stack)


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
    assert bench.copy("d/sub/g", to="/q/", parents=True, excludes=("d/sub",)) == ["q/ 755 0:0"]


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


def copied_again(bench: Bench, *sources: str, earlier: Snapshot | None = None, **options: object) -> Snapshot:
    """Copy into a layer that stays, with an earlier one at hand."""
    step, given = CopyStep(instruction(*sources, to="/x/", **options)), bench.given()
    step.key_parts(given)
    with bench.store.snapshots.prepare(bench.parent.chain, backing=earlier) as preparation:
        taken = step.execute(given, preparation)
        measured = preparation.measure()
        assert taken in (None, measured)
        return preparation.commit(measured)


def own(snapshot: Snapshot) -> set[str]:
    """Name the files that a layer does not share with the one that it stands on."""
    return {path.name for path in snapshot.path.rglob("*") if not path.is_dir() or path.is_symlink()}


def test_a_layer_stands_on_an_earlier_one_and_has_only_what_is_new(bench: Bench) -> None:
    (bench.directory / "d/h").unlink()
    (bench.directory / "d/large").write_bytes(b"0123456789abcdef" * (3 << 16))
    before = copied_again(bench, "a", "b", "d")
    write(bench.directory, {"d/new": "new\n", "b": "other\n"})
    again = copied_again(bench, "a", "b", "d", earlier=before)
    assert again.backing == before.chain_id
    assert own(again) == {"new", "b"}
    assert again.own_size == len("new\n" + "other\n")
    alone = copied_again(bench, "a", "b", "d")
    assert alone == again, "the layer of the same content is the same layer"
    with bench.store.snapshots.view(again.chain_id) as view:
        assert (view.read_text("x/new"), view.read_text("x/b"), view.read_text("x/a")) == ("new\n", "other\n", "a\n")
        assert view.listdir("x") == tuple(sorted({*os.listdir(os.fsencode(before.path / "x")), b"new"}))
    bench.store.snapshots.verify(again.chain_id)


@pytest.mark.parametrize(
    "change",
    [
        lambda base: (base / "a").write_text("z\n"),
        lambda base: (base / "a").chmod(0o600),
        lambda base: os.utime(base / "a", (5, 5)),
    ],
)
def test_a_file_that_is_not_as_it_was_is_not_shared(bench: Bench, change: Callable[[Path], object]) -> None:
    before = copied_again(bench, "a", "b")
    change(bench.directory)
    assert own(copied_again(bench, "a", "b", earlier=before)) == {"a"}


def test_hard_links_are_those_of_one_layer(bench: Bench) -> None:
    os.link(bench.directory / "d/sub/g", bench.directory / "elsewhere")
    before = copied_again(bench, "d")
    write(bench.directory, {"d/new": "new\n"})
    again = copied_again(bench, "d", earlier=before)
    assert own(again) == {"new", "f", "h"}, "names of one file stay together; a name that is not copied is none"
    first, second = (again.path / "x" / name for name in ("f", "h"))
    assert first.stat().st_ino == second.stat().st_ino
    assert (first.stat().st_nlink, (before.path / "x/sub/g").stat().st_nlink) == (2, 1)


def test_two_files_never_become_one_by_way_of_an_earlier_layer(bench: Bench) -> None:
    before = copied_again(bench, "d")
    (bench.directory / "d/h").unlink()
    write(bench.directory, {"d/h": "f\n"})
    again = copied_again(bench, "d", earlier=before)
    assert (again.path / "x/f").stat().st_ino != (again.path / "x/h").stat().st_ino


@pytest.mark.parametrize(
    ("gone", "new"),
    [
        (["e/s/f"], {}),
        (["e/z"], {}),
        (["e/s"], {}),
        (["e/s"], {"e/s": "a file now"}),
        (["e/z"], {"e/z/f": "a directory now"}),
    ],
)
def test_a_layer_that_lacks_something_of_an_earlier_one_stands_alone(
    bench: Bench, gone: list[str], new: dict[str, str | None]
) -> None:
    write(bench.directory, {"e/a": "a", "e/s/f": "f", "e/s/g": "g", "e/z": "z"})
    before = copied_again(bench, "e")
    for name in gone:
        remove_tree(bench.directory / name)
    write(bench.directory, new)
    again = copied_again(bench, "e", earlier=before)
    assert again.backing is None
    assert listing(again.path / "x") == listing(bench.directory / "e")


def test_a_changed_directory_alone_is_made_again(bench: Bench) -> None:
    write(bench.directory, {"e/s/f": "f"})
    before = copied_again(bench, "e")
    (bench.directory / "e/s").chmod(0o700)
    again = copied_again(bench, "e", earlier=before)
    assert own(again) == set()
    assert stat.S_IMODE((again.path / "x/s").stat().st_mode) == 0o700
    with bench.store.snapshots.view(again.chain_id) as view:
        assert view.read_text("x/s/f") == "f"


def test_a_layer_may_stand_on_one_that_stands_on_another(bench: Bench) -> None:
    write(bench.directory, {"e/a": "a", "e/b": "b", "e/s/f": "f"})
    first = copied_again(bench, "e")
    write(bench.directory, {"e/b": "b2", "e/s/g": "g"})
    second = copied_again(bench, "e", earlier=first)
    write(bench.directory, {"e/s/f": "f2"})
    third = copied_again(bench, "e", earlier=second)
    assert (third.paths, own(third)) == ((third.path, second.path, first.path), {"f"})
    with bench.store.snapshots.view(third.chain_id) as view:
        found = [view.read_text(f"x/{name}") for name in ("a", "b", "s/f", "s/g")]
    assert found == ["a", "b2", "f2", "g"]
    bench.store.snapshots.verify(third.chain_id)
    (bench.directory / "e/a").unlink()
    assert copied_again(bench, "e", earlier=third).backing is None


def test_files_that_an_image_has_already_are_written_once(bench: Bench) -> None:
    def older(upper: Path) -> None:
        write(upper, {"x/a": "older", "x/s/f": "older"})

    bench.layer(older)
    write(bench.directory, {"e/a": "a", "e/s/f": "f", "e/b": "b"})
    before = copied_again(bench, "e")
    (bench.directory / "e/b").write_text("changed")
    again = copied_again(bench, "e", earlier=before)
    assert (again.backing, own(again)) == (before.chain_id, {"b"})


def test_an_order_that_is_not_the_tar_s_makes_a_layer_of_its_own(bench: Bench) -> None:
    before = copied_again(bench, "b", "a")
    (bench.directory / "b").write_text("other")
    again = copied_again(bench, "b", "a", earlier=before)
    assert (again.backing, own(again)) == (None, {"a", "b"})


def test_a_link_in_an_earlier_layer_leads_nowhere(bench: Bench, tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", {"f": "f\n"})
    write(bench.directory, {"e/a": "a"})
    (bench.directory / "e/sub").symlink_to(outside)
    before = copied_again(bench, "e")
    (bench.directory / "e/sub").unlink()
    write(bench.directory, {"e/sub/f": "f\n"})
    again = copied_again(bench, "e", earlier=before)
    assert (again.backing, (again.path / "x/sub/f").stat().st_ino) != (None, (outside / "f").stat().st_ino)


def test_of_several_files_a_destination_that_is_no_directory_gets_the_last(bench: Bench) -> None:
    assert bench.copy("a", "b", to="/x") == ["x 644 0:0"]
    assert bench.copy("a", "b", to="/x/") == ["x/ 755 0:0", "x/a 644 0:0", "x/b 644 0:0"]


def test_directories_that_a_copy_makes_take_only_the_permissions_of_a_mode(bench: Bench) -> None:
    assert bench.copy("a", to="/x/y", chmod="3711") == ["x/ 711 0:0", "x/y 3711 0:0"]
