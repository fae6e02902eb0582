"""Answer, once in a build for each source, what a URL or a git ref means now, and give the files themselves.

Whoever only wants to know whether a step is remembered asks with `fetch=False`: then nothing connects, and `NotFetched`
says that the step has to be done in a thread of its own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from builder.interfaces import NotFetched
from builder.remote.storage import lock_path
from builder.remote.words import GitSource, file_name, is_commit, without_password
from frozen import Frozen, replace
from runtime.errors import PybuildError
from runtime.oci.digests import Digest, canonical_json, sha256_of
from runtime.store.locks import Lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.context import DirectoryContext
    from builder.lock import RemotePins
    from builder.remote.files import Download, Downloads
    from builder.remote.gitprogram import GitProgram
    from builder.remote.repository import Commit, Repository
    from builder.remote.web import WebClient
    from builder.reporter import Reporter, Vertex
    from builder.secrets import Secret
    from runtime.context import Context
    from runtime.registry.answers import Response
    from runtime.registry.transport import Tries
    from runtime.store.facade import Store

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
_CHECKSUMS = {"sha256": 64, "sha384": 96, "sha512": 128}


class RemoteFile(Frozen):
    """A file that is in the store: `name` is what its URL calls it, `mtime_ns` what the server said."""

    name: str
    digest: Digest
    size: int
    mtime_ns: int
    path: Path


class RemoteTree(Frozen):
    """A tree of a repository: `content` digests its files, `source` and `commit` say where it is from."""

    source: GitSource
    commit: Commit
    keep_git_dir: bool
    content: Digest


class _Once:
    """The answer to one question, asked by one thread while the others wait."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.answer: object = None


