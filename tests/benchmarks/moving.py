"""Move images to and from a registry, and say what that costs: time, processor, memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.benchmarks.tools import Cost, Tool


@dataclass(frozen=True, slots=True)
class Costs:
    """What several runs of one command cost."""

    runs: list[Cost] = field(default_factory=list)

    def add(self, cost: Cost) -> None:
        """Count one more run."""
        self.runs.append(cost)

    def figures(self, name: str) -> Iterator[tuple[str, list[float]]]:
        """Give the three figures."""
        yield name, [cost.seconds for cost in self.runs]
        yield f"{name}, processor", [cost.processor for cost in self.runs]
        yield f"{name}, memory", [float(cost.memory) for cost in self.runs]


def write_parts(context: Path, layers: int, size: int) -> None:
    """Write `part0`…, `size` bytes together, of which half can be compressed, as programs can."""
    for number in range(layers):
        half = size // layers // 2
        with (context / f"part{number}").open("wb") as file:
            for piece in (os.urandom, bytes):
                left = half
                while left:  # little by little: what this process has at most, its children are said to have had
                    left -= file.write(piece(min(left, 1 << 20)))


def move(tool: Tool, verb: str, name: str) -> Cost:
    """Push or pull an image of a registry without TLS; what was written before, on the disk, is nobody's any more."""
    os.sync()
    if tool.name != "skopeo":
        return tool.cost(verb, "-q", *(["--tls-verify=false"] if tool.name == "podman" else []), name)
    here, there = f"containers-storage:{tool.store}{name}", f"docker://{name}"
    if verb == "push":
        return tool.cost("copy", "-q", "--dest-tls-verify=false", here, there)
    return tool.cost("copy", "-q", "--src-tls-verify=false", there, here)


@contextmanager
def elsewhere(tool: Tool, directory: Path) -> Iterator[Tool]:
    """Give the same tool as it is on a machine that has nothing of what was built here."""
    if tool.name == "pybuild":
        yield replace(tool, command=(*tool.command[:-1], tool.command[-1] + "-other"))
        return
    if tool.name == "docker":  # one daemon, which `forget` has made to forget
        yield tool
        return
    root, run = tool.path(directory / "root"), tool.path(directory / "run")
    words = ("--root", root, "--runroot", run)
    keeper = tool.keeper or tool
    store = replace(keeper, command=(*keeper.command, *words))
    try:
        if tool.name == "skopeo":
            yield replace(tool, store=f"[overlay@{root}+{run}]", keeper=store)
        else:
            yield store
    finally:
        store.time("system", "reset", "-f")
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def registry(root: Path) -> Iterator[str]:
    """Serve an empty registry and give its address."""
    program = str(Path(sys.executable).with_name("pybuild"))
    words = [program, "registry", "serve", "--host", "127.0.0.1:0", "--root", str(root)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            yield server.stderr.readline().rpartition("//")[2].strip()
        finally:
            server.terminate()
            server.communicate(timeout=30)
            shutil.rmtree(root, ignore_errors=True)
