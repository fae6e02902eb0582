"""The program under test, once as root and once as an ordinary user, and images made on the spot."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.programs import Program, settle
from tests.users import find_user


@pytest.fixture
def no_leftovers() -> Iterator[Callable[[Program], None]]:
    """Check at the end of a test that every program it names left nothing."""
    programs: list[Program] = []
    yield programs.append
    for program in programs:
        assert not settle(program)


def _make(kind: str, base: Path, missing: Callable[[str], None]) -> Program:
    if os.geteuid() != 0:
        missing("the superuser")
    base.mkdir(mode=0o755)
    if kind == "root":
        return Program(home=base)
    program = Program(home=base, user=find_user(missing).pw_name)
    program.own(base)
    return program


@pytest.fixture(params=["root", "user"])
def pybuild(
    request: pytest.FixtureRequest,
    open_directory: Path,
    missing: Callable[[str], None],
    no_leftovers: Callable[[Program], None],
) -> Program:
    """Return the program, once as root and once as an ordinary user; nothing may be left when the test is over."""
    program = _make(request.param, open_directory / "home", missing)
    no_leftovers(program)
    return program


@pytest.fixture
def twins(
    open_directory: Path, busybox: Path, missing: Callable[[str], None], no_leftovers: Callable[[Program], None]
) -> tuple[Program, Program]:
    """Return the program as root and as an ordinary user, each with an image `box`."""
    programs = _make("root", open_directory / "root", missing), _make("user", open_directory / "user", missing)
    for program in programs:
        no_leftovers(program)
        program("import", "-", "box", input=busybox.read_bytes())
    return programs


@pytest.fixture(scope="session")
def busybox(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    """Return a root filesystem as a tar: the machine's static busybox with its applets."""
    binary = shutil.which("busybox")
    if binary is None:
        end = pytest.fail if pytestconfig.getoption("--strict-needs") else pytest.skip
        end("busybox (package busybox-static)")
    target = tmp_path_factory.mktemp("busybox") / "busybox.tar"
    applets = subprocess.run([binary, "--list"], capture_output=True, text=True, check=True).stdout.split()
    with tarfile.open(target, "w") as tar:
        for name in ("bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr", "usr/bin", "var"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(entry)
        entry = tarfile.TarInfo("bin/busybox")
        content = Path(binary).read_bytes()
        entry.size, entry.mode = len(content), 0o755
        with open(binary, "rb") as stream:
            tar.addfile(entry, stream)
        for applet in applets:
            if applet != "busybox":
                entry = tarfile.TarInfo(f"bin/{applet}")
                entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(entry)
        _etc(tar, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\nwww:x:33:33:www:/var/www:/bin/sh\n")
        _etc(tar, "etc/group", "root:x:0:\nwww:x:33:\nstaff:x:50:www\n")
    return target


def _etc(tar: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(text), 0o644
    tar.addfile(entry, io.BytesIO(text.encode()))


@pytest.fixture
def box(pybuild: Program, busybox: Path) -> Program:
    """Return the program with an image `box` in its store."""
    pybuild("import", "-", "box", input=busybox.read_bytes())
    return pybuild
