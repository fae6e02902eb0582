"""The thin layer over the kernel: both ways to reach it, and what it promises."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from errno import ENOENT
from pathlib import Path

import pytest

from runtime.sandbox import syscalls


@pytest.mark.parametrize("reach", [syscalls._direct, syscalls._portable])
def test_both_foreign_function_interfaces_work(reach: object) -> None:
    assert callable(reach)
    entry, number, get_errno, pinned = reach()
    assert entry(number(39 if syscalls.MACHINE == "x86_64" else 172)) == os.getpid()
    assert entry(number(syscalls.NR["openat2"]), number(-100), b"/no/such", b"\0" * 24, number(24)) == -1
    assert get_errno() == ENOENT
    address, kept = pinned(b"abc")
    assert address > 0
    assert kept is not None


def test_an_error_carries_errno_and_path() -> None:
    with pytest.raises(FileNotFoundError) as caught:
        syscalls.openat2(syscalls.AT_FDCWD, b"/no/such", os.O_RDONLY, resolve=0)
    assert caught.value.filename == b"/no/such"


def test_resolution_in_root_clamps_links_and_dots(tmp_path: os.PathLike[str]) -> None:
    os.symlink("/inside", os.path.join(tmp_path, "link"))
    os.mkdir(os.path.join(tmp_path, "inside"))
    root = os.open(tmp_path, os.O_PATH)
    for path in (b"/link", b"../../link", b"/../inside"):
        fd = syscalls.openat2(root, path, os.O_PATH)
        assert os.readlink(f"/proc/self/fd/{fd}") == os.path.join(tmp_path, "inside")
        os.close(fd)
    os.close(root)


def test_resolution_goes_on_while_others_rename(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    done = threading.Event()

    def rename() -> None:
        while not done.is_set():
            os.rename(tmp_path / "b", tmp_path / "c")
            os.rename(tmp_path / "c", tmp_path / "b")

    thread = threading.Thread(target=rename)
    thread.start()
    root = os.open(tmp_path, os.O_PATH)
    try:
        for _ in range(1000):
            os.close(syscalls.openat2(root, b"a/../a/../a/../a/../a", os.O_PATH))
    finally:
        done.set()
        thread.join()
        os.close(root)


def in_child(code: str) -> str:
    """Run code in a fresh interpreter without site-packages, as the monitor and the step server run."""
    path = os.path.dirname(os.path.dirname(os.path.dirname(syscalls.__file__)))
    script = f"import os, sys; sys.path.insert(0, {path!r}); from runtime.sandbox import syscalls\n{code}"
    return subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True).stdout


def test_all_descriptors_but_some_are_closed() -> None:
    code = "fds = [os.open('/', 0) for _ in range(9)]; kept = {fds[2], fds[5]}\n"
    code += "syscalls.close_all_but(kept); print({int(n) for n in os.listdir('/proc/self/fd')} - {0, 1, 2, 3} == kept)"
    assert in_child(code) == "True\n"


def test_signals_get_their_default_action() -> None:
    code = "syscalls.reset_signals(); print(open('/proc/self/status').read())"
    status = in_child(code)
    assert "SigIgn:\t0000000000000000" in status
    assert "SigCgt:\t0000000000000000" in status


def test_the_launcher_needs_few_modules() -> None:
    heavy = "typing dataclasses json re pathlib subprocess ctypes socket enum inspect logging".split()
    code = "import runtime.sandbox.launcher\nprint([n for n in %r if n in sys.modules])" % heavy  # noqa: UP031
    assert in_child(code) == "[]\n"
