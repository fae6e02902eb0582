"""Answer, once in a build for each ref of a repository, which commit it is now, and give the commit's files.

A commit id is never asked for once its tree is known; another ref is asked for, and for want of a network the commit
that it last meant serves.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from builder.interfaces import NotFetched
from builder.remote.asking import Asker, Questions
from builder.remote.words import GitSource, is_commit, without_password
from frozen import Frozen, replace
from runtime.errors import PybuildError
from runtime.oci.digests import Digest, canonical_json, sha256_of

if TYPE_CHECKING:
    from builder.context import DirectoryContext
    from builder.remote.gitprogram import GitProgram
    from builder.remote.repository import Commit, Repository

_VERSION = 1
_TABLES = (
    """CREATE TABLE IF NOT EXISTS builder_git_refs(
        remote TEXT NOT NULL,
        ref TEXT NOT NULL,
        name TEXT NOT NULL,
        commit_id TEXT NOT NULL,
        PRIMARY KEY (remote, ref)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS builder_git_trees(
        key TEXT PRIMARY KEY,
        content TEXT NOT NULL) WITHOUT ROWID""",
)
_MOST_SUBMODULES = 1000
"""Of one tree, those of submodules included: a repository may name itself many times over."""


class RemoteTree(Frozen):
    """A tree of a repository: `content` digests its files, `source` and `commit` say where it is from."""

    source: GitSource
    commit: Commit
    keep_git_dir: bool
    content: Digest


class GitTrees:
    """The trees of one build's repositories. Thread-safe. `agent` starts the SSH agent that git may use, if any."""

    def __init__(self, asker: Asker, agent: Callable[[], Path | None]) -> None:
        self._asker = asker
        self._agent = agent
        self._questions = Questions()
        self._lock = threading.Lock()
        self._git: GitProgram | None = None
        self._trees: dict[Digest, DirectoryContext] = {}

    def close(self) -> None:
        """Close all trees."""
        for tree in self._trees.values():
            tree.close()

    def tree(self, source: GitSource, *, keep_git_dir: bool = False, fetch: bool = True) -> RemoteTree:
        """Return what a ref of a repository means now; a commit id is not asked for once its tree is known.

        Raises NotFetched without `fetch` where something has to be fetched, NotFound for a ref, a commit or a directory
        that is not there, DigestMismatch for another commit than the checksum says.
        """
        # The history of a repository belongs to all of it: BuildKit leaves it out of a part, too.
        keep_git_dir = keep_git_dir and not source.directory
        once = self._questions.about("tree", source, keep_git_dir)
        with once.lock:
            if once.answer is None:
                once.answer = self._resolved(source, keep_git_dir=keep_git_dir, fetch=fetch)
            tree: RemoteTree = once.answer  # type: ignore[assignment]  # a question of this kind
            return tree

    def commit_of(self, source: GitSource) -> str:
        """Ask which commit a ref is now, fetching nothing of it."""
        self._asker.store.database.ensure("builder.git", _VERSION, _TABLES)
        return self._commit(source, fetch=True).id

    def time_of(self, source: GitSource) -> int:
        """Return when the commit of a ref was made, in seconds."""
        self._asker.store.database.ensure("builder.git", _VERSION, _TABLES)
        commit = self._commit(source, fetch=True)
        repository = self._repository(source.remote)
        if not repository.has(commit.id):
            self._refuse_offline(source.remote)
            repository.fetch(commit)
        return repository.time_of(commit.id)

    def open_tree(self, tree: RemoteTree) -> DirectoryContext:
        """Return the files of a tree, which stay until the build ends."""
        key = _tree_key(tree.source, tree.commit, tree.keep_git_dir)
        with self._questions.about("files", key).lock:
            if key not in self._trees:
                self._trees[key] = self._checked_out(tree)
            return self._trees[key]

    def _resolved(self, source: GitSource, *, keep_git_dir: bool, fetch: bool) -> RemoteTree:
        self._asker.store.database.ensure("builder.git", _VERSION, _TABLES)
        commit = self._commit(source, fetch=fetch)
        if self._asker.pins is not None and not is_commit(source.ref):
            self._asker.pins.found(source.pin_name, commit.id)
        key = _tree_key(source, commit, keep_git_dir)
        row = self._asker.store.database.one("SELECT content FROM builder_git_trees WHERE key = ?", key)
        tree = RemoteTree(source=source, commit=commit, keep_git_dir=keep_git_dir, content=Digest(""))
        if row is not None:
            return replace(tree, content=Digest(str(row[0])))
        if not fetch:
            raise NotFetched
        content = self.open_tree(tree).digest("")
        with self._asker.store.database.write() as connection:
            connection.execute("INSERT OR REPLACE INTO builder_git_trees VALUES (?, ?)", (key, content))
        return replace(tree, content=content)

    def _commit(self, source: GitSource, *, fetch: bool) -> Commit:
        """Find the commit of a ref: asked for, or for want of a network the one that it last meant."""
        from builder.remote.repository import Commit

        pinned = source.checksum if is_commit(source.checksum) else source.ref if is_commit(source.ref) else ""
        known = self._asker.store.database.one(
            "SELECT name, commit_id FROM builder_git_refs WHERE remote = ? AND ref = ?", source.remote, source.ref
        )
        stored = None if known is None else Commit(name=str(known[0]), id=str(known[1]))
        if is_commit(source.ref):
            return self._repository(source.remote).resolve(source)
        locked = self._asker.pins.commit(source.pin_name) if self._asker.pins is not None and not pinned else ""
        if locked:
            return self._repository(source.remote).resolve(replace(source, ref=locked))
        if pinned and stored is not None and stored.id == pinned:
            return stored
        if self._asker.context.offline:
            if stored is not None and stored.id.startswith(source.checksum):
                return stored
            self._refuse_offline(source.remote)
        if not fetch:
            raise NotFetched
        from builder.remote.web import NoNetwork

        try:
            commit = self._repository(source.remote).resolve(source)
        except NoNetwork as error:
            if stored is None or not stored.id.startswith(source.checksum):
                raise
            self._asker.reporter.warn(f"{error.message}: the stored commit {stored.id[:12]} is used")
            return stored
        if commit != stored:
            with self._asker.store.database.write() as connection:
                connection.execute(
                    "INSERT OR REPLACE INTO builder_git_refs VALUES (?, ?, ?, ?)",
                    (source.remote, source.ref, commit.name, commit.id),
                )
        return commit

    def _checked_out(self, tree: RemoteTree) -> DirectoryContext:
        """Write the files of a tree into the workspace of this process."""
        from builder.context import open_directory

        place = self._asker.store.workspace() / f"git-{self._asker.context.token(12)}"
        place.mkdir(mode=0o700)
        whole = place / "tree"
        whole.mkdir(mode=0o755)
        source = tree.source
        with self._asker.reporter.working(f"[internal] load git source {source.shown}") as vertex:
            vertex.output(1, f"{tree.commit.id}\t{tree.commit.name or 'commit'}\n".encode())
            left = _MOST_SUBMODULES if source.submodules else 0
            self._write(source.remote, tree.commit, source.directory, whole, left)
            if tree.keep_git_dir:
                repository = self._repository(source.remote)
                repository.write_git_directory(tree.commit, whole)
                _set_times(whole, repository.time_of(tree.commit.id))
        directory = whole / source.directory if source.directory else whole
        return open_directory(self._asker.store, directory, f"{source.shown} at {tree.commit.id[:12]}")

    def _write(self, remote: str, commit: Commit, directory: str, destination: Path, submodules: int) -> int:
        """Write a commit's files and those of its submodules, unless 0 are wanted; returns how many are left."""
        repository = self._repository(remote)
        if not repository.has(commit.id):
            self._refuse_offline(remote)
            repository.fetch(commit)
        repository.directory_exists(commit.id, directory)
        repository.write_tree(commit.id, directory, destination)
        seconds = repository.time_of(commit.id)
        if submodules:
            submodules = self._write_submodules(repository, remote, commit, directory, destination, submodules)
        _set_times(destination, seconds)
        return submodules

    def _write_submodules(
        self, repository: Repository, remote: str, commit: Commit, directory: str, destination: Path, left: int
    ) -> int:
        from builder.remote.repository import Commit as At
        from builder.remote.submodules import submodule_remote

        for path, url, identifier in repository.submodules(commit.id, directory):
            left -= 1
            if left <= 0:
                raise PybuildError(
                    f"{without_password(remote)} has more than {_MOST_SUBMODULES} submodules",
                    hint="?submodules=false leaves them out",
                )
            place = destination / path
            place.mkdir(parents=True, exist_ok=True)
            left = self._write(submodule_remote(remote, url, path), At(id=identifier), "", place, left)
        return left

    def _repository(self, remote: str) -> Repository:
        from builder.remote.gitprogram import GitProgram
        from builder.remote.repository import Repository

        with self._lock:
            if self._git is None:
                self._git = GitProgram(
                    context=self._asker.context,
                    directory=self._asker.store.layout.root / "git",
                    secrets=self._asker.secrets,
                    agent=self._agent(),
                )
            return Repository(self._git, remote)

    def _refuse_offline(self, remote: str) -> None:
        if self._asker.context.offline:
            raise PybuildError(
                f"{without_password(remote)}: what is needed is not stored, and nothing connects with --offline",
                hint="leave --offline and PYBUILD_OFFLINE away",
            )


def _tree_key(source: GitSource, commit: Commit, keep_git_dir: bool) -> Digest:
    """Name a tree by all that decides what is in it; the remote counts for relative submodules and for `.git`."""
    name = commit.name if keep_git_dir else None
    return sha256_of(canonical_json([source.remote, commit.id, source.directory, source.submodules, name]))


def _set_times(directory: Path, seconds: int) -> None:
    """Give every file the time of the commit: git has none of its own, and equal trees are to be equal layers."""
    for path, names, files in os.walk(directory, topdown=False):
        for name in (*files, *names):
            os.utime(os.path.join(path, name), (seconds, seconds), follow_symlinks=False)
    os.utime(directory, (seconds, seconds))
