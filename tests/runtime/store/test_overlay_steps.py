"""Layers that a real overlay mount made: the same for root and for an ordinary user."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from tests.users import become

SCRIPT = Path(__file__).with_name("overlay_step.py")


def run(*words: str | Path) -> list[str]:
    done = subprocess.run([os.fspath(word) for word in words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.overlay
@pytest.mark.userns
def test_step_gives_one_layer_whoever_runs_it(open_directory: Path, ordinary_user: pwd.struct_passwd) -> None:
    directory, user = open_directory, ordinary_user
    for name in ("root", "user"):
        (directory / name).mkdir()
    os.chown(directory / "user", user.pw_uid, user.pw_gid)
    python = [sys.executable, "-B", os.fspath(SCRIPT)]
    by_root = run("unshare", "--mount", *python, directory / "root")
    by_user = run(
        *become(user.pw_uid), "unshare", "--map-auto", "--map-root-user", "--mount", *python, directory / "user"
    )
    assert by_root[2:] == by_user[2:] == ["True", "True"]
    assert by_root == by_user
