"""Mounts: options are read, destinations never leave the root, sources appear where they should."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.oci import runtimespec
from runtime.sandbox import syscalls
from runtime.sandbox.failure import LaunchFailure
from runtime.sandbox.mounts import Options, mount_point
from tests.users import USER_WITHOUT_RANGE


def test_the_later_of_two_options_wins() -> None:
    options = Options(["ro", "noexec", "rw", "exec"])
    assert options.attr_set == 0
    assert options.attr_clear == syscalls.MOUNT_ATTR_RDONLY | syscalls.MOUNT_ATTR_NOEXEC


def test_recursive_options_are_kept_apart() -> None:
    options = Options(["rbind", "ro", "rro"])
    assert options.rbind
    assert (options.attr_set, options.recursive_set) == (syscalls.MOUNT_ATTR_RDONLY, syscalls.MOUNT_ATTR_RDONLY)


@pytest.mark.parametrize(
    ("word", "flag", "recursive"),
    [
        ("private", syscalls.MS_PRIVATE, False),
        ("rslave", syscalls.MS_SLAVE, True),
        ("shared", syscalls.MS_SHARED, False),
    ],
)
def test_propagation_is_read(word: str, flag: int, recursive: bool) -> None:
    options = Options([word])
    assert (options.propagation, options.propagation_recursive) == (flag, recursive)


def test_other_words_are_for_the_file_system() -> None:
    assert Options(["size=1m", "newinstance", "nodev"]).data == [("size", "1m"), ("newinstance", None)]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a root with links that try to leave it; `outside` lies beside it."""
    root = tmp_path / "root"
    (root / "dir").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (root / "absolute").symlink_to("/outside")
    (root / "up").symlink_to("../outside")
    (root / "dangling").symlink_to("/made/later")
    (root / "loop").symlink_to("loop")
    (root / "magic").symlink_to("/proc/self/cwd")
    (root / "dir/file").write_text("")
    return root


def point(root: Path, path: str, *, is_directory: bool = True) -> tuple[str, list[str]]:
    created: list[str] = []
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
    try:
        fd = mount_point(root_fd, path, is_directory=is_directory, created=created)
        try:
            return os.readlink(f"/proc/self/fd/{fd}"), created
        finally:
            os.close(fd)
    finally:
        os.close(root_fd)


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/absolute/x", "outside/x"),
        ("/up/x", "outside/x"),
        ("/../../x", "x"),
        ("/dir/../../../y", "y"),
        ("/dangling", "made/later"),
        ("/dangling/deep", "made/later/deep"),
    ],
)
def test_a_mount_point_is_made_inside_the_root(tree: Path, path: str, where: str) -> None:
    found, created = point(tree, path)
    assert found == f"{tree}/{where}"
    assert created[-1] == f"/{where}"
    assert os.listdir(tree.parent / "outside") == []


def test_a_missing_file_is_made_empty_with_its_parents(tree: Path) -> None:
    found, created = point(tree, "/etc/conf/file", is_directory=False)
    assert created == ["/etc", "/etc/conf", "/etc/conf/file"]
    assert Path(found).read_bytes() == b""


def test_what_exists_is_not_reported(tree: Path) -> None:
    assert point(tree, "/dir/file", is_directory=False) == (f"{tree}/dir/file", [])


@pytest.mark.parametrize("path", ["/loop", "/loop/x", "/dir/file/x"])
def test_a_destination_that_cannot_be_is_refused(tree: Path, path: str) -> None:
    with pytest.raises(LaunchFailure) as caught:
        point(tree, path)
    assert caught.value.exit_code == 125
    assert path in str(caught.value)


@settings(max_examples=200)
@given(parts=st.lists(st.sampled_from(["absolute", "up", "dir", "..", ".", "", "dangling", "new", "x"]), max_size=7))
def test_no_path_of_any_shape_leaves_the_root(tree: Path, parts: list[str]) -> None:
    found, _ = point(tree, "/" + "/".join(parts))
    assert found == str(tree) or found.startswith(f"{tree}/")
    assert os.listdir(tree.parent / "outside") == []


