"""Entering a user namespace: which ids are mapped, and what is said where it cannot be."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import sysconfig
from errno import EINVAL, ENOSPC, EPERM
from pathlib import Path

import pytest

from runtime.sandbox import userns
from runtime.sandbox.userns import IdMap
from tests.users import REPOSITORY, USER_WITHOUT_RANGE, become

ENTER = """
import os, sys
sys.path[:0] = [sys.argv[1], sys.argv[2]]
from pathlib import Path
from runtime.context import Context, Layout
from runtime.errors import SandboxError
from runtime.sandbox import userns
here = Path("/nonexistent")
context = Context(layout=Layout(root=here, run=here, key="0" * 10), environ=dict(os.environ), rootless=True)
try:
    first = userns.enter(context)
    second = userns.enter(context)
except SandboxError as error:
    print(error.message, "|", error.hint)
else:
    print(first, first == second, os.getuid(), os.getgid(), os.getgroups())
    print([line for line in open("/proc/self/mountinfo") if "shared:" in line])
"""


def enter(uid: int, path: str = "/usr/bin:/bin:/usr/sbin:/sbin") -> list[str]:
    """Enter as an ordinary user and return the lines of what was found."""
    python = [os.path.realpath(sys.executable), "-I", "-S", "-c", ENTER]
    words = [*become(uid), "env", "-i", f"PATH={path}", *python, str(REPOSITORY), sysconfig.get_paths()["purelib"]]
    return subprocess.run(words, capture_output=True, text=True, check=True, cwd="/").stdout.splitlines()


@pytest.mark.root
@pytest.mark.userns
def test_a_user_becomes_root_with_its_subordinate_ids(ordinary_user: pwd.struct_passwd) -> None:
    lines = enter(ordinary_user.pw_uid)
    assert lines[0].startswith(f"u0:{ordinary_user.pw_uid}:1,1:")
    assert lines[0].endswith("True 0 0 []")
    assert lines[1] == "[]"


@pytest.mark.root
@pytest.mark.userns
def test_a_user_without_a_range_has_one_id() -> None:
    assert enter(USER_WITHOUT_RANGE)[0].startswith("u0:61234:1 g0:61234:1 True 0 0")


@pytest.mark.root
@pytest.mark.userns
def test_a_missing_helper_is_named_with_its_package(ordinary_user: pwd.struct_passwd) -> None:
    (line,) = enter(ordinary_user.pw_uid, path="/nonexistent")
    assert line.startswith("newuidmap is not installed")
    assert "`uidmap`" in line


def test_ranges_are_found_by_number_and_by_name_in_order(tmp_path: Path) -> None:
    file = tmp_path / "subuid"
    file.write_text("root:1000:10\nother:5:5\n0:5000:20\nroot:bad:1\nroot:7:0\n\n# nothing\n")
    assert userns._ranges(str(file), 0) == [(1000, 10), (5000, 20)]


def test_a_missing_file_has_no_ranges(tmp_path: Path) -> None:
    assert userns._ranges(str(tmp_path / "none"), 0) == []


def test_several_ranges_follow_each_other_inside() -> None:
    assert userns._numbered([(100, 10), (500, 20)]) == ((1, 100, 10), (11, 500, 20))


def test_a_map_is_written_canonically() -> None:
    found = IdMap(uids=((0, 2000, 1), (1, 100000, 65536)), gids=((0, 2000, 1),))
    assert str(found) == "u0:2000:1,1:100000:65536 g0:2000:1"
    assert not found.single
    assert IdMap(uids=((0, 5, 1),), gids=((0, 5, 1),)).single


@pytest.mark.parametrize(
    ("setting", "value", "errno", "hint"),
    [
        ("kernel/unprivileged_userns_clone", "0", EPERM, "kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "0", ENOSPC, "user.max_user_namespaces"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", EPERM, "apparmor_restrict_unprivileged_userns=0"),
        ("", "", EINVAL, "several threads"),
        ("self/mountinfo", "21 20 0:5 / /proc rw - proc proc rw", EPERM, "chroot"),
        ("self/mountinfo", "20 1 8:1 / / rw - ext4 /dev/vda rw", EPERM, "seccomp=unconfined"),
        ("", "", EPERM, "seccomp=unconfined"),
    ],
)
def test_a_refusal_names_the_setting_that_is_in_the_way(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: str, errno: int, hint: str
) -> None:
    monkeypatch.setattr(userns, "_setting", lambda path: value if setting and path.endswith(setting) else "")
    error = userns._unshare_refused(OSError(errno, os.strerror(errno)))
    assert hint in str(error.hint)
    assert error.errno == errno
