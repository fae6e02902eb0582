"""Open what a verb reads: a file, or the standard input where that is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO

from runtime.errors import StoreError, UsageError


@contextmanager
def opened_input(path: str | None) -> Iterator[BinaryIO]:
    """Open `path` for reading; None is the standard input, which stays open.

    Raises UsageError where the standard input is a terminal, StoreError where the file cannot be read.
    """
    if path is None:
        if sys.stdin.isatty():
            raise UsageError("the standard input is a terminal", hint="pipe an archive in, or name a file")
        yield sys.stdin.buffer
        return
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open(path, "rb"))
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}") from error
        yield file
