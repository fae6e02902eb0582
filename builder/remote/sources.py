"""Open the way to everything that one build takes from elsewhere.

Whoever only wants to know whether a step is remembered asks with `fetch=False`: then nothing connects, and `NotFetched`
says that the step has to be done in a thread of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from builder.remote.asking import Asker
from builder.remote.gittrees import GitTrees, RemoteTree
from builder.remote.storage import lock_path
from builder.remote.webfiles import RemoteFile, WebFiles
from runtime.store.locks import Lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.context import DirectoryContext
    from builder.lock import RemotePins
    from builder.remote.words import GitSource
    from builder.reporter import Reporter
    from builder.secrets import Secret
    from runtime.context import Context
    from runtime.store.facade import Store

__all__ = ["RemoteFile", "RemoteTree", "Remotes"]


class Remotes:
    """The remote sources of one build, each asked about once. Thread-safe; a context manager."""

    def __init__(
        self,
        store: Store,
        context: Context,
        reporter: Reporter,
        *,
        secrets: Mapping[str, Secret],
        agent: Callable[[], Path | None] = lambda: None,
        pins: RemotePins | None = None,
    ) -> None:
        asker = Asker(store=store, context=context, reporter=reporter, secrets=secrets, pins=pins)
        self._files = WebFiles(asker)
        self._trees = GitTrees(asker, agent)
        self._in_use = Lock(lock_path(context))
        self._in_use.acquire(context.cancel, exclusive=False)

    def __enter__(self) -> Remotes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close connections and trees; nothing can be asked for afterwards."""
        self._files.close()
        self._trees.close()
        self._in_use.close()

    def file(self, url: str, checksum: str | None = None, *, fetch: bool = True) -> RemoteFile:
        """Return what a URL leads to now (`WebFiles.file`)."""
        return self._files.file(url, checksum, fetch=fetch)

    def verified(self, file: RemoteFile, url: str, checksum: str | None) -> RemoteFile:
        """Return the file, known to be whole (`WebFiles.verified`)."""
        return self._files.verified(file, url, checksum)

    def tree(self, source: GitSource, *, keep_git_dir: bool = False, fetch: bool = True) -> RemoteTree:
        """Return what a ref of a repository means now (`GitTrees.tree`)."""
        return self._trees.tree(source, keep_git_dir=keep_git_dir, fetch=fetch)

    def commit_of(self, source: GitSource) -> str:
        """Ask which commit a ref is now, fetching nothing of it."""
        return self._trees.commit_of(source)

    def time_of(self, source: GitSource) -> int:
        """Return when the commit of a ref was made, in seconds."""
        return self._trees.time_of(source)

    def open_tree(self, tree: RemoteTree) -> DirectoryContext:
        """Return the files of a tree, which stay until the build ends."""
        return self._trees.open_tree(tree)
