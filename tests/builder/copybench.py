"""A store, a build context and a tree for COPY and ADD to write into, without a Dockerfile."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from builder.context import DirectoryContext, open_context
from builder.interfaces import Given, Result
from builder.steps.copy import CopyStep
from frozen import replace
from grammar.ignore import IgnoreFile
from grammar.instructions import Copy
from runtime.context import Context
from runtime.oci.digests import ChainID, Digest
from runtime.store import Store

LONG_AGO = 1_000_000_000


def write(base: Path, files: Mapping[str, str | None]) -> Path:
    """Make files; a name with a slash at its end is a directory, a None is one too."""
    for name, content in files.items():
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir(exist_ok=True)
        else:
            path.write_text(content)
            os.utime(path, (LONG_AGO, LONG_AGO))
    return base


class Bench:
    """A store, a build context and a parent tree; `copy` runs one instruction and returns what is in its layer."""

    def __init__(self, context: Context, store: Store, base: Path, stack: ExitStack) -> None:
        self.context = context
        self.store = store
        self.directory = base
        self.stack = stack
        self.parent = Result(chain=None, content=Digest("sha256:" + "0" * 64))
        self.sources: dict[str, Result] = {}
        self.ignore: IgnoreFile | None = None

    def open(self) -> DirectoryContext:
        return self.stack.enter_context(open_context(self.store, self.directory, self.ignore))

    def given(self) -> Given:
        return Given(
            context=self.context,
            store=self.store,
            build_context=self.open(),
            parent=self.parent,
            view=self.store.snapshots.view(self.parent.chain),
            sources=self.sources,
            variables={},
            proxies={},
            user="",
            working_directory="/",
            shell=(),
            platform="linux/amd64",
            epoch=None,
            output=lambda _stream, _data: None,
        )

    def layer(self, change: Callable[[Path], None]) -> ChainID:
        """Put a layer onto the parent, made by a function."""
        with self.store.snapshots.prepare(self.parent.chain) as preparation:
            change(preparation.upperdir)
            snapshot = preparation.commit(preparation.measure())
        self.parent = replace(self.parent, chain=snapshot.chain_id)
        return snapshot.chain_id

    def key(self, *sources: str, to: str = "/", **options: object) -> object:
        return CopyStep(instruction(*sources, to=to, **options)).key_parts(self.given())

    def copy(self, *sources: str, to: str, **options: object) -> list[str]:
        step = CopyStep(instruction(*sources, to=to, **options))
        given = self.given()
        step.key_parts(given)
        with self.store.snapshots.prepare(self.parent.chain) as preparation:
            step.execute(given, preparation)
            return listing(preparation.upperdir)


def instruction(*sources: str, to: str, **options: object) -> Copy:
    words: dict[str, object] = {"keyword": "copy", **options}
    return Copy(sources=sources, destination=to, **words)  # type: ignore[arg-type]


def listing(root: Path) -> list[str]:
    """Say what a layer holds: `path mode uid:gid` and what kind of thing each is."""
    lines = []
    for directory, names, files in os.walk(root):
        for name in sorted([*names, *files]):
            path = Path(directory, name)
            status = path.lstat()
            kind = "/" if path.is_dir() and not path.is_symlink() else ""
            link = f" -> {path.readlink()}" if path.is_symlink() else ""
            mode = "" if link else f" {status.st_mode & 0o7777:o}"
            lines.append(f"{path.relative_to(root)}{kind}{mode} {status.st_uid}:{status.st_gid}{link}")
    return sorted(lines)


@contextmanager
def open_bench(context: Context, directory: Path) -> Iterator[Bench]:
    """Open a store, and a context below `directory` with files, hard and symbolic links and a closed directory."""
    base = write(directory / "context", {"a": "a\n", "b": "b\n", "d/f": "f\n", "d/sub/g": "g\n", "d/e": None})
    (base / "d/l").symlink_to("f")
    os.link(base / "d/f", base / "d/h")
    (base / "d").chmod(0o700)
    with ExitStack() as stack:
        yield Bench(context, stack.enter_context(Store.open(context)), base, stack)
