"""`pybuild save`: write images to one tar."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.context import Context
from runtime.errors import StoreError, UsageError
from runtime.outputfile import output_file
from runtime.store import Store
from runtime.store.compression import Compression

VERB = Verb(
    name="save",
    usage="[OPTIONS] IMAGE [IMAGE...]",
    summary="Save images to one tar: an OCI layout and a docker archive at once",
    needs_store=True,
    words=(1, None),
    flags=(
        Flag("--output", "-o", kind="text", metavar="FILE", help="Write to a file instead of the standard output"),
        Flag("--compression", kind="text", metavar="KIND", help="Compress layers that are not yet: gzip, zstd, none"),
        Flag("--platform", kind="text", metavar="PLATFORM", help="Accepted for Docker's sake", hidden=True),
    ),
)


def run(args: Arguments, context: Context) -> int:
    """Write the archive; a file has its name only when it is whole."""
    compression = args.text("compression") or "gzip"
    if compression not in {"gzip", "zstd", "none"}:
        raise UsageError(f"unknown compression {compression!a}", hint="gzip, zstd and none are known")
    output = args.text("output")
    if output is None and sys.stdout.isatty():
        raise UsageError(
            "cowardly refusing to save to a terminal", hint="use the -o flag or redirect the standard output"
        )
    from runtime.store.archive import select, write_archive  # lazy: not for the help

    with Store.open(context) as store:
        selected = select(store, args.words, compression=cast(Compression, compression))
        if output is None:
            context.stdout.flush()
            with _named("the standard output"):
                write_archive(store, selected, sys.stdout.buffer)
                sys.stdout.buffer.flush()
            return 0
        with _named(output), output_file(Path(output)) as sink:
            write_archive(store, selected, sink)
    return 0


@contextmanager
def _named(output: str) -> Iterator[None]:
    """Say where it is that cannot be written to; that nobody reads on is for the top to judge."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StoreError(f"{output} cannot be written: {error.strerror}") from error
