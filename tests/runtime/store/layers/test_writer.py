"""What the tar of an upperdir holds, and what its digests depend on."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.errors import LayerError, StoreError
from runtime.store.layers.tree import CAPABILITY, Metadata, make_whiteout, normal_capability, set_opaque
from runtime.store.layers.writer import LayerWriter, TimePolicy, write_layer
from tests.runtime.store.layers.trees import opened

NOW = 1_700_000_000
V2 = b"\x01\x00\x00\x02\x00\x04\x00\x00" + bytes(12)


@pytest.fixture
def upper(tmp_path: Path) -> Path:
    path = tmp_path / "upper"
    path.mkdir()
    return path


def settle_times(root: Path) -> None:
    """Give every file below `root` one time."""
    for directory, directories, files in os.walk(root):
        for name in directories + files:
            os.utime(Path(directory, name), (NOW, NOW), follow_symlinks=False)


def members(upper: Path) -> list[tarfile.TarInfo]:
    sink = io.BytesIO()
    write_layer(upper, sink)
    with tarfile.open(fileobj=io.BytesIO(sink.getvalue()), errorlevel=2) as tar:
        return tar.getmembers()


def names(upper: Path) -> list[str]:
    return [member.name for member in members(upper)]


def test_digests_are_those_of_the_bytes(upper: Path) -> None:
    (upper / "large").write_bytes(os.urandom(3 << 20))
    (upper / "small").write_bytes(b"x" * 700)
    sink = io.BytesIO()
    digests = write_layer(upper, sink)
    assert digests.diff_id == "sha256:" + hashlib.sha256(sink.getvalue()).hexdigest()
    assert digests.tar_size == len(sink.getvalue())
    assert digests.size == (3 << 20) + 700
    assert write_layer(upper) == digests


def test_diff_id_can_be_sha512(upper: Path) -> None:
    sink = io.BytesIO()
    assert (
        write_layer(upper, sink, algorithm="sha512").diff_id == "sha512:" + hashlib.sha512(sink.getvalue()).hexdigest()
    )


def test_empty_layer_is_the_end_mark_alone(upper: Path) -> None:
    sink = io.BytesIO()
    write_layer(upper, sink)
    assert sink.getvalue() == bytes(1024)


def test_parents_come_first_and_names_in_byte_order(upper: Path) -> None:
    for path in ("a/x", "a-b", "b/c", "é", "B", "a/Z"):
        (upper / path).parent.mkdir(exist_ok=True)
        (upper / path).touch()
    (upper / os.fsdecode(b"\xff")).touch()
    assert names(upper) == ["B", "a", "a/Z", "a/x", "a-b", "b", "b/c", "é", "\udcff"]


def test_order_of_making_does_not_show(tmp_path: Path) -> None:
    paths = [f"d{i % 3}/f{i}" for i in range(20)]
    found = []
    for index, order in enumerate((paths, paths[::-1])):
        root = tmp_path / str(index)
        for path in order:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(path)
        settle_times(root)
        found.append(write_layer(root))
    assert found[0] == found[1]


def test_hard_links_point_to_the_first_name(upper: Path) -> None:
    (upper / "b").write_text("content")
    os.link(upper / "b", upper / "a")
    os.link(upper / "b", upper / "c")
    first, second, third = members(upper)
    assert (first.name, first.isreg(), first.size) == ("a", True, 7)
    assert [(m.name, m.type, m.linkname, m.size) for m in (second, third)] == [
        ("b", tarfile.LNKTYPE, "a", 0),
        ("c", tarfile.LNKTYPE, "a", 0),
    ]


def test_link_count_from_outside_of_the_layer_does_not_show(upper: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("x")
    before = (upper / "f").write_text("x")
    settle_times(upper)
    expected = write_layer(upper)
    (upper / "f").unlink()
    os.link(tmp_path / "outside", upper / "f")
    settle_times(upper)
    assert before == 1
    assert write_layer(upper) == expected


def test_whiteouts_that_share_an_inode_stay_whiteouts(upper: Path) -> None:
    with opened(upper) as fd:
        make_whiteout(fd, b"x")
    try:
        os.link(upper / "x", upper / "y")
    except OSError:
        pytest.skip("this file system does not link devices")
    assert [(m.name, m.isreg(), m.size, m.mtime) for m in members(upper)] == [
        (".wh.x", True, 0, 0),
        (".wh.y", True, 0, 0),
    ]


def test_opaque_mark_is_first_in_its_directory(upper: Path) -> None:
    (upper / "d").mkdir()
    (upper / "d" / "!").touch()
    with opened(upper) as fd:
        set_opaque(fd, b"d")
    assert names(upper) == ["d", "d/.wh..wh..opq", "d/!"]


def test_name_that_would_read_as_a_whiteout_is_refused(upper: Path) -> None:
    (upper / ".wh.x").touch()
    with pytest.raises(LayerError, match="marks a deleted file") as caught:
        write_layer(upper)
    assert caught.value.entry == ".wh.x"


def test_special_files(upper: Path) -> None:
    os.mkfifo(upper / "fifo", 0o640)
    os.symlink("target", upper / "link")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(upper / "socket"))
    (upper / "setuid").touch()
    os.chmod(upper / "setuid", 0o4755)
    fifo, link, setuid = members(upper)
    assert (fifo.type, fifo.name) == (tarfile.FIFOTYPE, "fifo")
    assert (link.type, link.linkname, link.mode) == (tarfile.SYMTYPE, "target", 0o777)
    assert (setuid.name, setuid.mode) == ("setuid", 0o4755)


@pytest.mark.root
def test_device_nodes_keep_their_numbers(upper: Path) -> None:
    os.mknod(upper / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(upper / "sda", stat.S_IFBLK | 0o660, os.makedev(8, 300))
    assert [(m.type, m.devmajor, m.devminor) for m in members(upper)] == [
        (tarfile.CHRTYPE, 1, 3),
        (tarfile.BLKTYPE, 8, 300),
    ]


def test_times_are_whole_seconds_rounded_down(upper: Path) -> None:
    (upper / "f").touch()
    os.utime(upper / "f", ns=(0, 1_999_999_999))
    (upper / "old").touch()
    os.utime(upper / "old", ns=(0, -1))
    assert [member.mtime for member in members(upper)] == [1, -1]


def test_sparse_files_are_written_out(upper: Path) -> None:
    with open(upper / "sparse", "wb") as file:
        file.truncate(3 << 20)
        file.seek(1 << 20)
        file.write(b"data")
    sink = io.BytesIO()
    write_layer(upper, sink)
    with tarfile.open(fileobj=io.BytesIO(sink.getvalue())) as tar:
        member = tar.extractfile("sparse")
        assert member is not None
        assert member.read() == (upper / "sparse").read_bytes()


def test_of_extended_attributes_only_file_capabilities_are_kept() -> None:
    xattrs = {"user.note": b"x", CAPABILITY: V2, "trusted.note": b"y"}
    sink = io.BytesIO()
    with LayerWriter(sink) as writer:
        writer.add(b"d", Metadata("directory", 0o644, 0, 0, xattrs=xattrs))
        writer.finish()
    with tarfile.open(fileobj=io.BytesIO(sink.getvalue())) as tar:
        assert list(tar.getmembers()[0].pax_headers) == ["SCHILY.xattr.security.capability"]


def test_capabilities_of_a_user_namespace_become_version_two() -> None:
    v3 = b"\x01\x00\x00\x03\x00\x04\x00\x00" + bytes(12) + (100_000).to_bytes(4, "little")
    assert normal_capability(v3) == V2
    assert normal_capability(V2) == V2


def test_times_after_the_limit_become_the_limit(upper: Path) -> None:
    for name, mtime in (("early", NOW - 1), ("late", NOW + 1)):
        (upper / name).touch()
        os.utime(upper / name, (mtime, mtime))
    sink = io.BytesIO()
    write_layer(upper, sink, times=TimePolicy(latest=NOW))
    with tarfile.open(fileobj=io.BytesIO(sink.getvalue())) as tar:
        assert [member.mtime for member in tar] == [NOW - 1, NOW]


def test_times_from_a_moment_on_become_the_limit_as_well(upper: Path) -> None:
    for name, mtime in (("own", NOW - 9), ("made", NOW - 8), ("late", NOW + 1)):
        (upper / name).touch()
        os.utime(upper / name, (mtime, mtime))
    sink = io.BytesIO()
    write_layer(upper, sink, times=TimePolicy(latest=NOW, since=NOW - 8))
    with tarfile.open(fileobj=io.BytesIO(sink.getvalue())) as tar:
        assert {member.name: member.mtime for member in tar} == {"late": NOW, "made": NOW, "own": NOW - 9}


def test_very_deep_tree_is_written(upper: Path) -> None:
    depth = 300
    fd = os.open(upper, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("leaf", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    found = names(upper)
    assert len(found) == depth + 1
    assert found[-1] == "d/" * depth + "leaf"


def test_file_that_got_shorter_is_named(upper: Path) -> None:
    (upper / "f").write_bytes(b"1234")
    with opened(upper) as dir_fd, LayerWriter() as writer:
        fd = os.open("f", os.O_RDONLY, dir_fd=dir_fd)
        try:
            with pytest.raises(StoreError, match="'f' got another size"):
                writer.add(b"f", Metadata("file", 0o644, 0, 0, size=5), fd)
        finally:
            os.close(fd)


def _content(upper: Path) -> str:
    settle_times(upper)
    return write_layer(upper).content_digest


def _unlinked(root: Path) -> None:
    (root / "g").unlink()
    (root / "g").write_text("one")


def _retargeted(root: Path) -> None:
    (root / "l").unlink()
    os.symlink("g", root / "l")


def _filed(root: Path) -> None:
    (root / "d").rmdir()
    (root / "d").touch()


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda root: (root / "f").write_text("two"),
    "mode": lambda root: os.chmod(root / "f", 0o600),
    "mode of a directory": lambda root: os.chmod(root / "d", 0o700),
    "another file": lambda root: (root / "d" / "new").touch(),
    "a name": lambda root: os.rename(root / "f", root / "F"),
    "a link target": _retargeted,
    "a hard link": _unlinked,
    "kind": _filed,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_content_digest_changes_with(upper: Path, change: Callable[[Path], object]) -> None:
    (upper / "f").write_text("one")
    os.link(upper / "f", upper / "g")
    (upper / "d").mkdir()
    os.symlink("f", upper / "l")
    before = _content(upper)
    change(upper)
    assert _content(upper) != before


def test_content_digest_leaves_times_out(upper: Path) -> None:
    (upper / "f").write_text("one")
    digests = write_layer(upper)
    os.utime(upper / "f", (1, 1))
    later = write_layer(upper)
    assert later.content_digest == digests.content_digest
    assert later.diff_id != digests.diff_id


def test_digests_of_a_small_layer_stay_as_they_are(upper: Path) -> None:
    """Cache records and images out there hold these: a change of them is a new format."""
    with LayerWriter() as writer:
        writer.add(b"bin", Metadata("directory", 0o755, 0, 0, mtime_ns=NOW * 10**9))
        metadata = Metadata("file", 0o755, 0, 0, size=6, mtime_ns=NOW * 10**9, xattrs={CAPABILITY: V2})
        (upper / "ping").write_text("binary")
        with open(upper / "ping", "rb") as file:
            writer.add(b"bin/ping", metadata, file.fileno())
        writer.add(b"bin/sh", Metadata("symlink", 0o777, 0, 0, link=b"dash", mtime_ns=NOW * 10**9))
        writer.add(b"gone", Metadata("whiteout", 0, 0, 0))
        digests = writer.finish()
    assert digests.diff_id == "sha256:c4fc5fc09d9c5b744f0f4c47e6528ab17c68fddfa672c28a214a30b4636ba28e"
    assert digests.content_digest == "sha256:1ccea1626c67ef3c175522b8301db6e39ac46866a4810aec008d9f47ccd4bd63"
    assert digests.checks.hex() == "32ef5486c3bb265997f01adf57745fa2"
