"""Find the Dockerfile of a build whose context is a directory; `builder.cli.inputs` knows all others."""

from __future__ import annotations

import os
import select
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from builder.cli.buildflags import STANDARD_INPUT
from builder.failures import SourceText
from runtime.errors import NotFound, PybuildError, UsageError

if TYPE_CHECKING:
    from runtime.context import Context

LARGEST = 16 << 20
"""Bytes of a Dockerfile."""
_REMOTE = ("http://", "https://", "git://", "git@", "ssh://", "github.com/", "oci-layout://", "docker-image://")
_ARCHIVES = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
_USTAR = slice(257, 262)


def read_dockerfile(wanted: str | None, directory: str, context: Context) -> SourceText:
    """Read the Dockerfile: `wanted` (`--file`), or the one in the context; "-" is standard input.

    Raises NotFound where there is none, UsageError for a context that cannot be used.
    """
    if directory.startswith(_REMOTE) and not os.path.exists(directory):
        raise UsageError(f"context {directory}: this needs a directory", hint="clone or download it first")
    if directory == STANDARD_INPUT:
        if wanted == STANDARD_INPUT:
            raise UsageError("invalid argument: can't use stdin for both build context and dockerfile")
        return _from_stream(wanted, context)
    if not os.path.isdir(directory):
        what = "is not a directory" if os.path.exists(directory) else "no such directory"
        raise UsageError(f"unable to prepare context: path {directory!r}: {what}", hint="name a directory that exists")
    if wanted == STANDARD_INPUT:
        return _from_stream(None, context)
    path = Path(wanted) if wanted is not None else _default(Path(directory))
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            data = _read_all(fd, context)
        finally:
            os.close(fd)
    except FileNotFoundError as error:
        raise NotFound(
            f"failed to read dockerfile: open {path}: no such file or directory", hint=_hint(wanted, directory)
        ) from error
    except OSError as error:
        raise PybuildError(f"failed to read dockerfile: {path}: {error.strerror}") from error
    shown = wanted if wanted is not None else path.name
    return SourceText(name=shown, text=decoded(data, shown), path=path)


def _from_stream(wanted: str | None, context: Context) -> SourceText:
    if wanted is not None:
        raise UsageError("this needs a directory, and not standard input", hint="unpack it and name the directory")
    data = _read_standard_input(context)
    if data.startswith(_ARCHIVES) or data[_USTAR] == b"ustar":
        raise UsageError("standard input holds an archive and no Dockerfile", hint="unpack it and name the directory")
    return SourceText(name="Dockerfile", text=decoded(data, "standard input"), path=None)


def _read_standard_input(context: Context) -> bytes:
    stream = sys.stdin.buffer
    try:
        fd = stream.fileno()
    except OSError:
        return stream.read(LARGEST + 1)
    return _read_all(fd, context)


def _read_all(fd: int, context: Context) -> bytes:
    """Read up to the end, or somewhat more than a Dockerfile may have; an interruption ends the wait for a pipe."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    poll.register(context.cancel.fd, select.POLLIN)
    pieces: list[bytes] = []
    while sum(map(len, pieces)) <= LARGEST:
        poll.poll()
        context.cancel.check()
        try:
            piece = os.read(fd, 1 << 16)
        except BlockingIOError:  # the standard input may be one that does not block, too
            continue
        if not piece:
            break
        pieces.append(piece)
    return b"".join(pieces)


def _default(directory: Path) -> Path:
    path = directory / "Dockerfile"
    lower = directory / "dockerfile"
    return lower if not path.exists() and lower.exists() else path


def decoded(data: bytes, name: str) -> str:
    """Return a Dockerfile's text; any bytes survive. Raises PybuildError where it is too large to be one."""
    if len(data) > LARGEST:
        raise PybuildError(f"{name} has more than {LARGEST >> 20} MiB: that is no Dockerfile")
    return data.decode("utf-8", "surrogateescape")


def _hint(wanted: str | None, directory: str) -> str:
    if wanted is not None:
        inside = os.path.join(directory, wanted)
        if os.path.exists(inside):
            return f"--file is relative to the working directory: write {inside}"
        return "name the file with --file"
    names = sorted(
        name for name in os.listdir(directory) if "dockerfile" in name.lower() or "containerfile" in name.lower()
    )
    return f"did you mean --file {os.path.join(directory, names[0])}?" if names else "name the file with --file"
