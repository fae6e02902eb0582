"""Processes of one root share a user namespace; those of another have one of their own."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from runtime.context import Context, Layout
from runtime.sandbox import family
from tests.users import REPOSITORY, become

pytestmark = [pytest.mark.root, pytest.mark.userns]

_ENTER = """
import os, sys
sys.path[:0] = [sys.argv[1], sys.argv[2]]
from pathlib import Path
from runtime.context import Context, Layout
from runtime.sandbox import family
run = Path(sys.argv[3])
context = Context(layout=Layout(root=run, run=run, key="0" * 10), environ=dict(os.environ), rootless=True)
print(family.enter(context), os.getuid(), os.readlink("/proc/self/ns/user"), flush=True)
print(len(family.members(context)), flush=True)
sys.stdin.read()
"""


@contextmanager
def member(user: pwd.struct_passwd, run: Path) -> Iterator[tuple[str, int]]:
    """Give what a process says that entered: its id map and namespace, and how many live in it; it waits."""
    python = [os.path.realpath(sys.executable), "-I", "-S", "-c", _ENTER]
    words = [*become(user.pw_uid), *python, str(REPOSITORY), sysconfig.get_paths()["purelib"], str(run)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), int(process.stdout.readline())


def test_those_that_live_together_are_in_one_namespace(ordinary_user: pwd.struct_passwd, open_directory: Path) -> None:
    open_directory.chmod(0o777)
    with (
        member(ordinary_user, open_directory / "run") as first,
        member(ordinary_user, open_directory / "run") as second,
    ):
        assert (first[0], second[0]) == (first[0], first[0])
        assert (first[1], second[1]) == (1, 2)
        with member(ordinary_user, open_directory / "other") as other:
            assert other[0] != first[0]
    with member(ordinary_user, open_directory / "run") as later:
        assert later[1] == 1


def test_a_list_that_names_others_is_no_harm(ordinary_user: pwd.struct_passwd, open_directory: Path) -> None:
    open_directory.chmod(0o777)
    run = open_directory / "run"
    run.mkdir()
    os.chown(run, ordinary_user.pw_uid, ordinary_user.pw_gid)
    (run / "userns").write_text(f"1-0-00000000\nnonsense\n{os.getpid()}-1-ffffffff\n")
    os.chown(run / "userns", ordinary_user.pw_uid, ordinary_user.pw_gid)
    with member(ordinary_user, run) as found:
        assert found[1] == 1


def test_many_that_are_gone_are_dropped_from_the_list(ordinary_user: pwd.struct_passwd, open_directory: Path) -> None:
    open_directory.chmod(0o777)
    run = open_directory / "run"
    run.mkdir()
    (run / "userns").write_text("".join(f"{number}-1-ffffffff\n" for number in range(100)))
    for path in (run, run / "userns"):
        os.chown(path, ordinary_user.pw_uid, ordinary_user.pw_gid)
    with member(ordinary_user, run) as first, member(ordinary_user, run) as second:
        assert (first[1], second[1]) == (1, 2)
        assert second[0] == first[0]
        assert len((run / "userns").read_text().split()) == 2


class _Killed(BaseException):
    """What no handler of the program catches."""


def test_who_is_killed_while_he_writes_leaves_the_list_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = Context(layout=Layout(root=tmp_path, run=tmp_path, key="0" * 10), environ={}, rootless=True)
    with family._Register(context, make=True) as register:
        register.add(os.getpid())
    before = (tmp_path / "userns").read_text()

    def kill(*_words: object) -> None:
        raise _Killed

    for step in ("pwrite", "ftruncate"):
        with monkeypatch.context() as patched:
            patched.setattr(os, step, kill)
            with suppress(_Killed), family._Register(context) as register:
                register.add(os.getppid())
        assert (tmp_path / "userns").read_text().startswith(before)
