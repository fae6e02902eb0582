"""`localhost/base`: whole, the same every time, made once."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import pytest

from runtime.context import Context
from runtime.embedded import base, tree
from runtime.embedded.base import ensure_base, is_base, write_tree
from runtime.embedded.files import os_release
from runtime.embedded.libraries import Resolver
from runtime.embedded.tree import Node, base_tree, image_path
from runtime.errors import StoreError
from runtime.oci.references import parse_reference
from runtime.store import Store


@pytest.fixture
def store(context: Context) -> Iterator[Store]:
    with Store.open(context) as opened:
        yield opened


@pytest.mark.parametrize("name", ["localhost/base", "localhost/base:latest"])
def test_every_spelling_is_known(name: str) -> None:
    assert is_base(parse_reference(name))


@pytest.mark.parametrize(
    "name", ["base", "localhost/base:1", "localhost:5000/base", "example.com/base", "localhost/bases"]
)
def test_another_name_is_another_image(name: str) -> None:
    assert not is_base(parse_reference(name))


def test_a_parent_comes_before_what_is_in_it() -> None:
    seen = {"."}
    for path in base_tree():
        assert str(PurePosixPath(path).parent) in seen
        seen.add(path)


def test_a_hard_link_comes_after_its_file() -> None:
    seen = set()
    for path, node in base_tree().items():
        if node.hard:
            assert node.target in seen
        seen.add(path)


def test_the_programs_that_scripts_need_are_there() -> None:
    found = base_tree()
    for name in ("sh", "ls", "cat", "cp", "mv", "rm", "mkdir", "grep", "sed", "tar", "env", "id", "sleep", "find"):
        assert f"usr/bin/{name}" in found
    assert found["bin"].target == "usr/bin"
    assert found["tmp"].mode == 0o1777


def test_a_machine_without_a_shell_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no usable sh") as caught:
        base_tree(Resolver(), (tmp_path,))
    assert caught.value.hint


def test_a_program_that_only_another_interpreter_can_run_is_left_out(tmp_path: Path) -> None:
    for name in ("sh", "cat", "ls"):
        os.symlink(f"/bin/{name}", tmp_path / name)
    (tmp_path / "which").write_text("#!/usr/bin/perl\n")
    (tmp_path / "zcat").write_text("#!/bin/sh\n")
    found = base_tree(Resolver(), (tmp_path,))
    assert "usr/bin/which" not in found
    assert "usr/bin/zcat" in found


@pytest.mark.parametrize(
    ("host", "image"),
    [
        ("/lib64/ld-linux-x86-64.so.2", "usr/lib64/ld-linux-x86-64.so.2"),
        ("/usr/lib/libc.so.6", "usr/lib/libc.so.6"),
        ("/bin/sh", "usr/bin/sh"),
        ("/nix/store/abc-glibc/lib/libc.so.6", "nix/store/abc-glibc/lib/libc.so.6"),
    ],
)
def test_the_image_is_merged_usr_whatever_the_machine_is(host: str, image: str) -> None:
    assert image_path(Path(host)) == image


def test_the_tar_has_fixed_times_and_root_as_owner(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    nodes = {"a": Node(), "a/b": Node(source=tmp_path / "file", mode=0o755), "a/c": Node(target="a/b", hard=True)}
    sink = io.BytesIO()
    write_tree({**nodes, "d": Node(target="a"), "e": Node(text=b"x", mode=0o644)}, sink)
    with tarfile.open(fileobj=io.BytesIO(sink.getvalue())) as archive:
        members = archive.getmembers()
    assert [member.name for member in members] == ["a", "a/b", "a/c", "d", "e"]
    assert {(member.uid, member.gid, member.uname, member.mtime) for member in members} == {(0, 0, "", base.CREATED)}
    assert [member.type for member in members] == [b"5", b"0", b"1", b"2", b"0"]


def test_a_program_that_vanished_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=f"{tmp_path}/gone: No such file"):
        write_tree({"gone": Node(source=tmp_path / "gone")}, io.BytesIO())


def test_os_release_says_whose_programs_these_are(tmp_path: Path) -> None:
    (tmp_path / "os-release").write_text('ID=debian\nPRETTY_NAME="Debian GNU/Linux 12"\n')
    text = os_release(tmp_path / "os-release").decode()
    assert "ID_LIKE=debian\n" in text
    assert 'PRETTY_NAME="pybuild base (Debian GNU/Linux 12)"' in text


def test_without_an_os_release_it_is_some_linux(tmp_path: Path) -> None:
    assert b"ID_LIKE=linux" in os_release(tmp_path / "none")


def test_the_image_has_its_name_a_shell_and_a_path(store: Store) -> None:
    image = ensure_base(store)
    assert [str(name) for name in image.names] == ["localhost/base:latest"]
    assert image.config.config.cmd == ("/bin/sh",)
    assert image.config.config.env[0].startswith("PATH=/usr/local/sbin:")
    with store.snapshots.view(image.config.chain_id) as view:
        assert view.read_link(PurePosixPath("bin")) == b"usr/bin"
        assert (view.read_text(PurePosixPath("etc/passwd"), 1 << 16) or "").startswith("root:x:0:0:")


def test_it_is_made_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    image = ensure_base(store)
    monkeypatch.setattr(tree, "base_tree", lambda: pytest.fail("it was made again"))
    assert ensure_base(store).id == image.id


def test_two_that_want_it_at_once_get_the_same(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    original = base_tree

    def counted() -> dict[str, Node]:
        made.append(1)
        return original()

    monkeypatch.setattr(tree, "base_tree", counted)
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(lambda _: ensure_base(store).id, range(4)))
    assert len(set(images)) == 1
    assert len(made) == 1


def test_one_that_was_removed_is_made_again_and_is_the_same(store: Store) -> None:
    image = ensure_base(store)
    store.images.remove(image)
    assert ensure_base(store).id == image.id


def test_another_image_under_that_name_is_left_there(store: Store) -> None:
    image = ensure_base(store)
    other = store.images.record(image.config.encode().replace(b"/bin/sh", b"/bin/ls"), (base.REFERENCE,))
    assert ensure_base(store).id == other.id != image.id


@pytest.mark.root
def test_its_programs_run_without_anything_of_the_host(store: Store) -> None:
    image = ensure_base(store)
    assert image.config.chain_id is not None
    (layer,) = store.snapshots.stack(image.config.chain_id)
    script = """
        set -e
        id -u; uname -s; printf '2\n1\n' | sort | tr '\n' ' '; echo; echo a b | sed s/a/c/ | grep -o c
        awk 'BEGIN { print 6 * 7 }'; tar c etc | tar t | head -n 1; find / -xdev -name passwd; ls -ld /tmp | cut -c1-10
        env | grep ^PATH
    """
    command = ("chroot", str(layer), "/bin/sh", "-c", script)
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={"PATH": "/usr/sbin:/usr/bin:/bin"})
    assert done.stdout.splitlines() == [
        "0", "Linux", "1 2 ", "c", "42", "etc/", "/etc/passwd", "drwxrwxrwt", "PATH=/usr/sbin:/usr/bin:/bin",
    ]  # fmt: skip
