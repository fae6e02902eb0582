"""The default filter: what it lets through, how it is kept, and that Docker's answers are the same."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from struct import iter_unpack
from typing import Any

import pytest

from frozen import replace
from runtime.context import Context, Layout
from runtime.oci import runtimespec
from runtime.sandbox import profile, seccomp

pyseccomp = pytest.importorskip("pyseccomp")
DOCKER = os.environ.get("DOCKER_HOST", "")
X86_64, I386 = 0xC000003E, 0x40000003
ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x50001, 0x50026
needs_x86 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")


def decide(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    """Interpret a filter (classic BPF, the part of it that libseccomp uses)."""
    words = {0: number & 0xFFFFFFFF, 4: architecture}
    for index, value in enumerate((*arguments, *(0,) * (6 - len(arguments)))):
        words[16 + 8 * index], words[20 + 8 * index] = value & 0xFFFFFFFF, value >> 32 & 0xFFFFFFFF
    code = list(iter_unpack("HBBI", program))
    accumulator = position = 0
    while True:
        opcode, if_true, if_false, value = code[position]
        position += 1
        match opcode:
            case 0x20:
                accumulator = words[value]
            case 0x05:
                position += value
            case 0x15:
                position += if_true if accumulator == value else if_false
            case 0x25:
                position += if_true if accumulator > value else if_false
            case 0x35:
                position += if_true if accumulator >= value else if_false
            case 0x54:
                accumulator &= value
            case 0x06:
                return int(value)
            case _:
                raise AssertionError(hex(opcode))


@pytest.fixture(scope="module")
def program() -> bytes:
    return seccomp.compile_program(os.uname().machine, frozenset(runtimespec.DEFAULT_CAPABILITIES))


@needs_x86
@pytest.mark.parametrize(
    ("number", "arguments", "answer"),
    [
        (0, (), ALLOW),  # read
        (41, (2,), ALLOW),  # socket(AF_INET)
        (41, (40,), EPERM),  # socket(AF_VSOCK)
        (56, (0x11,), ALLOW),  # clone as fork
        (56, (0x10000000,), EPERM),  # clone(CLONE_NEWUSER)
        (135, (0xFFFFFFFF,), ALLOW),  # personality: what is it
        (135, (0x40000,), EPERM),  # personality(ADDR_NO_RANDOMIZE)
        (161, (), ALLOW),  # chroot, with CAP_SYS_CHROOT
        (165, (), EPERM),  # mount
        (272, (), EPERM),  # unshare
        (317, (), ALLOW),  # seccomp
        (435, (), ENOSYS),  # clone3
        (464, (), ALLOW),  # getxattrat
        (467, (), ENOSYS),  # newer than the profile
        (1 << 20, (), ENOSYS),
        (0x40000000, (), ALLOW),  # read of x32
        (0x40000000 | 600, (), ENOSYS),
    ],
)
def test_calls_are_answered_as_the_profile_says(
    program: bytes, number: int, arguments: tuple[int, ...], answer: int
) -> None:
    assert decide(program, X86_64, number, *arguments) == answer


@needs_x86
def test_32_bit_calls_go_by_their_own_numbers(program: bytes) -> None:
    assert decide(program, I386, 3) == ALLOW  # read
    assert decide(program, I386, 21) == EPERM  # mount
    assert decide(program, I386, 500) == ENOSYS


@needs_x86
def test_capabilities_open_their_calls() -> None:
    with_admin = seccomp.compile_program("x86_64", frozenset({"CAP_SYS_ADMIN"}))
    for number in (165, 272, 435):  # mount, unshare, clone3
        assert decide(with_admin, X86_64, number) == ALLOW
    assert decide(with_admin, X86_64, 56, 0x10000000) == ALLOW  # clone(CLONE_NEWUSER)
    assert decide(with_admin, X86_64, 161) == EPERM  # chroot


def test_no_name_is_in_the_table_twice() -> None:
    words = " ".join(profile.ALWAYS.values()).split()
    assert len(words) == len(set(words))


def test_newest_is_the_newest() -> None:
    assert max(profile.NUMBERS.values()) == profile.NEWEST


def test_the_program_is_compiled_once_and_kept(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    path = seccomp.compiled(context, runtimespec.DEFAULT_CAPABILITIES)
    assert path.parent == context.layout.root / "seccomp"
    monkeypatch.setattr(seccomp, "compile_program", lambda *_: pytest.fail("compiled again"))
    assert seccomp.compiled(context, runtimespec.DEFAULT_CAPABILITIES) == path


def test_capabilities_that_change_no_rule_share_a_program(context: Context) -> None:
    first = seccomp.compiled(context, runtimespec.DEFAULT_CAPABILITIES)
    assert seccomp.compiled(context, (*runtimespec.DEFAULT_CAPABILITIES, "CAP_NET_ADMIN")) == first
    assert seccomp.compiled(context, (*runtimespec.DEFAULT_CAPABILITIES, "CAP_SYS_ADMIN")) != first


@pytest.mark.root
@pytest.mark.overlay
def test_the_filter_is_in_force_in_a_sandbox(sandbox: Any, context: Context) -> None:
    root = Path(sandbox.base) / "state"
    place = replace(context, layout=Layout(root=root, run=root, key="0" * 10))
    path = seccomp.compiled(place, runtimespec.DEFAULT_CAPABILITIES)
    for directory in (root, path.parent, path):
        directory.chmod(0o755)
    outcome = sandbox(
        "sh", "-c", "grep Seccomp /proc/self/status; mount -t tmpfs x /tmp", request={"seccomp": str(path)}
    )
    assert "Seccomp:\t2" in outcome.output
    assert "permission denied" in outcome.output
    private = sandbox("grep", "Seccomp:", "/proc/self/status", request={"seccomp": str(path)}, no_new_privileges=True)
    assert private.lines == ["Seccomp:\t2"]


@pytest.fixture
def docker_answers(missing: Callable[[str], None], tmp_path: Path) -> Iterator[tuple[Path, list[str]]]:
    if not DOCKER or not shutil.which("docker") or not shutil.which("gcc"):
        missing("docker (DOCKER_HOST) and gcc")
    probe = tmp_path / "probe"
    source = Path(__file__).with_name("probe.c")
    options = ["-O1", "-static", "-nostdlib", "-fno-stack-protector"]
    subprocess.run(["gcc", *options, "-o", str(probe), str(source)], check=True)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY probe /probe\n")
    environ = {**os.environ, "DOCKER_HOST": DOCKER}

    def docker(*words: str) -> str:
        return subprocess.run(["docker", *words], capture_output=True, text=True, check=True, env=environ).stdout

    name = "pybuild-test-probe"
    docker("build", "-q", "-t", name, str(tmp_path))
    try:
        yield probe, docker("run", "--rm", "--network", "none", name, "/probe").splitlines()
    finally:
        docker("rmi", name)


@needs_x86
@pytest.mark.root
@pytest.mark.overlay
@pytest.mark.peer
def test_every_system_call_is_answered_as_under_docker(
    root_sandbox: Any, context: Context, docker_answers: tuple[Path, list[str]]
) -> None:
    probe, theirs = docker_answers
    shutil.copy(probe, root_sandbox.lower / "probe")
    path = seccomp.compiled(context, runtimespec.DEFAULT_CAPABILITIES)
    request = {"seccomp": str(path), "cgroup": f"pybuild-{os.getpid():010x}-probe"}
    ours = root_sandbox("/probe", request=request, order={"null_input": True}).lines
    # a call that waits, or that writes all disks out, may be ended by the probe's timer or not
    calm = [pair for pair in zip(ours, theirs, strict=True) if not any(line.endswith(" 1014") for line in pair)]
    assert len(calm) > 3500
    assert [pair for pair in calm if pair[0] != pair[1]] == []
