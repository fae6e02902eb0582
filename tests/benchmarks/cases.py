"""What is measured: whole commands as a user types them, on equal inputs for every tool."""

from __future__ import annotations

import os
import random
import shutil
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import running
from tests.benchmarks.moving import Costs, elsewhere, move, registry, write_parts
from tests.benchmarks.tools import Tool

IMAGE = "localhost/bench-base:1"
_STEPS = 10
_MANY = 200
_STAGES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where a case works: a directory for contexts, the runs it makes, the files of trees, the MiB of an image."""

    directory: Path
    runs: int
    files: tuple[int, ...]
    mebibytes: int

    def context(self, tool: Tool, name: str, dockerfile: str) -> Path:
        """Make (anew) a build context that holds a Dockerfile."""
        path = self.directory / f"{name}-{tool.name}"
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        (path / "Dockerfile").write_text(dockerfile)
        return path

    def repeat(self, measure: Callable[[], float]) -> list[float]:
        """Measure `runs` times."""
        return [measure() for _ in range(self.runs)]


Measured = Iterator[tuple[str, list[float]]]
Case = Callable[[Bench, Tool], Measured]
"""Yields names of figures and their seconds, one for each run."""


def cached_rebuild(bench: Bench, tool: Tool) -> Measured:
    """Build twenty instructions that are all in the cache."""
    lines = [f"FROM {IMAGE}", *(f"ENV V{n}={n}" for n in range(8)), *(f"LABEL l{n}={n}" for n in range(5))]
    lines += ["WORKDIR /work", "COPY file /work/", 'RUN ["/bin/true"]', "RUN echo hello > /work/out", "USER 1:1"]
    context = bench.context(tool, "cached", "\n".join([*lines, 'CMD ["true"]', ""]))
    (context / "file").write_text("content\n")
    tool.build(context, "bench-cached", network="none")
    yield "cached rebuild, 20 instructions", bench.repeat(lambda: tool.build(context, "bench-cached", network="none"))


def many_steps(bench: Bench, tool: Tool) -> Measured:
    """Build two hundred steps that are all in the cache: half of them make layers, which is as many as docker takes."""
    steps = (f"RUN echo {n} > /work/{n}\nENV A{n}={n}\nCOPY file /work/f{n}\nLABEL l{n}={n}" for n in range(_MANY // 4))
    context = bench.context(tool, "many-steps", "\n".join([f"FROM {IMAGE}", "WORKDIR /work", *steps, ""]))
    (context / "file").write_text("content\n")
    tool.build(context, "bench-many-steps", network="none")
    figures = bench.repeat(lambda: tool.build(context, "bench-many-steps", network="none"))
    yield f"cached rebuild, {_MANY} steps", figures


def stages_together(bench: Bench, tool: Tool) -> Measured:
    """Build four stages that need a second each and nothing of each other, and one that takes from all."""
    lines = [f"FROM {IMAGE} AS s{n}\nRUN sleep 1 && echo {n} > /{n}" for n in range(_STAGES)]
    lines += [f"FROM {IMAGE}", *(f"COPY --from=s{n} /{n} /{n}" for n in range(_STAGES)), ""]
    context = bench.context(tool, "stages", "\n".join(lines))
    options = ["--jobs", str(_STAGES)] if tool.name == "buildah" else []

    def build() -> float:
        return tool.build(context, "bench-stages", cache=False, network="none", options=options)

    build()
    yield f"{_STAGES} stages of a second each", bench.repeat(build)


def run_step(bench: Bench, tool: Tool) -> Measured:
    """Build one and eleven RUN steps from nothing: the difference is what ten steps cost above their command."""
    for network in ("none", "default"):
        few = bench.context(tool, "few", f"FROM {IMAGE}\nRUN /bin/true\n")
        many = bench.context(
            tool, "many", f"FROM {IMAGE}\nRUN /bin/true\n" + "".join(f"RUN /bin/true {n}\n" for n in range(_STEPS))
        )
        option = None if network == "default" else network
        tool.build(few, "bench-few", cache=False, network=option)

        def one(few: Path = few, many: Path = many, option: str | None = option) -> float:
            base = statistics.median(tool.build(few, "bench-few", cache=False, network=option) for _ in range(3))
            return (tool.build(many, "bench-many", cache=False, network=option) - base) / _STEPS

        yield f"a RUN step above its command, network {network}", bench.repeat(one)


def make_tree(path: Path, files: int) -> None:
    """Make `files` small files of random sizes (0.5 to 13 KB) in directories of a hundred."""
    chance = random.Random(7)
    for number in range(files):
        directory = path / f"d{number // 100:04}"
        if number % 100 == 0:
            directory.mkdir(parents=True)
        (directory / f"f{number}.txt").write_bytes(chance.randbytes(chance.randint(500, 13_000)))


def copy_files(bench: Bench, tool: Tool) -> Measured:
    """COPY a tree: never seen, unchanged, with one file changed."""
    for files in bench.files:
        context = bench.context(tool, f"copy{files}", f"FROM {IMAGE}\nCOPY tree /tree/\n")
        make_tree(context / "tree", files)
        os.sync()
        cold, unchanged, changed = [], [], []
        for run in range(bench.runs):
            # another destination is another step: nothing but the files' own digests can be known
            (context / "Dockerfile").write_text(f"FROM {IMAGE}\nCOPY tree /tree{run}/\n")
            (context / "tree" / f"new{run}").write_text(f"{os.urandom(8).hex()}\n")
            cold.append(tool.build(context, "bench-copy", cache=False))
            tool.build(context, "bench-copy")
            unchanged.append(tool.build(context, "bench-copy"))
            (context / "tree" / "d0000" / "f1.txt").write_text(os.urandom(8).hex())
            changed.append(tool.build(context, "bench-copy"))
        yield f"COPY of {files} files, not cached", cold
        yield f"COPY of {files} files, unchanged", unchanged
        yield f"COPY of {files} files, one changed", changed
        shutil.rmtree(context)


def run_container(bench: Bench, tool: Tool) -> Measured:
    """Run `true` in a new container and remove it."""
    for network in ("none", "default"):
        tool.run(IMAGE, "/bin/true", network=network)
        figures = bench.repeat(lambda network=network: tool.run(IMAGE, "/bin/true", network=network))  # type: ignore[misc]
        yield f"run --rm true, network {network}", figures


def execute(bench: Bench, tool: Tool) -> Measured:
    """Run `true` in a container that runs."""
    with running.container(tool, "bench-exec", IMAGE, "sleep", "600", options=("--network", "none")) as name:
        tool.time("exec", name, "true")
        yield "exec true", bench.repeat(lambda: tool.time("exec", name, "true"))


def fleet(bench: Bench, tool: Tool) -> Measured:
    """Start twenty containers at the same time."""
    yield (
        f"{running.FLEET} containers at once, run -d",
        bench.repeat(lambda: running.start_fleet(tool, IMAGE, running.FLEET)),
    )


def web(bench: Bench, tool: Tool) -> Measured:
    """Ask a web server for a small page through its published port, each time over a new connection."""
    with running.web_server(tool, IMAGE) as address:
        running.ask_often(address, 100)
        yield (
            f"{running.REQUESTS} HTTP requests, published port",
            bench.repeat(lambda: running.ask_often(address, running.REQUESTS)),
        )


def throughput(bench: Bench, tool: Tool) -> Measured:
    """Send bytes from one container to another one on a network of their own."""
    with (
        running.network(tool, "bench-network") as joined,
        running.source(tool, IMAGE, joined, bench.mebibytes) as address,
        running.container(tool, "bench-reader", IMAGE, "sleep", "600", options=("--network", joined)) as name,
    ):
        running.receive(tool, name, address)
        yield (
            f"{bench.mebibytes} MiB between two containers",
            bench.repeat(lambda: running.receive(tool, name, address)),
        )


def keeper(bench: Bench, tool: Tool) -> Measured:
    """Weigh the process that looks after a container for as long as it runs."""

    def weigh() -> float:
        with running.container(tool, "bench-kept", IMAGE, "sleep", "600", options=("--network", "none")) as name:
            return running.keeper_memory(tool, name)

    yield "who keeps a container, memory", bench.repeat(weigh)


def move_images(bench: Bench, tool: Tool) -> Measured:
    """Push an image of ten large layers, and one of sixty small ones, to a loopback registry; pull them again."""
    for layers, size in ((10, bench.mebibytes << 20), (60, 6 << 20)):
        lines = [f"FROM {IMAGE}", *(f"COPY part{number} /part{number}" for number in range(layers))]
        context = bench.context(tool, f"move{layers}", "\n".join([*lines, ""]))
        write_parts(context, layers, size)
        pushes, pulls = Costs(), Costs()
        for run in range(bench.runs):
            with registry(bench.directory / f"registry-{tool.name}-{layers}-{run}") as address:
                name = f"{address}/bench/image:1"
                tool.build(context, name)
                pushes.add(move(tool, "push", name))
                tool.forget(name)
                with elsewhere(tool, bench.directory / f"other-{tool.name}") as other:
                    pulls.add(move(other, "pull", name))
                    other.forget(name)
        yield from pushes.figures(f"push of {size >> 20} MiB in {layers} layers")
        yield from pulls.figures(f"pull of {size >> 20} MiB in {layers} layers")


CASES: dict[str, Case] = {
    "cached": cached_rebuild,
    "steps": many_steps,
    "stages": stages_together,
    "step": run_step,
    "copy": copy_files,
    "run": run_container,
    "exec": execute,
    "fleet": fleet,
    "web": web,
    "throughput": throughput,
    "keeper": keeper,
    "move": move_images,
}
TOGETHER = frozenset(("move",))
"""Cases whose runs take so long that the tools take turns: what else the machine does meets all of them."""
