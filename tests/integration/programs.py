"""Run the real program as one user or another, and find what it leaves behind."""

from __future__ import annotations

import os
import pwd
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from tests.users import become

PROGRAM = Path(sys.executable).with_name("pybuild")
CGROUPS = Path("/sys/fs/cgroup")
NET, NET6 = f"10.{210 + os.getpid() % 40}", f"fd00:{0x1000 + os.getpid() % 0xE000:x}:7"
"""How subnets begin that are named by tests of this process: others on this machine name theirs at the same time."""


@dataclass(frozen=True, slots=True)
class Program:
    """The installed program with a root directory of its own; `user` is empty for the superuser.

    `hidden` are programs of the machine that a user does not find.
    """

    home: Path
    user: str = ""
    hidden: tuple[str, ...] = ()

    @property
    def root(self) -> Path:
        return self.home / "root"

    @property
    def key(self) -> str:
        return sha256(os.fsencode(os.path.realpath(self.root))).hexdigest()[:10]

    def command(self, *words: str | Path) -> list[str]:
        """Return the words that start the program as this user, with this root."""
        line = [str(PROGRAM), "--root", str(self.root), *map(str, words)]
        return [*self.identity(), *line]

    def identity(self) -> list[str]:
        """Return what stands before a command so that this user runs it, /dev/net/tun made usable for rootless."""
        if not self.user:
            return []
        node = shlex.quote(str(self.home / "tun"))
        make = f"mknod -m 666 {node} c 10 200 2>/dev/null; mount --bind {node} /dev/net/tun"
        before = f'case "$(stat -c %a /dev/net/tun)" in 666) ;; *) {make};; esac\n'
        for path in filter(None, map(shutil.which, self.hidden)):
            before += f"mount --bind /dev/null {shlex.quote(path)}\n"
        return [*become(pwd.getpwnam(self.user).pw_uid, before=before), "env", f"HOME={self.home}"]

    def __call__(
        self,
        *words: str | Path,
        input: bytes | None = None,  # noqa: A002  the word of subprocess.run
        status: int | None = 0,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 120,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run the program to its end; `status` is the exit status that it must have (None: any)."""
        result = subprocess.run(
            self.command(*words),
            input=input,
            stdin=None if input is not None else subprocess.DEVNULL,
            capture_output=True,
            cwd=cwd or self.home,
            env={**os.environ, **(env or {})},
            timeout=timeout,
            check=False,
        )
        if status is not None and result.returncode != status:
            pytest.fail(
                f"pybuild {' '.join(map(str, words))} ended with {result.returncode}, not {status}\n"
                f"{result.stdout.decode(errors='replace')}\n{result.stderr.decode(errors='replace')}"
            )
        return result

    def text(self, *words: str | Path, **options: object) -> str:
        """Run the program and return what it printed on standard output, stripped."""
        return self(*words, **options).stdout.decode().strip()  # type: ignore[arg-type]

    def monitor_of(self, name: str) -> int:
        """Return the pid of the monitor of a container that runs: the parent of its first process."""
        pid = self.text("inspect", "-f", "{{.State.Pid}}", name)
        return int(Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[1])

    def popen(self, *words: str | Path) -> subprocess.Popen[bytes]:
        """Start the program with pipes on all three streams."""
        pipe = subprocess.PIPE
        return subprocess.Popen(self.command(*words), stdin=pipe, stdout=pipe, stderr=pipe, cwd=self.home)

    def directory(self, name: str, files: Mapping[str, str | bytes]) -> Path:
        """Make a directory of files that this user owns: a build context."""
        base = self.home / name
        for path, content in files.items():
            target = base / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.encode() if isinstance(content, str) else content)
        base.mkdir(exist_ok=True)
        self.own(base)
        return base

    def own(self, path: Path) -> None:
        """Give a tree to this user."""
        if self.user:
            subprocess.run(["chown", "-R", f"{self.user}:", str(path)], check=True)


def swept(program: Program) -> Iterator[Program]:
    """Give the program, and at the end remove all containers, their volumes and unused networks: for fixtures."""
    yield program
    ids = program.text("ps", "-aq").split()
    if ids:
        program("rm", "-fv", *ids)
    program("network", "prune", "-f")


def kill(pid: int) -> None:
    """Kill a process and wait until it is dead: what it held is free then."""
    fd = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(fd, signal.SIGKILL)
        assert select.select([fd], [], [], 60)[0], pid
    finally:
        os.close(fd)


def leftovers(program: Program) -> dict[str, list[str]]:
    """Return what of this root can be seen on the machine: mounts, processes, cgroups, links, rules, files."""
    root = os.path.realpath(program.root)
    ours = (f"br-pb{program.key}", f"pb{program.key[:5]}", f"n{program.key}")
    found = {
        "mounts": [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if root in line],
        "processes": [text for pid in filter(str.isdigit, os.listdir("/proc")) if (text := _ours(pid, root))],
        "cgroups": [name for base, names, _ in os.walk(CGROUPS) for name in names if _is_cgroup(name, program)],
        "links": [name for name in os.listdir("/sys/class/net") if name.startswith(ours)],
        "rules": [],
        "files": sorted(str(path) for path in (program.root / "tmp").glob("*")),
        "trash": sorted(str(path) for path in (program.root / "trash").glob("*")),
    }
    if shutil.which("nft"):
        tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False).stdout
        found["rules"] = [line for line in tables.splitlines() if program.key in line]
    return {kind: things for kind, things in found.items() if things}


def _is_cgroup(name: str, program: Program) -> bool:
    return name.startswith("pybuild-") and program.key in name


def _ours(pid: str, root: str) -> str:
    """Return the command line of a process that belongs to `root`, by its words or its mounts; else nothing."""
    try:
        words = Path("/proc", pid, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        mounts = Path("/proc", pid, "mountinfo").read_text(errors="replace")
        state = Path("/proc", pid, "stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return ""
    ours = f"{root}/" in words or f"={root}/" in mounts or f"{root}/" in mounts
    return f"{pid} {words}" if ours and state != "Z" and int(pid) != os.getpid() else ""


def settle(program: Program, seconds: float = 60.0, *, but: Collection[str] = ()) -> dict[str, list[str]]:
    """Return the leftovers once none are left, or those that `seconds` did not end (links go a moment later).

    `but` names kinds that do not count.
    """
    end = time.monotonic() + seconds
    while (found := {k: v for k, v in leftovers(program).items() if k not in but}) and time.monotonic() < end:
        time.sleep(0.05)
    return found
