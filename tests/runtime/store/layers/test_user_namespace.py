"""The tests of layers again, as an ordinary user: with subordinate ids, with one id, and without a namespace."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from tests.users import REPOSITORY, become

HERE = Path(__file__).parent
AGAIN = [HERE, HERE.parent / "test_view.py", HERE.parent / "test_snapshots.py"]


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
    open_directory: Path, entering: list[str], ordinary_user: pwd.struct_passwd
) -> None:
    home, user = open_directory, ordinary_user
    os.chown(home, user.pw_uid, user.pw_gid)
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
        [*become(user.pw_uid), "env", *environment, *entering, sys.executable, "-m", "pytest", *options, *AGAIN],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
