"""`pybuild cp`: copy files between a container and the machine."""

from __future__ import annotations

import errno
import os
import posixpath
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader, BufferedWriter
from typing import TYPE_CHECKING

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.cli.human import human_size
from runtime.context import Context
from runtime.errors import NotFound, PybuildError, StoreError

if TYPE_CHECKING:
    from runtime.containers.copying import Stream
    from runtime.containers.records import Container, Containers

VERB = Verb(
    name="cp",
    summary="Copy files between a container and the machine",
    usage="[OPTIONS] CONTAINER:SOURCE DESTINATION|- | SOURCE|- CONTAINER:DESTINATION",
    words=(2, 2),
    needs_store=True,
    flags=(
        Flag("--archive", "-a", help="Keep the numbers of users and groups of what is copied out"),
        Flag("--follow-link", "-L", help="Follow a link that is the source"),
        Flag("--quiet", "-q", help="Say nothing of what was copied"),
    ),
)


_LINKS = 10
"""How many links are followed one after the other, as Docker does."""

_DEVICE = "must be a directory or a regular file: got a device"
"""It would be replaced, which is hardly what was meant."""


def run(args: Arguments, context: Context) -> int:
    """Copy one file or directory, or a tar on `-`."""
    from runtime.containers.records import Containers
    from runtime.store import Store

    source, target = _split(args.words[0]), _split(args.words[1])
    if source[0] and target[0]:
        raise PybuildError("copying between containers is not supported")
    if not source[0] and not target[0]:
        raise PybuildError("must specify at least one container source", hint="write CONTAINER:PATH for one of both")
    for what, (container_name, path) in (("source", source), ("destination", target)):
        if not path:
            raise PybuildError(f"{what} can not be empty", hint=f"as {container_name}:/tmp" if container_name else None)
    with Store.open(context) as store:
        containers = Containers(store)
        container = containers.find(source[0] or target[0])
        follow, keep = args.switch("follow-link"), args.switch("archive")
        if source[0]:
            told = _out(containers, container, source[1], target[1], follow=follow, keep=keep)
        else:
            told = _into(containers, container, source[1], target[1], follow=follow)
        with suppress(StoreError):  # what is copied is copied, also from a full disk
            containers.record_event(container, "archive-path" if source[0] else "extract-to-dir")
    if told and not args.switch("quiet") and sys.stderr.isatty():
        context.stderr.write(told + "\n")
    return 0


def _split(word: str) -> tuple[str, str]:
    """Split `CONTAINER:PATH`; a path of the machine may have a colon behind a slash or a point."""
    if word == "-" or word.startswith(("/", "./", "../")) or ":" not in word:
        return "", word
    name, _, path = word.partition(":")
    return ("", word) if "/" in name else (name, path)


def _contents_only(path: str) -> bool:
    return path.endswith("/.") or path == "."


def _out(containers: Containers, container: Container, source: str, target: str, *, follow: bool, keep: bool) -> str:
    from runtime.containers.copying import Reader, kinds_of, opened
    from runtime.containers.transfer import kind_of, unpack

    asked, source = source, _in_container(source)
    kind, followed, place = kinds_of(containers, container, source)
    if follow and kind == "link" and target == "-":
        source = place  # the archive has the name of what the link leads to
    link = follow or _contents_only(source) or source.endswith("/")
    kind = followed if link else kind
    if kind == "missing":
        raise NotFound(f"Could not find the file {asked} in container {container.name}")
    name = posixpath.basename(posixpath.normpath(source)) or "."
    # Only an archive that is handed on says by its names that it has contents alone.
    path = source if target == "-" else source.removesuffix("/.")
    with opened(containers, container, "pack", path, follow=link) as stream:
        if target == "-":
            while data := stream.read(1 << 16):
                sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            stream.finish()
            return ""
        target = _followed(_on_machine(target))
        if kind_of(target, follow=True) == "device":
            raise PybuildError(f'invalid output path: "{target}" {_DEVICE}')
        directory, renamed = _place(target, source, name, os.path.isdir(target), _is_there(target), kind)
        if not os.path.isdir(directory):
            raise NotFound(f'invalid output path: directory "{directory}" does not exist')
        owner = None if keep else (os.geteuid(), os.getegid())
        with BufferedReader(Reader(stream), 1 << 16) as reader:
            try:
                unpack(reader, directory, rename=(name, renamed), owner=owner)
            except ValueError as error:
                raise PybuildError(str(error)) from None
        stream.finish()
    return f"Successfully copied {source} to {target}"


