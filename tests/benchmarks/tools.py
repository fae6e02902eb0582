"""Speak to pybuild and its peers with the same words."""

from __future__ import annotations

import os
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

LIMIT = 900
"""Seconds after which a command that does not end counts as failed."""
RUNNING = frozenset(("run", "exec", "fleet", "web", "throughput", "keeper"))
"""Cases that need who runs containers, as buildah does not."""
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a command took: seconds, seconds of processors, bytes of memory at most; of its daemon as well."""

    seconds: float
    processor: float
    memory: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One program: the words that start it, and what stands before a host path as it sees it."""

    name: str
    command: tuple[str, ...]
    prefix: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    keeper: Tool | None = None
    """The one that builds and removes the images of a tool that can only copy them."""
    store: str = ""
    """How skopeo calls a store that is not the usual one."""

    def path(self, path: Path) -> str:
        """Return a host path as this tool names it."""
        return self.prefix + str(path)

    def time(self, *words: str) -> float:
        """Run the tool with `words` and return the seconds it took; raises RuntimeError where it fails."""
        start = time.perf_counter()
        self.output(*words)
        return time.perf_counter() - start

    def output(self, *words: str) -> str:
        """Run the tool with `words` and return what it printed; raises RuntimeError where it fails."""
        process = self.begin(*words)
        try:
            printed, told = process.communicate(timeout=LIMIT)
        except BaseException:
            process.kill()
            process.communicate()
            raise
        if process.returncode != 0:
            said = (printed + told).decode(errors="replace")[-600:]
            raise RuntimeError(f"{self.name} {' '.join(words)}: {said}")
        return printed.decode()

    def attempt(self, *words: str) -> None:
        """Run the tool with `words`, which may fail."""
        with suppress(RuntimeError):
            self.output(*words)

    def begin(self, *words: str) -> subprocess.Popen[bytes]:
        """Start the tool with `words`; who calls waits for it."""
        return subprocess.Popen(
            [*self.command, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._variables(),
        )

    def _variables(self) -> dict[str, str]:
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return {**variables, **dict(self.environment)}

    def cost(self, *words: str) -> Cost:
        """Run the tool with `words` and return what that cost; raises RuntimeError where it fails."""
        daemons = _daemons() if self.name == "docker" else []
        for daemon in daemons:
            (daemon / "clear_refs").write_text("5")  # what memory was at most is counted anew
        ran = [_processor_of(daemon) for daemon in daemons]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds, memory = self._measured(*words)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return Cost(
            seconds=seconds,
            processor=after.ru_utime
            + after.ru_stime
            - before.ru_utime
            - before.ru_stime
            + sum(_processor_of(daemon) - earlier for daemon, earlier in zip(daemons, ran, strict=True)),
            memory=memory + sum(map(_memory_of, daemons)),
        )

    def _measured(self, *words: str) -> tuple[float, int]:
        """Run a command; returns seconds, and bytes of memory at most of any of its processes."""
        with tempfile.TemporaryFile() as output:
            start = time.perf_counter()
            process = subprocess.Popen(
                [*self.command, *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._variables(),
            )
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode != 0:
                output.seek(0)
                said = output.read().decode(errors="replace")[-600:]
                raise RuntimeError(f"{self.name} {' '.join(words)}: {said}")
        return seconds, usage.ru_maxrss << 10

    def build(
        self, context: Path, tag: str, *, cache: bool = True, network: str | None = None, options: Sequence[str] = ()
    ) -> float:
        """Build `context` and return the seconds it took."""
        if self.keeper is not None:
            return self.keeper.build(context, tag, cache=cache, network=network, options=options)
        words = {"docker": ["buildx", "build"], "buildah": ["build", "--layers"]}.get(self.name, ["build"])
        options = [*options, *([] if cache else ["--no-cache"])]
        if network is not None:
            options += ["--network", network]
        return self.time(*words, "-q", *options, "-t", tag, self.path(context))

    def run(self, image: str, *command: str, network: str) -> float:
        """Run a container to its end and return the seconds it took."""
        if self.name == "docker" and network == "default":
            network = "bridge"
        options = [] if network == "default" else ["--network", network]
        return self.time("run", "--rm", *options, image, *command)

    def forget(self, name: str) -> None:
        """Remove an image and what the builder remembers of its layers, so that a pull has to fetch them."""
        if self.keeper is not None:
            self.keeper.forget(name)
            return
        self.time("rmi", "-f", name)
        if self.name == "docker":
            self.time("builder", "prune", "-af")

    def can(self, case: str) -> bool:
        """Tell whether this tool has anything to do with a case."""
        if self.name == "buildah":
            return case != "move" and case not in RUNNING
        return case == "move" or self.keeper is None

    def load_base(self, archive: Path, image: str) -> None:
        """Have a root filesystem as an image."""
        if self.name not in ("buildah", "skopeo"):  # they share podman's store
            self.time("import", self.path(archive), image)


def find_tools(root: Path, peers: Sequence[str], prefix: str) -> list[Tool]:
    """Return pybuild with a store at `root`, and the peers: those named as `NAME=COMMAND`, else those on the PATH."""
    program = Path(sys.executable).with_name("pybuild")
    tools = [Tool(name="pybuild", command=(str(program), "--root", str(root)))]
    for peer in peers:
        name, _, command = peer.partition("=")
        tools.append(Tool(name=name, command=tuple(shlex.split(command)), prefix=prefix))
    if not peers:
        for name in ("docker", "podman", "buildah", "skopeo"):
            found = shutil.which(name)
            asking = "--version" if name == "skopeo" else "info"
            answers = found and subprocess.run([found, asking], capture_output=True, check=False).returncode == 0
            if found and answers:
                tools.append(Tool(name=name, command=(found,)))
    keeper = next((tool for tool in tools if tool.name == "podman"), None)
    return [
        replace(tool, keeper=keeper) if tool.name == "skopeo" else tool
        for tool in tools
        if tool.name != "skopeo" or keeper is not None
    ]


def _daemons() -> list[Path]:
    """Find the processes that do docker's work."""
    names = ("dockerd", "containerd")
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            with suppress(OSError):
                if (path / "comm").read_text().strip() in names:
                    found.append(path)
    return found


def _processor_of(process: Path) -> float:
    """Give the seconds of processors that a process and its children that ended used so far."""
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return sum(int(fields[place]) for place in (11, 12, 13, 14)) / _TICKS


def _memory_of(process: Path) -> int:
    """Give the bytes of memory that a process had at most."""
    for line in (process / "status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    return 0
