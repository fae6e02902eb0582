"""The tests of layers again, as an ordinary user: with subordinate ids, with one id, and without a namespace."""

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
HERE = Path(__file__).parent
AGAIN = [HERE, HERE.parent / "test_view.py", HERE.parent / "test_snapshots.py"]


@pytest.fixture
def user_directory() -> Iterator[Path]:
    """A directory that a user can reach: those of pytest are closed to others."""
    with tempfile.TemporaryDirectory(prefix="pybuild-layers-") as name:
        yield Path(name)


@pytest.mark.userns
@pytest.mark.parametrize(
    "entering",
    [
        pytest.param(["unshare", "--map-auto", "--map-root-user"], id="subordinate ids"),
        pytest.param(["unshare", "--map-root-user"], id="one id"),
        pytest.param([], id="no namespace"),
    ],
)
def test_layers_work_the_same_for_a_user(
    user_directory: Path, entering: list[str], missing: Callable[[str], None]
) -> None:
    try:
        user = pwd.getpwnam(USER)
    except KeyError:
        missing(f"the user {USER}")
        return
    for program in ("setpriv", "unshare", "newuidmap"):
        if shutil.which(program) is None:
            missing(program)
    home = user_directory
    os.chown(home, user.pw_uid, user.pw_gid)
    identity = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    environment = [f"HOME={home}", f"HYPOTHESIS_STORAGE_DIRECTORY={home}/examples", "PYTHONDONTWRITEBYTECODE=1"]
    options = [
        "-q",
        "-m",
        "not root and not overlay and not peer and not userns",
        "-p",
        "no:cacheprovider",
        f"--basetemp={home}/tests",
    ]
    done = subprocess.run(
        ["setpriv", *identity, "env", *environment, *entering, sys.executable, "-m", "pytest", *options, *AGAIN],
        capture_output=True,
        text=True,
        check=False,
        cwd=HERE.parents[3],
    )
    if "Permission denied" in done.stderr and done.returncode in {1, 126}:
        missing(f"a repository that {USER} may read")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