class Remotes:
    """Everything that one build takes from elsewhere. Thread-safe; a context manager."""

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
        self._store = store
        self._context = context
        self._reporter = reporter
        self._secrets = secrets
        self._agent = agent
        self._pins = pins
        self._once: dict[tuple[object, ...], _Once] = {}
        self._lock = threading.Lock()
        self._web: WebClient | None = None
        self._files: Downloads | None = None
        self._git: GitProgram | None = None
        self._checked: set[Digest] = set()
        self._trees: dict[Digest, DirectoryContext] = {}
        self._in_use = Lock(lock_path(context))
        self._in_use.acquire(context.cancel, exclusive=False)

    def __enter__(self) -> Remotes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close connections and trees; nothing can be asked for afterwards."""
        if self._web is not None:
            self._web.close()
        for tree in self._trees.values():
            tree.close()
        self._in_use.close()

    # Files -------------------------------------------------------------------------------------------------------

    def file(self, url: str, checksum: str | None = None, *, fetch: bool = True) -> RemoteFile:
        """Return what a URL leads to now; one with a checksum is not asked again once the file is here.

        Raises NotFetched without `fetch` where it has to be downloaded, DigestMismatch, and PybuildError for a URL
        that leads nowhere.
        """
        name = file_name(url)
        pin = self._checksum(url, checksum)
        once = self._question("file", url, pin)
        with once.lock:
            if once.answer is None:
                once.answer = self._asked(url, pin, fetch=fetch)
            download: Download = once.answer  # type: ignore[assignment]  # a question of this kind
        if not pin and self._pins is not None:
            self._pins.found(without_password(url), download.digest)
        return RemoteFile(
            name=name,
            digest=download.digest,
            size=download.size,
            mtime_ns=download.mtime_ns,
            path=self._downloads().path(download.digest),
        )

    def verified(self, file: RemoteFile, url: str, checksum: str | None) -> RemoteFile:
        """Return the file, read once to see that it still is what its name says; else it is downloaded anew."""
        question = self._question("file", url, self._checksum(url, checksum))
        download = question.answer
        if file.digest not in self._checked and download is not None:
            if not self._downloads().is_whole(download):  # type: ignore[arg-type]  # a question of this kind
                question.answer = None
                return self.file(url, checksum)
            self._checked.add(file.digest)
        return file

    def _checksum(self, url: str, checksum: str | None) -> str:
        """Give what a file's digest has to be: what the instruction says, else what is pinned, "" for neither."""
        if checksum:
            return check_checksum(checksum)
        return self._pins.file(without_password(url)) if self._pins is not None else ""

    def _asked(self, url: str, pin: str, *, fetch: bool) -> Download:
        downloads = self._downloads()
        known = downloads.pinned(pin) if pin else downloads.known(url)
        if known is not None and (pin or self._context.offline):
            downloads.touch(known)
            return known
        if not fetch:
            raise NotFetched
        from builder.remote.web import NoNetwork  # lazy: 90 ms of requests

        headers = {} if known is None else known.validators
        tries = self._client().tries()
        try:
            response = self._client().get(url, headers, tries=tries, expect=(200, 304) if headers else (200,))
        except NoNetwork as error:
            if known is None:
                raise
            self._reporter.warn(f"{error.message}: the stored copy is used")
            downloads.touch(known)
            return known
        if response.status == 304 and known is not None:
            response.close()
            downloads.touch(known)
            return known
        return self._downloaded(url, pin, response, tries)

    def _downloaded(self, url: str, pin: str, response: Response, tries: Tries) -> Download:
        from runtime.errors import RegistryError
        from runtime.registry.answers import heals

        shown = without_password(url)
        with self._reporter.working(f"[internal] load remote file {shown}") as vertex:
            while True:
                try:
                    with response:
                        download = self._downloads().receive(url, response, pin, _Progress(vertex, response), shown)
                    break
                except RegistryError as error:
                    if not heals(error):
                        raise
                    tries.again(error)
                    response = self._client().get(url, {}, tries=tries)
            vertex.status(f"transferring: {_size(download.size)}", key="transfer", done=True)
        self._checked.add(download.digest)
        return download

    def _downloads(self) -> Downloads:
        from builder.remote.files import Downloads  # only where something is remote

        with self._lock:
            if self._files is None:
                self._files = Downloads(self._store)
            return self._files

    def _client(self) -> WebClient:
        from builder.remote.web import WebClient  # lazy: 90 ms of requests

        with self._lock:
            if self._web is None:
                self._web = WebClient(self._context, self._secrets)
            return self._web

    # Repositories ------------------------------------------------------------------------------------------------

    def tree(self, source: GitSource, *, keep_git_dir: bool = False, fetch: bool = True) -> RemoteTree:
        """Return what a ref of a repository means now; a commit id is not asked for once its tree is known.

        Raises NotFetched without `fetch` where something has to be fetched, NotFound for a ref, a commit or a directory
        that is not there, DigestMismatch for another commit than the checksum says.
        """
        # The history of a repository belongs to all of it: BuildKit leaves it out of a part, too.
        keep_git_dir = keep_git_dir and not source.directory
        once = self._question("tree", source, keep_git_dir)
        with once.lock:
            if once.answer is None:
                once.answer = self._resolved(source, keep_git_dir=keep_git_dir, fetch=fetch)
            tree: RemoteTree = once.answer  # type: ignore[assignment]  # a question of this kind
            return tree

    def commit_of(self, source: GitSource) -> str:
        """Ask which commit a ref is now, fetching nothing of it."""
        self._store.database.ensure("builder.git", _VERSION, _TABLES)
        return self._commit(source, fetch=True).id

    def open_tree(self, tree: RemoteTree) -> DirectoryContext:
        """Return the files of a tree, which stay until the build ends."""
        key = _tree_key(tree.source, tree.commit, tree.keep_git_dir)
        with self._question("files", key).lock:
            if key not in self._trees:
                self._trees[key] = self._checked_out(tree)
            return self._trees[key]

    def _resolved(self, source: GitSource, *, keep_git_dir: bool, fetch: bool) -> RemoteTree:
        self._store.database.ensure("builder.git", _VERSION, _TABLES)
        commit = self._commit(source, fetch=fetch)
        if self._pins is not None and not is_commit(source.ref):
            self._pins.found(source.pin_name, commit.id)
        key = _tree_key(source, commit, keep_git_dir)
        row = self._store.database.one("SELECT content FROM builder_git_trees WHERE key = ?", key)
        tree = RemoteTree(source=source, commit=commit, keep_git_dir=keep_git_dir, content=Digest(""))
        if row is not None:
            return replace(tree, content=Digest(str(row[0])))
        if not fetch:
            raise NotFetched
        content = self.open_tree(tree).digest("")
        with self._store.database.write() as connection:
            connection.execute("INSERT OR REPLACE INTO builder_git_trees VALUES (?, ?)", (key, content))
        return replace(tree, content=content)

    def _commit(self, source: GitSource, *, fetch: bool) -> Commit:
        """Find the commit of a ref: asked for, or for want of a network the one that it last meant."""
        from builder.remote.repository import Commit

        pinned = source.checksum if is_commit(source.checksum) else source.ref if is_commit(source.ref) else ""
        known = self._store.database.one(
            "SELECT name, commit_id FROM builder_git_refs WHERE remote = ? AND ref = ?", source.remote, source.ref
        )
        stored = None if known is None else Commit(name=str(known[0]), id=str(known[1]))
        if is_commit(source.ref):
            return self._repository(source.remote).resolve(source)
        locked = self._pins.commit(source.pin_name) if self._pins is not None and not pinned else ""
        if locked:
            return self._repository(source.remote).resolve(replace(source, ref=locked))
        if pinned and stored is not None and stored.id == pinned:
            return stored
        if self._context.offline:
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
            self._reporter.warn(f"{error.message}: the stored commit {stored.id[:12]} is used")
            return stored
        if commit != stored:
            with self._store.database.write() as connection:
                connection.execute(
                    "INSERT OR REPLACE INTO builder_git_refs VALUES (?, ?, ?, ?)",
                    (source.remote, source.ref, commit.name, commit.id),
                )
        return commit

    def _checked_out(self, tree: RemoteTree) -> DirectoryContext:
        """Write the files of a tree into the workspace of this process."""
        from builder.context import open_directory

        place = self._store.workspace() / f"git-{self._context.token(12)}"
        place.mkdir(mode=0o700)
        whole = place / "tree"
        whole.mkdir(mode=0o755)
        source = tree.source
        with self._reporter.working(f"[internal] load git source {source.shown}") as vertex:
            vertex.output(1, f"{tree.commit.id}\t{tree.commit.name or 'commit'}\n".encode())
            self._write(source.remote, tree.commit, source.directory, whole, submodules=source.submodules)
            if tree.keep_git_dir:
                repository = self._repository(source.remote)
                repository.write_git_directory(tree.commit, whole)
                _set_times(whole, repository.time_of(tree.commit.id))
        directory = whole / source.directory if source.directory else whole
        return open_directory(self._store, directory, f"{source.shown} at {tree.commit.id[:12]}")

    def _write(self, remote: str, commit: Commit, directory: str, destination: Path, *, submodules: bool) -> None:
        repository = self._repository(remote)
        if not repository.has(commit.id):
            self._refuse_offline(remote)
            repository.fetch(commit)
        repository.directory_exists(commit.id, directory)
        repository.write_tree(commit.id, directory, destination)
        seconds = repository.time_of(commit.id)
        if submodules:
            self._write_submodules(repository, remote, commit, directory, destination)
        _set_times(destination, seconds)

    def _write_submodules(
        self, repository: Repository, remote: str, commit: Commit, directory: str, destination: Path
    ) -> None:
        from builder.remote.repository import Commit as At
        from builder.remote.submodules import submodule_remote

        for path, url, identifier in repository.submodules(commit.id, directory):
            place = destination / path
            place.mkdir(parents=True, exist_ok=True)
            self._write(submodule_remote(remote, url, path), At(id=identifier), "", place, submodules=True)

    def _repository(self, remote: str) -> Repository:
        from builder.remote.gitprogram import GitProgram
        from builder.remote.repository import Repository

        with self._lock:
            if self._git is None:
                self._git = GitProgram(
                    context=self._context,
                    directory=self._store.layout.root / "git",
                    secrets=self._secrets,
                    agent=self._agent(),
                )
            return Repository(self._git, remote)

    def _refuse_offline(self, remote: str) -> None:
        if self._context.offline:
            raise PybuildError(
                f"{without_password(remote)}: what is needed is not stored, and nothing connects with --offline",
                hint="leave --offline and PYBUILD_OFFLINE away",
            )

    def _question(self, *key: object) -> _Once:
        with self._lock:
            return self._once.setdefault(key, _Once())


def check_checksum(text: str) -> str:
    """Return a checksum in lower case. Raises UsageError for one that is none."""
    from runtime.errors import UsageError

    algorithm, _, digits = text.lower().partition(":")
    if len(digits) != _CHECKSUMS.get(algorithm) or frozenset(digits) - frozenset("0123456789abcdef"):
        raise UsageError(f"invalid checksum {text!r}", hint="write sha256: and 64 hexadecimal digits")
    return f"{algorithm}:{digits}"


class _Progress:
    """Shows how much of a file has come, a few times a second."""

    def __init__(self, vertex: Vertex, response: Response) -> None:
        self._vertex = vertex
        self._total = response.headers.get("Content-Length", "")
        self._next = 0

    def __call__(self, size: int) -> None:
        if size >= self._next:
            self._next = size + (8 << 20)
            total = f" / {_size(int(self._total))}" if self._total.isdecimal() else ""
            self._vertex.status(f"transferring: {_size(size)}{total}", key="transfer")


def _size(size: int) -> str:
    for factor, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= factor:
            return f"{size / factor:.2f}{unit}"
    return f"{size}B"


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
