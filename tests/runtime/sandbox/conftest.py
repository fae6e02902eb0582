"""Sandboxes as root and as an ordinary user, over a root filesystem that holds busybox alone."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

import pytest

from runtime.oci import runtimespec
from tests.users import REPOSITORY, become

APPLETS = (
    "sh cat ls id echo grep sleep stat touch mkdir mknod hostname kill stty tty true readlink env ps wc head rm mv "
    "mount pwd ip find printf dd umount chown tr setsid"
).split()
ENV = ("PATH=/bin",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the driver printed."""

    raw: dict[str, Any]

    @property
    def output(self) -> str:
        assert "output" in self.raw, self.raw
        return str(self.raw["output"])

    @property
    def status(self) -> int:
        assert "status" in self.raw, self.raw
        return int(self.raw["status"])

    @property
    def failure(self) -> dict[str, Any]:
        assert "failure" in self.raw, self.raw
        return dict(self.raw["failure"])

    @property
    def lines(self) -> list[str]:
        return self.output.splitlines()


class Sandboxes:
    """Launches sandboxes through the driver, as the superuser or as an ordinary user."""

    def __init__(self, base: Path, *, user: int = 0) -> None:
        self.base = base
        self.user = user
        self.rootless = user != 0
        self.count = 0
        self.lower = base / "lower"
        self.lower.mkdir()
        (self.lower / "bin").mkdir()
        (self.lower / "etc").mkdir()
        (self.lower / "tmp").mkdir(mode=0o1777)
        (self.lower / "tmp").chmod(0o1777)
        busybox = shutil.which("busybox")
        assert busybox
        shutil.copy(busybox, self.lower / "bin/busybox")
        for name in APPLETS:
            (self.lower / "bin" / name).symlink_to("busybox")
        (base / "empty").mkdir()
        self.own(base)

    def own(self, path: Path) -> None:
        """Give a tree to the caller of the sandbox."""
        if self.rootless:
            subprocess.run(["chown", "-R", f"{self.user}:{self.user}", str(path)], check=True)

    def rootfs(self) -> dict[str, Any]:
        """Make a new writable layer over busybox; the upper directory is `upper(n)`, n counting from 1."""
        self.count += 1
        directory = self.base / str(self.count)
        for name in ("upper", "work"):
            (directory / name).mkdir(parents=True)
        self.own(directory)
        return {
            "lowerdirs": [str(self.base / "empty"), str(self.lower)],
            "upperdir": str(directory / "upper"),
            "workdir": str(directory / "work"),
            "volatile": True,
        }

    @property
    def upper(self) -> Path:
        return self.base / str(self.count) / "upper"

    def __call__(
        self, *args: str, order: dict[str, Any] | None = None, request: dict[str, Any] | None = None, **spec: Any
    ) -> Outcome:
        """Launch `args` in a sandbox whose runtime-spec document has the keyword arguments `spec`."""
        options = {"env": ENV, "rootless": self.rootless, **spec}
        document = runtimespec.container_spec(args=args, **options)
        full = {"spec": document, "rootfs": self.rootfs(), "seccomp": None, "cgroup": None, "init": False}
        return self.launch({**full, **(request or {})}, order or {})

    def command(self) -> list[str]:
        """Return the words that start the driver as the caller of the sandbox."""
        packages = sysconfig.get_paths()["purelib"]
        words = [sys.executable, "-I", "-S", str(Path(__file__).with_name("driver.py")), str(REPOSITORY), packages]
        if not self.rootless:
            return words
        return [*become(self.user), "env", "HOME=/nonexistent", "PATH=/usr/bin:/bin:/usr/sbin:/sbin", *words]

    def launch(self, request: dict[str, Any], order: dict[str, Any]) -> Outcome:
        """Run the driver with a whole request; nothing that it opened or started may be left."""
        result = subprocess.run(
            self.command(),
            input=json.dumps({"request": request, **order}),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd="/",
        )
        assert result.returncode == 0, result.stderr
        outcome = Outcome(raw=json.loads(result.stdout))
        assert outcome.raw["children"] == ""
        assert outcome.raw["leaked"] == []
        return outcome


@pytest.fixture
def needs_busybox(missing: Callable[[str], None]) -> None:
    if not shutil.which("busybox"):
        missing("busybox, statically linked")


@pytest.fixture
def root_sandbox(open_directory: Path, needs_busybox: None, nothing_left: None) -> Sandboxes:
    base = open_directory / "sandbox"
    base.mkdir()
    return Sandboxes(base)


@pytest.fixture
def user_sandbox(
    open_directory: Path, needs_busybox: None, ordinary_user: pwd.struct_passwd, nothing_left: None
) -> Sandboxes:
    base = open_directory / "sandbox"
    base.mkdir()
    return Sandboxes(base, user=ordinary_user.pw_uid)


@pytest.fixture(params=["root_sandbox", pytest.param("user_sandbox", marks=pytest.mark.userns)], ids=["root", "user"])
def sandbox(request: pytest.FixtureRequest) -> Sandboxes:
    """Return a launcher of sandboxes: the test runs once for each kind of caller."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Sandboxes)
    return found


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Fail the test that leaves a mount or a control group behind."""

    def state() -> tuple[str, list[str]]:
        # Not that of `Path`: it fails where a group of others has gone that it was about to read.
        groups = glob(f"/sys/fs/cgroup/*/pybuild-{os.getpid():010x}-*")
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        return "\n".join(line for line in lines if "sandbox" in line), groups

    before = state()
    yield
    assert state() == before
    assert os.path.exists("/proc/self")
