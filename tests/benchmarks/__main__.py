"""Measure whole commands beside docker, podman, buildah and skopeo in one run: `make bench`.

    python -m tests.benchmarks [CASE ...] [--runs N] [--files N ...] [--peer NAME=COMMAND ...] [--prefix DIR] [--json]

As root, pybuild's store lies on a fresh ext4 with a journal, loop-mounted for the run: a file system on which much was
deleted creates files more slowly, whoever asks. Nothing here asserts a time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.benchmarks.cases import CASES, IMAGE, TOGETHER, Bench
from tests.benchmarks.tools import Tool, find_tools

_FILES = (2_000, 20_000, 100_000)


def main() -> int:
    """Run the cases that were named, or all; print a table of medians and ratios."""
    parser = argparse.ArgumentParser(prog="make bench BENCH='…'")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--files", type=int, action="append", help="of a tree that is copied; may be repeated")
    parser.add_argument("--mebibytes", type=int, default=1024, help="size of the image that is moved")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND")
    parser.add_argument("--prefix", default="", help="what stands before a host path as the peers see it")
    parser.add_argument("--json", action="store_true")
    words = parser.parse_args()
    unknown = set(words.cases) - set(CASES)
    if unknown:
        parser.error(f"unknown case {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    figures: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory(prefix="pybuild-bench-") as name, disk(Path(name)) as store:
        directory = Path(name)
        directory.chmod(0o755)
        bench = Bench(
            directory=directory / "contexts",
            runs=words.runs,
            files=tuple(words.files or _FILES),
            mebibytes=words.mebibytes,
        )
        archive = base_archive(directory)
        tools = find_tools(store / "root", words.peer, words.prefix)
        for tool in tools:
            tool.load_base(archive, IMAGE)
        for case in words.cases or CASES:
            rounds = bench.runs if case in TOGETHER else 1
            for _ in range(rounds):
                for tool in tools:
                    if tool.can(case):
                        measure(case, replace(bench, runs=bench.runs // rounds), tool, figures)
    if words.json:
        print(json.dumps({"version": 1, "figures": figures}))
    else:
        show(figures, [tool.name for tool in tools])
    return 0


def measure(case: str, bench: Bench, tool: Tool, figures: dict[str, dict[str, list[float]]]) -> None:
    """Run one case with one tool; a tool that fails is named and has no figure."""
    try:
        for name, seconds in CASES[case](bench, tool):
            figures.setdefault(name, {}).setdefault(tool.name, []).extend(seconds)
            print(f"{tool.name:8} {shown(name, statistics.median(seconds))}  {name}", file=sys.stderr)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        print(f"{tool.name:8} failed: {error}", file=sys.stderr)


def show(figures: dict[str, dict[str, list[float]]], names: list[str]) -> None:
    """Print medians, and how pybuild's compares to the best peer's."""
    print(f"{'':48}" + "".join(f"{name:>11}" for name in names) + "   of best peer")
    for figure, by_tool in figures.items():
        medians = {name: statistics.median(seconds) for name, seconds in by_tool.items()}
        cells = "".join(shown(figure, medians[name]) if name in medians else f"{'-':>11}" for name in names)
        peers = [value for name, value in medians.items() if name != "pybuild"]
        ratio = f"{medians['pybuild'] / min(peers):14.2f}" if peers and "pybuild" in medians else ""
        print(f"{figure:48}{cells}{ratio}")


def shown(figure: str, value: float) -> str:
    """Write a value in eleven columns: MiB for memory, else ms."""
    return f"{value / (1 << 20):8.1f}MiB" if figure.endswith("memory") else f"{value * 1000:9.1f}ms"


@contextmanager
def disk(base: Path) -> Iterator[Path]:
    """Give a directory on a fresh ext4 where that can be made, else one in `base`."""
    if os.geteuid() != 0:
        yield base
        return
    image, point = base / "disk.ext4", base / "disk"
    point.mkdir()
    with image.open("wb") as stream:
        stream.truncate(40 << 30)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(point)], check=True)
    try:
        yield point
    finally:
        subprocess.run(["umount", "--lazy", str(point)], check=True)


def base_archive(directory: Path) -> Path:
    """Make a root filesystem of the machine's static busybox."""
    target = directory / "base.tar"
    tree = directory / "base"
    (tree / "bin").mkdir(parents=True)
    (tree / "tmp").mkdir(mode=0o1777)
    subprocess.run(["cp", "/bin/busybox", str(tree / "bin/busybox")], check=True)
    subprocess.run([str(tree / "bin/busybox"), "--install", "-s", str(tree / "bin")], check=True)
    with tarfile.open(target, "w") as tar:
        for entry in sorted((tree / "bin").iterdir()):
            if entry.is_symlink():
                entry.unlink()
                entry.symlink_to("busybox")
        tar.add(tree, arcname=".")
    return target


if __name__ == "__main__":
    sys.exit(main())
