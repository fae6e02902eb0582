"""Keep what was fetched of a git repository, find out what a ref means, and write a commit's tree to a directory.

::

    ROOT/git/HEX              a bare repository a remote, named by the SHA-256 of its URL; shallow
    ROOT/git/HEX/refs/pybuild/COMMIT   what was fetched and is complete

A repository is changed under the lock `ROOT/locks/git-NNN` only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from builder.remote.gitprogram import GitFailed, GitProgram, without_credentials
from builder.remote.web import NoNetwork
from builder.remote.words import GitSource, is_commit, without_password
from frozen import Frozen
from runtime.errors import DigestMismatch, NotFound
from runtime.store.locks import held

_LOCK_FILES = 64
_KEPT = "refs/pybuild"
_BRANCHES = "+refs/heads/*:refs/remotes/origin/*"
_WHOLE = 2147483647
"""The depth that means all of a history, as git has it."""
_UNREACHABLE = (
    "could not resolve host",
    "unable to connect",
    "connection refused",
    "connection timed out",
    "couldn't connect",
    "failed to connect",
    "network is unreachable",
    "no route to host",
    "could not resolve proxy",
    "unable to look up",
    "temporary failure in name resolution",
    "operation timed out",
)


class Commit(Frozen):
    """What a ref means: `name` is the full ref, "" where the commit itself was given."""

    id: str
    name: str = ""


class Repository:
    """One remote and its bare repository. Thread-safe and safe among processes."""

    def __init__(self, program: GitProgram, remote: str) -> None:
        self._program = program
        self._remote = remote
        self._address = without_credentials(remote)
        digest = sha256(os.fsencode(remote)).hexdigest()
        self._path = program.directory / digest[:32]
        locks = program.context.layout.locks
        self._lock = locks / f"git-{int(digest[:8], 16) % _LOCK_FILES:02x}"

    @property
    def _shown(self) -> str:
        return without_password(self._remote)

    def resolve(self, source: GitSource) -> Commit:
        """Ask the remote what a ref means now; a commit id is not asked for.

        Raises NotFound for a ref that is not there, DigestMismatch where the checksum says another commit, NoNetwork.
        """
        if is_commit(source.ref):
            self._check(source, source.ref, "")
            return Commit(id=source.ref)
        refs, default = self._list(source.ref)
        name = default if not source.ref else _chosen(source.ref, refs)
        if not name or name not in refs:
            raise self._missing(source)
        peeled = refs.get(name + "^{}", refs[name])
        self._check(source, peeled, refs[name])
        return Commit(id=peeled, name=name)

    def has(self, commit: str) -> bool:
        """Tell whether a commit was fetched; the repository counts as used then."""
        if not self._path.exists():
            return False
        os.utime(self._path)
        return self._succeeds("rev-parse", "-q", "--verify", f"{_KEPT}/{commit}^{{commit}}")

    def fetch(self, commit: Commit) -> None:
        """Fetch a commit with its tree, unless it is there. Raises NotFound where the remote does not have it."""
        with self._held():
            if self.has(commit.id):
                return
            if not (self._path / "HEAD").exists():
                self._program.run("init", "-q", "--bare", "--template=", os.fspath(self._path))
                (self._path / "description").write_text(f"{self._shown}\n")
            # Asked for by its id a commit comes even if its branch has moved meanwhile; not every server allows it.
            wishes: list[tuple[str, ...]] = [("--depth=1", commit.id)]
            if commit.name:
                wishes.append(("--depth=1", commit.name))
            wishes += [("--tags", f"--depth={_WHOLE}", _BRANCHES), ("--tags", _BRANCHES)]
            failure: GitFailed | None = None
            for *options, wish in wishes:
                try:
                    self._fetch(*options, self._address, wish)
                except GitFailed as error:
                    failure = self._judged(error)
                    continue
                if self._succeeds("cat-file", "-e", f"{commit.id}^{{commit}}"):
                    self._git("update-ref", f"{_KEPT}/{commit.id}", commit.id)
                    return
        text = f"{self._shown} has no commit {commit.id}"
        if failure is not None and "not our ref" not in failure.output:
            text += f" ({failure.message})"
        raise NotFound(text, hint="check the commit id; it may have been removed, or lie in a fork")

    def directory_exists(self, commit: str, directory: str) -> None:
        """Check that `directory` is one, in that commit. Raises NotFound with those that are there."""
        if not directory:
            return
        try:
            kind = self._git("cat-file", "-t", f"{commit}:{directory}").decode().strip()
        except GitFailed:
            kind = ""
        if kind != "tree":
            what = "is not a directory" if kind else "is not there"
            parent = directory.rpartition("/")[0]
            listed = self._output("ls-tree", "-d", "-z", "--name-only", f"{commit}:{parent}" if parent else commit)
            names = ", ".join(os.fsdecode(name) for name in listed.split(b"\0")[:8] if name)
            raise NotFound(
                f"{self._shown}: the directory {directory!r} {what} in {commit[:12]}",
                hint=f"there are {names}" if names else "check the part after the colon",
            )

    def submodules(self, commit: str, directory: str) -> Iterator[tuple[str, str, str]]:
        """Yield path, URL and commit of each submodule below `directory`; the URL as the repository has it."""
        text = self._output(
            "config", "--blob", f"{commit}:.gitmodules", "-z", "--get-regexp", r"^submodule\..*\.(path|url)$"
        )
        modules: dict[str, dict[str, str]] = {}
        for entry in text.split(b"\0"):
            key, _, value = os.fsdecode(entry).partition("\n")
            name, _, field = key.rpartition(".")
            modules.setdefault(name, {})[field] = value
        urls = {module["path"]: module.get("url", "") for module in modules.values() if "path" in module}
        for entry in self._output("ls-tree", "-r", "-z", commit).split(b"\0"):
            about, _, raw = entry.partition(b"\t")
            fields = about.split()
            path = os.fsdecode(raw)
            if len(fields) == 3 and fields[1] == b"commit" and (not directory or path.startswith(directory + "/")):
                yield path, urls.get(path, ""), fields[2].decode()

    def time_of(self, commit: str) -> int:
        """Return when a commit was made, in seconds."""
        return int(self._git("show", "-s", "--format=%ct", commit, "--").split()[0])

    def write_tree(self, commit: str, directory: str, destination: Path) -> None:
        """Write the files of a commit below `destination`, at their own paths; only those of `directory`, if given."""
        index = destination.with_name(destination.name + ".index")
        place = f":(top,literal){directory}" if directory else ":(top)"
        try:
            self._git(
                f"--work-tree={destination}",
                *("checkout", "-q", "-f", commit, "--", place),
                environment={"GIT_INDEX_FILE": os.fspath(index)},
            )
        except GitFailed as error:
            # A commit without any file has nothing that the place could match.
            if self._output("ls-tree", commit):
                raise error
        finally:
            index.unlink(missing_ok=True)

    def write_git_directory(self, commit: Commit, destination: Path) -> None:
        """Make `destination`/.git: a shallow repository at that commit, equal whenever it is made."""
        path = destination / ".git"
        run = self._program.run
        git = f"--git-dir={path}"
        run("init", "-q", "--template=", os.fspath(destination))
        run(git, "config", "remote.origin.url", self._address)
        run(git, "config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*")
        run(git, "fetch", "-q", "--depth=1", self._path.as_uri(), f"{_KEPT}/{commit.id}", local=True)
        if commit.name.startswith("refs/tags/"):
            run(git, "update-ref", commit.name, commit.id)
        elif commit.name.startswith("refs/heads/"):
            run(git, "update-ref", f"refs/remotes/origin/{commit.name.removeprefix('refs/heads/')}", commit.id)
        run(git, "update-ref", "--no-deref", "HEAD", commit.id)
        # An index without the stat data of files: that would be another one each time.
        run(git, "read-tree", commit.id)
        for name in ("FETCH_HEAD", "ORIG_HEAD"):
            (path / name).unlink(missing_ok=True)

    def _list(self, ref: str) -> tuple[dict[str, str], str]:
        """Ask for all refs that `ref` may mean; gives ref -> id, and the name of the default branch."""
        patterns = ["HEAD"] if not ref else [*_meanings(ref), *(f"{name}^{{}}" for name in _meanings(ref))]
        try:
            text = self._program.run("ls-remote", "--symref", self._address, *patterns, remote=self._remote)
        except GitFailed as error:
            raise self._judged(error) from error
        refs: dict[str, str] = {}
        default = "HEAD"
        for line in text.decode(errors="replace").splitlines():
            left, _, name = line.partition("\t")
            if left.startswith("ref: "):
                default = left.removeprefix("ref: ") if name == "HEAD" else default
            else:
                refs[name] = left
        if not ref and "HEAD" in refs:
            refs.setdefault(default, refs["HEAD"])
        return refs, default

    def _missing(self, source: GitSource) -> NotFound:
        from difflib import get_close_matches  # lazy: only for a message

        if not source.ref:
            return NotFound(f"{self._shown} is empty: it has no default branch", hint="name a branch: URL#BRANCH")
        try:
            listed = self._program.run("ls-remote", "--heads", "--tags", "--refs", self._address, remote=self._remote)
        except GitFailed as error:
            raise self._judged(error) from error
        names = [line.partition("\t")[2].split("/", 2)[-1] for line in listed.decode(errors="replace").splitlines()]
        near = get_close_matches(source.ref, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names[:8]) or 'no branches'}"
        return NotFound(f"repository {self._shown} does not contain ref {source.ref}", hint=hint)

    def _judged(self, error: GitFailed) -> GitFailed:
        """Tell what is no fault of the words: raises NoNetwork; else gives the error with what can be done."""
        output = error.output.lower()
        if any(words in output for words in _UNREACHABLE):
            raise NoNetwork(error.message, hint="check the URL, the network and the proxies") from error
        if "authentication failed" in output or "could not read username" in output or "terminal prompts" in output:
            hint = "private repositories need --secret id=GIT_AUTH_TOKEN,env=VARIABLE"
            return GitFailed(f"{error.message} (it is private, or not there)", error.output, hint=hint)
        if "permission denied" in output or "host key verification" in output:
            return GitFailed(
                error.message, error.output, hint="give an agent with --ssh default, and check the host's key"
            )
        return GitFailed(error.message, error.output, hint="check the URL of the repository")

    def _check(self, source: GitSource, commit: str, tag: str) -> None:
        if source.checksum and not commit.startswith(source.checksum) and not tag.startswith(source.checksum):
            raise DigestMismatch(
                f"{source.shown}: checksum mismatch",
                expected=source.checksum,
                actual=commit,
                hint="the ref means another commit than it did: check what changed, then the checksum",
            )

    def _fetch(self, *words: str) -> None:
        self._git("fetch", "-q", "--no-write-fetch-head", "--no-auto-gc", "--no-recurse-submodules", "-f", *words)

    def _git(self, *words: str, environment: dict[str, str] | None = None) -> bytes:
        return self._program.run(f"--git-dir={self._path}", *words, remote=self._remote, environment=environment)

    def _output(self, *words: str) -> bytes:
        """Return what git prints, nothing where it fails."""
        try:
            return self._git(*words)
        except GitFailed:
            return b""

    def _succeeds(self, *words: str) -> bool:
        try:
            self._git(*words)
        except GitFailed:
            return False
        return True

    @contextmanager
    def _held(self) -> Iterator[None]:
        with held(self._lock, self._program.context.cancel):
            yield


def _meanings(ref: str) -> tuple[str, ...]:
    """List the full refs that a short one may mean, the first that exists wins: as BuildKit has it."""
    if ref.startswith("refs/"):
        return (ref,)
    return (f"refs/{ref}", f"refs/tags/{ref}", f"refs/heads/{ref}")


def _chosen(ref: str, refs: dict[str, str]) -> str:
    return next((name for name in _meanings(ref) if name in refs), "")
