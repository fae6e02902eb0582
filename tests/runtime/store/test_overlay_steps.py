"""Layers that a real overlay mount made: the same for root and for an ordinary user."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

USER = "pbtest"
SCRIPT = Path(__file__).with_name("overlay_step.py")


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pybuild-steps-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


def run(*words: str | Path) -> list[str]:
    done = subprocess.run([os.fspath(word) for word in words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.overlay
@pytest.mark.userns
def test_step_gives_one_layer_whoever_runs_it(directory: Path, missing: Callable[[str], None]) -> None:
    try:
        user = pwd.getpwnam(USER)
    except KeyError:
        missing(f"the user {USER}")
        return
    for program in ("setpriv", "unshare", "newuidmap"):
        if shutil.which(program) is None:
            missing(program)
    for name in ("root", "user"):
        (directory / name).mkdir()
    os.chown(directory / "user", user.pw_uid, user.pw_gid)
    python = [sys.executable, "-B", os.fspath(SCRIPT)]
    identity = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    by_root = run("unshare", "--mount", *python, directory / "root")
    by_user = run(*identity, "unshare", "--map-auto", "--map-root-user", "--mount", *python, directory / "user")
    assert by_root[2:] == by_user[2:] == ["True", "True"]
    assert by_root == by_user
