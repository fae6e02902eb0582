"""See a directory as a build context: through its ignore file, without its owners, and without reading it twice.

A context knows no owners and no extended attributes: what is copied from it belongs to root unless `--chown` says
otherwise. A socket is an empty file there, as it is for BuildKit.
"""

from __future__ import annotations

import errno
import os
import stat as stat_module
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from builder.statcache import Known, StatCache, digest_stream, recognise
from builder.trees import GONE, clean, join, plan_copy, resolve
from grammar.ignore import IgnoreFile
from runtime.errors import NotFound, PybuildError, UsageError
from runtime.oci.digests import Digest
from runtime.store.layers.tree import Kind, Metadata

if TYPE_CHECKING:
    from runtime.context import Cancel
    from runtime.store.facade import Store

_KINDS: dict[int, Kind] = {
    stat_module.S_IFREG: "file",
    stat_module.S_IFDIR: "directory",
    stat_module.S_IFLNK: "symlink",
    stat_module.S_IFCHR: "character",
    stat_module.S_IFBLK: "block",
    stat_module.S_IFIFO: "fifo",
    stat_module.S_IFSOCK: "file",
}
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class DirectoryContext:
    """The files below one directory that its ignore file leaves; threads may share it. Made by `open_context`."""

    def __init__(
        self,
        directory: Path,
        fd: int,
        ignore: IgnoreFile | None,
        cache: StatCache,
        cancel: Cancel,
        *,
        title: str = "",
    ) -> None:
        self._title = title or f"the build context {directory}"
        self._fd = fd
        self._ignore = ignore
        self._cache = cache
        self._cancel = cancel
        self._held: dict[int, tuple[bytes, int]] = {}
        self._known: dict[int, tuple[bytes, Known]] = {}

    @property
    def ignore(self) -> IgnoreFile | None:
        """What leaves files out, if anything does."""
        return self._ignore

    @property
    def title(self) -> str:
        return self._title

    def digest(self, path: str) -> Digest:
        """Digest the content of the file or tree at `path`. Raises NotFound."""
        return plan_copy(self, resolve(self, clean(path))).digest

    def materialise(self, path: str, workspace: Path) -> tuple[Path, Digest]:
        """Copy the file or tree at `path` into a new entry of `workspace`; returns it and the digest of the copy."""
        from builder.layering import copy_out  # lazy: only for mounts of the context

        return copy_out(self, resolve(self, clean(path)), workspace)

    def stat(self, path: bytes) -> Metadata | None:
        if not path:
            return _metadata(os.fstat(self._fd), b"")
        parent, _, name = path.rpartition(b"/")
        try:
            metadata = self._read(self._open_directory(parent), name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not self._excluded(path):
            return metadata
        if metadata.kind != "directory":
            return None
        return metadata if self._holds_anything(path) else None

    def children(self, path: bytes) -> list[bytes]:
        names = sorted(os.fsencode(entry) for entry in os.listdir(self._open_directory(path)))
        if self._ignore is None:
            return names
        return [name for name in names if self.stat(join(path, name)) is not None]

    def walk(self, path: bytes) -> Iterator[tuple[bytes, Metadata, bytes]]:
        start = self.stat(path)
        if start is None:
            raise NotFound(f'"/{os.fsdecode(path)}": not found in {self.title}')
        yield b"", start, b""
        if start.kind != "directory":
            return
        waiting: list[tuple[bytes, Metadata, bytes]] = []
        """Directories that are excluded themselves and appear only if something below them does not."""
        stack = [(b"", self._scan(path))]
        while stack:
            relative, entries = stack[-1]
            for name, metadata, digest in entries:
                below = join(relative, name)
                if self._ignore is not None and self._excluded(join(path, below)):
                    if metadata.kind == "directory" and self._ignore.may_reinclude_below(
                        os.fsdecode(join(path, below))
                    ):
                        waiting.append((below, metadata, digest))
                        stack.append((below, self._scan_below(join(path, below))))
                        break
                    continue
                yield from waiting
                waiting.clear()
                yield below, metadata, digest
                if metadata.kind == "directory":
                    stack.append((below, self._scan_below(join(path, below))))
                    break
            else:
                stack.pop()
                if waiting and waiting[-1][0] == relative:
                    waiting.pop()

    def open(self, path: bytes) -> int:
        parent, _, name = path.rpartition(b"/")
        try:
            return os.open(name, _FILE, dir_fd=self._open_directory(parent))
        except PermissionError as error:
            raise self._unreadable(path, error) from error
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return os.open(os.devnull, _FILE)  # a socket, which is an empty file

    def file_digest(self, path: bytes, size: int | None = None) -> bytes:
        parent, _, name = path.rpartition(b"/")
        directory = self._open_directory(parent)
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        known = recognise(self._folder(parent), name, status)
        if known:
            return known
        if stat_module.S_ISSOCK(status.st_mode):
            return digest_nothing()
        if not stat_module.S_ISREG(status.st_mode):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fsdecode(path))
        try:
            fd = os.open(name, _FILE, dir_fd=directory)
        except PermissionError as error:
            raise self._unreadable(path, error) from error
        try:
            digest = digest_stream(fd, self._cancel, size)
            status = os.fstat(fd)
            if size is None or status.st_size == size:
                self._cache.learn(parent, name, status, digest)
        finally:
            os.close(fd)
        return digest

    def close(self) -> None:
        """Close every directory that is open; the context cannot be used afterwards."""
        for _, fd in self._held.values():
            os.close(fd)
        self._held.clear()
        os.close(self._fd)

    def _scan(self, path: bytes) -> Iterator[tuple[bytes, Metadata, bytes]]:
        """Give names, metadata and known digests of what is in one directory, names in byte order."""
        self._cancel.check()
        directory = self._open_directory(path)
        known = self._cache.folder(path)
        self._known[threading.get_ident()] = path, known
        found: list[tuple[bytes, Metadata, bytes]] = []
        try:
            with os.scandir(directory) as scan:
                for entry in scan:
                    name = os.fsencode(entry.name)
                    try:
                        status = entry.stat(follow_symlinks=False)
                        link = os.readlink(name, dir_fd=directory) if stat_module.S_ISLNK(status.st_mode) else b""
                    except FileNotFoundError:
                        continue  # deleted since it was listed: as if it had not been there
                    found.append((name, _metadata(status, link), recognise(known, name, status)))
        except PermissionError as error:
            raise self._unreadable(path, error) from error
        if len(known) > len(found):
            self._cache.forget(path, known.keys() - {name for name, _, _ in found})
        found.sort(key=itemgetter(0))
        return iter(found)

    def _scan_below(self, path: bytes) -> Iterator[tuple[bytes, Metadata, bytes]]:
        """Scan a directory that was seen; one that is gone since then is empty."""
        try:
            return self._scan(path)
        except OSError as error:
            if error.errno in GONE:
                return iter(())
            raise

    def _folder(self, path: bytes) -> Known:
        """Return what is known of the files in a folder; each thread keeps that of the last one."""
        held = self._known.get(threading.get_ident())
        if held is None or held[0] != path:
            held = self._known[threading.get_ident()] = path, self._cache.folder(path)
        return held[1]

    def _read(self, directory: int, name: bytes) -> Metadata:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        link = os.readlink(name, dir_fd=directory) if stat_module.S_ISLNK(status.st_mode) else b""
        return _metadata(status, link)

    def _excluded(self, path: bytes) -> bool:
        return self._ignore is not None and self._ignore.leaves_out(os.fsdecode(path))

    def _holds_anything(self, path: bytes) -> bool:
        """Tell whether a directory that is excluded itself has something below it that is not."""
        if self._ignore is None or not self._ignore.may_reinclude_below(os.fsdecode(path)):
            return False
        for name, metadata, _ in self._scan(path):
            below = join(path, name)
            if not self._excluded(below) or (metadata.kind == "directory" and self._holds_anything(below)):
                return True
        return False

    def _unreadable(self, path: bytes, error: PermissionError) -> PybuildError:
        return PybuildError(
            f"{os.fsdecode(path)} in {self.title} cannot be read: {error.strerror}",
            hint="make it readable, or name it in .dockerignore",
        )

    def _open_directory(self, path: bytes) -> int:
        """Return a descriptor of a directory, opened component by component and never through a link.

        Each thread keeps the last one open: a walk asks for the same directory again and again.
        """
        if not path:
            return self._fd
        held = self._held.get(threading.get_ident())
        if held is not None and held[0] == path:
            return held[1]
        fd = self._fd
        try:
            for part in path.split(b"/"):
                following = os.open(part, _DIRECTORY, dir_fd=fd)
                if fd != self._fd:
                    os.close(fd)
                fd = following
        except OSError as error:
            if fd != self._fd:
                os.close(fd)
            if isinstance(error, PermissionError):
                raise self._unreadable(path, error) from error
            raise
        if held is not None:
            os.close(held[1])
        self._held[threading.get_ident()] = (path, fd)
        return fd


