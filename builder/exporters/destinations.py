"""Open the files and directories that outputs go to; what cannot be written is refused before anything is built."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from builder.exporters.outputs import STANDARD_OUTPUT
from runtime.errors import PybuildError, UsageError

if TYPE_CHECKING:
    from builder.exporters.outputs import Output


def check_destination(output: Output) -> None:
    """Refuse a place that could not be written at the end. Raises PybuildError."""
    if output.destination is None:
        return
    if output.destination == STANDARD_OUTPUT:
        if sys.stdout.buffer.isatty():
            raise UsageError(
                f"--output type={output.type} would write to the terminal", hint="give it dest=FILE, or redirect"
            )
        return
    path = Path(output.destination)
    if output.type == "local" or not output.tar:
        if path.exists() and not path.is_dir():
            raise PybuildError(f"--output dest={path} is no directory", hint="name a directory, there or to be made")
        return
    if path.is_dir():
        raise PybuildError(f"--output dest={path} is a directory", hint="name a file")
    if not path.parent.is_dir():
        raise PybuildError(f"--output dest={path}: its directory is not there", hint="make its directory first")


@contextmanager
def open_destination(output: Output) -> Iterator[BinaryIO]:
    """Open where an archive goes: a file that gets its name when it is whole, a pipe or device, or standard output."""
    check_destination(output)
    if output.destination == STANDARD_OUTPUT:
        stream = sys.stdout.buffer
        yield cast(BinaryIO, stream)
        stream.flush()
        return
    path = Path(output.destination or "")
    if path.is_symlink() or (path.exists() and not path.is_file()):  # as /dev/stdout, whose name has to stay
        try:
            with path.open("wb") as file:
                yield file
        except OSError as error:
            raise PybuildError(f"--output dest={path}: {error.strerror}") from error
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except OSError as error:
        if error.filename not in (None, os.fspath(temporary), os.fspath(path)):
            raise
        raise PybuildError(
            f"--output dest={path}: {error.strerror}", hint="name a file in a directory of yours"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