needs_mounts = [pytest.mark.root, pytest.mark.overlay]


class TestInside:
    """What the command sees of its mounts."""

    pytestmark = needs_mounts

    def source(self, sandbox: Any, name: str = "source") -> Path:
        directory = Path(sandbox.base, name)
        directory.mkdir()
        directory.chmod(0o777)
        (directory / "file").write_text("content")
        (directory / "file").chmod(0o666)
        sandbox.own(directory)
        return directory

    def test_a_directory_is_bound_writable(self, sandbox: Any) -> None:
        source = self.source(sandbox)
        outcome = sandbox("sh", "-c", "cat /m/file; echo new >/m/made", mounts=[runtimespec.bind(str(source), "/m")])
        assert outcome.output == "content"
        assert (source / "made").read_text() == "new\n"

    def test_a_read_only_bind_cannot_be_written(self, sandbox: Any) -> None:
        mount = runtimespec.bind(str(self.source(sandbox)), "/m", readonly=True)
        assert "Read-only file system" in sandbox("sh", "-c", "echo new >/m/made", mounts=[mount]).output

    def test_a_read_only_bind_is_so_in_what_lies_below(self, root_sandbox: Any) -> None:
        mount = runtimespec.bind("/dev", "/m", readonly=True)
        assert "Read-only file system" in root_sandbox("touch", "/m/shm/x", mounts=[mount]).output

    def test_a_file_is_bound_on_a_file_that_is_made(self, sandbox: Any) -> None:
        source = self.source(sandbox)
        outcome = sandbox("cat", "/etc/resolv.conf", mounts=[runtimespec.bind(f"{source}/file", "/etc/resolv.conf")])
        assert outcome.output == "content"
        assert "/etc/resolv.conf" in outcome.raw["mountpoints"]

    def test_a_file_on_a_directory_is_refused(self, sandbox: Any) -> None:
        source = self.source(sandbox)
        failure = sandbox("true", mounts=[runtimespec.bind(f"{source}/file", "/etc")]).failure
        assert "the source is a file and the destination a directory" in failure["text"]

    def test_a_missing_source_is_named(self, sandbox: Any) -> None:
        failure = sandbox("true", mounts=[runtimespec.bind("/no/such/source", "/m")]).failure
        assert failure["path"] == "/no/such/source"
        assert failure["text"] == "bind source /no/such/source: no such file or directory"

    def test_an_unknown_option_of_a_bind_is_refused(self, sandbox: Any) -> None:
        mount = runtimespec.bind(str(self.source(sandbox)), "/m", options=["frobnicate"])
        assert "unknown option 'frobnicate'" in sandbox("true", mounts=[mount]).failure["text"]

    def test_an_unknown_option_of_a_file_system_is_explained(self, sandbox: Any) -> None:
        failure = sandbox("true", mounts=[runtimespec.tmpfs("/t", options=["frobnicate=1"])]).failure
        assert "frobnicate" in failure["text"]

    def test_a_tmpfs_has_the_size_and_mode_given(self, sandbox: Any) -> None:
        mount = runtimespec.tmpfs("/t", size=1 << 20, options=["mode=700"])
        outcome = sandbox(
            "sh", "-c", "stat -c %a /t; dd if=/dev/zero of=/t/x bs=1M count=2 2>&1 | head -1", mounts=[mount]
        )
        assert outcome.lines[0] == "700"
        assert "No space left" in outcome.output

    def test_mounts_below_mounts_come_after_them_whatever_their_order(self, sandbox: Any) -> None:
        source = self.source(sandbox)
        mounts = [runtimespec.bind(str(source), "/t/sub"), runtimespec.tmpfs("/t")]
        assert sandbox("cat", "/t/sub/file", mounts=mounts).output == "content"

    def test_a_stack_of_layers_is_mounted_read_only(self, sandbox: Any) -> None:
        top = self.source(sandbox, "top")
        mount = runtimespec.layers({"lowerdirs": [str(top), str(sandbox.lower)]}, "/m")
        outcome = sandbox("sh", "-c", "cat /m/file; ls /m/bin/sh; touch /m/x", mounts=[mount])
        assert outcome.output.startswith("content/m/bin/sh")
        assert "Read-only file system" in outcome.output

    def test_a_part_of_a_stack_of_layers_is_mounted(self, sandbox: Any) -> None:
        top = self.source(sandbox, "top")
        (top / "bin").mkdir()
        (top / "bin/extra").write_text("extra")
        mount = runtimespec.layers({"lowerdirs": [str(top), str(sandbox.lower)]}, "/m", subpath="/bin")
        outcome = sandbox("sh", "-c", "cat /m/extra; ls /m/sh", mounts=[mount])
        assert outcome.output == "extra/m/sh\n"

    def test_one_file_of_one_layer_is_mounted(self, sandbox: Any) -> None:
        top = self.source(sandbox, "top")
        mount = runtimespec.layers({"lowerdirs": [str(top)]}, "/m/copy", subpath="/file")
        assert sandbox("cat", "/m/copy", mounts=[mount]).output == "content"

    def test_a_stack_with_an_upper_directory_keeps_writes_apart(self, sandbox: Any) -> None:
        top = self.source(sandbox, "top")
        rootfs = sandbox.rootfs()
        rootfs["lowerdirs"] = [str(top), str(sandbox.lower)]
        upper = sandbox.upper
        assert sandbox("sh", "-c", "echo x >/m/file", mounts=[runtimespec.layers(rootfs, "/m")]).status == 0
        assert (top / "file").read_text() == "content"
        assert (upper / "file").read_text() == "x\n"

    def test_a_subpath_that_is_missing_is_named(self, sandbox: Any) -> None:
        mount = runtimespec.layers({"lowerdirs": [str(sandbox.lower)]}, "/m", subpath="/no/such")
        assert "/no/such" in sandbox("true", mounts=[mount]).failure["text"]

    def test_a_link_of_the_image_does_not_lead_a_mount_out(self, sandbox: Any) -> None:
        outside = self.source(sandbox, "outside")
        (sandbox.lower / "trap").symlink_to(f"../../../../../..{outside}")
        outcome = sandbox("sh", "-c", "ls /trap/sub", mounts=[runtimespec.tmpfs("/trap/sub")])
        assert outcome.status == 0
        assert sorted(os.listdir(outside)) == ["file"]

    def test_a_magic_link_of_the_image_is_refused_as_a_mount_point(self, sandbox: Any) -> None:
        (sandbox.lower / "trap").symlink_to("/proc/self/root/etc")
        failure = sandbox("true", mounts=[runtimespec.tmpfs("/trap")]).failure
        assert failure["exit_code"] == 125

    def test_mounts_made_on_the_host_do_not_appear_and_none_get_out(self, root_sandbox: Any) -> None:
        before = Path("/proc/self/mountinfo").read_text()
        root_sandbox("true", mounts=[runtimespec.bind(str(self.source(root_sandbox)), "/m", options=["rshared"])])
        assert Path("/proc/self/mountinfo").read_text() == before

    @pytest.mark.userns
    def test_own_ids_may_be_one_alone(self, user_sandbox: Any) -> None:
        sandbox = user_sandbox
        sandbox.user = USER_WITHOUT_RANGE
        for path in (sandbox.base, sandbox.lower, sandbox.base / "empty"):
            os.chown(path, USER_WITHOUT_RANGE, USER_WITHOUT_RANGE)
        rootfs = sandbox.rootfs()
        for name in ("upperdir", "workdir"):
            os.chown(rootfs[name], USER_WITHOUT_RANGE, USER_WITHOUT_RANGE)
        outcome = sandbox("sh", "-c", "id -u; touch /x; chown 42 /x", request={"rootfs": rootfs})
        assert outcome.raw["id_map"] == "u0:61234:1 g0:61234:1"
        assert outcome.lines[0] == "0"
        assert "Invalid argument" in outcome.output

    @pytest.mark.userns
    def test_a_user_without_an_id_here_is_refused(self, user_sandbox: Any) -> None:
        failure = user_sandbox("true", user=runtimespec.User(uid=1 << 20, gid=0)).failure
        assert failure["step"] == "user"
        assert "usermod" in failure["text"]