def digest_nothing() -> bytes:
    """Return the SHA-256 of no bytes."""
    from hashlib import sha256  # part of every build

    return sha256().digest()


def _metadata(status: os.stat_result, link: bytes) -> Metadata:
    mode = status.st_mode
    kind = _KINDS[stat_module.S_IFMT(mode)]
    return Metadata(
        kind,
        stat_module.S_IMODE(mode),
        0,
        0,
        status.st_rdev if kind in ("character", "block") else 0,
        status.st_size if kind == "file" else 0,
        status.st_mtime_ns,
        1 if kind == "directory" else status.st_nlink,
        status.st_ino,
        status.st_dev,
        link,
    )


def open_context(store: Store, directory: Path, ignore: IgnoreFile | None) -> AbstractContextManager[DirectoryContext]:
    """Open `directory` as a build context, `ignore` applied; what was learned of its files is kept when it closes.

    Raises UsageError where it is no directory.
    """
    return _opened(store, directory, ignore)


@contextmanager
def _opened(store: Store, directory: Path, ignore: IgnoreFile | None) -> Iterator[DirectoryContext]:
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(
            f"unable to prepare context: {directory}: {error.strerror}", hint="name a directory that exists"
        ) from error
    real = Path(os.path.realpath(directory))
    cache = StatCache(store, real)
    opened = DirectoryContext(real, fd, ignore, cache, store.context.cancel)
    try:
        yield opened
        cache.save()
    finally:
        opened.close()


def open_directory(store: Store, directory: Path, title: str) -> DirectoryContext:
    """Open a directory of our own as a tree that messages call `title`; the caller closes it, nothing is remembered."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return DirectoryContext(directory, fd, None, StatCache(store, directory), store.context.cancel, title=title)


def read_ignore_file(directory: Path, dockerfile: Path | None) -> tuple[Path, IgnoreFile] | None:
    """Find the ignore file: `DOCKERFILE.dockerignore` beside the Dockerfile, else `.dockerignore` in the context.

    Returns it with its path, or None where there is none or it is empty; what is no regular file is none, as for
    BuildKit. Raises DockerfileError for a bad pattern.
    """
    candidates = [] if dockerfile is None else [dockerfile.with_name(dockerfile.name + ".dockerignore")]
    for path in (*candidates, directory / ".dockerignore"):
        try:
            if not stat_module.S_ISREG(os.stat(path).st_mode):
                continue
            text = path.read_bytes().decode("utf-8", "surrogateescape")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            if error.errno == errno.ELOOP:
                continue
            raise
        lines = text.removeprefix("\ufeff").split("\n")
        return (path, IgnoreFile(lines)) if any(line.strip() for line in lines) else None
    return None
