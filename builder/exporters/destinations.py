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
from runtime.outputfile import output_file

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
    try:
        with output_file(path) as file:
            yield file
    except OSError as error:
        if error.filename is not None and Path(error.filename).parent != Path(os.path.realpath(path)).parent:
            raise
        raise PybuildError(
            f"--output dest={path}: {error.strerror}", hint="name a file in a directory of yours"
        ) from error