def _in_container(path: str) -> str:
    return _without_points("/" + path.lstrip("/"), path)


def _on_machine(path: str) -> str:
    return _without_points(os.path.abspath(path), path)


def _without_points(path: str, written: str) -> str:
    """Take `..` out of a path by its words alone, as Docker does; a slash or a point at its end stays, it says much."""
    plain = posixpath.normpath(path).rstrip("/")
    return f"{plain}/." if _contents_only(written) else f"{plain}/" if written.endswith("/") else plain or "/"


def _followed(path: str) -> str:
    """Return where the links at the end of a path lead, which need not exist. Raises PybuildError for a ring."""
    followed = path
    for _ in range(_LINKS):
        try:
            followed = os.path.join(os.path.dirname(followed), os.readlink(followed))
        except OSError:  # no link, or nothing
            return followed
    raise PybuildError(f"too many symlinks in {path}")


def _is_there(path: str) -> bool:
    return os.path.lexists(path.rstrip("/") or "/")


def _place(target: str, source: str, name: str, is_directory: bool, exists: bool, kind: str) -> tuple[str, str]:
    """Return the directory to unpack into and the name there, by Docker's rules; an empty name: the contents."""
    if is_directory:
        return target, "" if _contents_only(source) and kind == "directory" else name
    if exists and kind == "directory":
        raise PybuildError("cannot copy directory", hint=f"{target} is a file")
    if target.endswith("/") and kind != "directory":
        raise NotFound("no such directory", hint=f"make {target} first, or leave the slash out")
    plain = target.rstrip("/")
    return posixpath.dirname(plain) or ".", posixpath.basename(plain)


def _into(containers: Containers, container: Container, source: str, target: str, *, follow: bool) -> str:
    from runtime.containers.copying import Writer, kinds_of
    from runtime.containers.transfer import pack

    target = _in_container(target)
    kind, followed, place = kinds_of(containers, container, target)
    if kind == "link":
        kind, target = followed, place
    if followed == "device":
        raise PybuildError(f'destination "{container.name}:{target}" {_DEVICE}')
    if source == "-":
        if followed != "directory":
            raise PybuildError(f'destination "{container.name}:{target}" must be a directory')
        with _unpacking(containers, container, target) as stream:
            while data := sys.stdin.buffer.read(1 << 16):
                stream.write(data)
            stream.finish()
        return ""
    source = _on_machine(source)
    if not os.path.lexists(source):
        raise NotFound(f"lstat {source}: no such file or directory")
    follow = follow or source.endswith("/") or _contents_only(source)
    ours = "directory" if os.path.isdir(source) and (follow or not os.path.islink(source)) else "file"
    name = os.path.basename(os.path.abspath(source))
    directory, renamed = _place(target, source, name, followed == "directory", kind != "missing", ours)
    if kinds_of(containers, container, directory)[1] != "directory":
        raise NotFound(f"Could not find the file {directory} in container {container.name}")
    with _unpacking(containers, container, directory) as stream:
        with BufferedWriter(Writer(stream), 1 << 16) as sink:  # type: ignore[type-var]
            pack(sink, source, renamed or ".", follow=follow)  # with the owners they have, as Docker does
        stream.finish()
    size = os.path.getsize(source) if ours == "file" and os.path.exists(source) else 0
    return f"Successfully copied {human_size(size)} to {container.name}:{target}"


@contextmanager
def _unpacking(containers: Containers, container: Container, directory: str) -> Iterator[Stream]:
    """Open a stream that unpacks into a directory of a container; says in Docker's words what must not be written."""
    from runtime.containers.copying import opened

    try:
        with opened(containers, container, "unpack", directory) as stream:
            yield stream
    except PybuildError as error:
        if os.strerror(errno.EROFS) not in error.message:
            raise
        path = directory.rstrip("/") + "/"
        mounted = any(path.startswith(f"{mount.get('Destination')}/") for mount in container.mounts)
        what = "mounted volume" if mounted else "container rootfs"
        raise PybuildError(f"{what} is marked read-only", hint=error.message) from error
