"""Speak to pybuild and its peers with the same words."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

_LIMIT = 900
"""Seconds after which a command that does not end counts as failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One program: the words that start it, and what stands before a host path as it sees it."""

    name: str
    command: tuple[str, ...]
    prefix: str = ""
    environment: tuple[tuple[str, str], ...] = ()

    def path(self, path: Path) -> str:
        """Return a host path as this tool names it."""
        return self.prefix + str(path)

    def time(self, *words: str) -> float:
        """Run the tool with `words` and return the seconds it took; raises RuntimeError where it fails."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment.update(self.environment)
        start = time.perf_counter()
        result = subprocess.run(
            [*self.command, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            timeout=_LIMIT,
            check=False,
        )
        seconds = time.perf_counter() - start
        if result.returncode != 0:
            raise RuntimeError(f"{self.name} {' '.join(words)}: {result.stdout.decode(errors='replace')[-600:]}")
        return seconds

    def build(
        self, context: Path, tag: str, *, cache: bool = True, network: str | None = None, options: Sequence[str] = ()
    ) -> float:
        """Build `context` and return the seconds it took."""
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

    def move(self, verb: str, name: str) -> float:
        """Push or pull an image of a registry without TLS and return the seconds it took."""
        return self.time(verb, "-q", *(["--tls-verify=false"] if self.name == "podman" else []), name)

    def forget(self, name: str) -> None:
        """Remove an image and what the builder remembers of its layers, so that a pull has to fetch them."""
        self.time("rmi", "-f", name)
        if self.name == "docker":
            self.time("builder", "prune", "-af")

    def other_store(self) -> Tool:
        """Return the same tool as it would be on a machine that has nothing of what was built here."""
        if self.name != "pybuild":
            return self
        return replace(self, command=(*self.command[:-1], self.command[-1] + "-other"))

    def load_base(self, archive: Path, image: str) -> None:
        """Have a root filesystem as an image."""
        if self.name != "buildah":  # it shares podman's store
            self.time("import", self.path(archive), image)


def find_tools(root: Path, peers: Sequence[str], prefix: str) -> list[Tool]:
    """Return pybuild with a store at `root`, and the peers: those named as `NAME=COMMAND`, else those on the PATH."""
    program = Path(sys.executable).with_name("pybuild")
    tools = [Tool(name="pybuild", command=(str(program), "--root", str(root)))]
    for peer in peers:
        name, _, command = peer.partition("=")
        tools.append(Tool(name=name, command=tuple(shlex.split(command)), prefix=prefix))
    if not peers:
        for name in ("docker", "podman", "buildah"):
            found = shutil.which(name)
            answers = found and subprocess.run([found, "info"], capture_output=True, check=False).returncode == 0
            if found and answers:
                tools.append(Tool(name=name, command=(found,)))
    return tools
