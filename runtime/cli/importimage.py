"""`pybuild import`: make an image of a tar of a root file system."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, cast

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.cli.inputs import opened_input
from runtime.context import Context
from runtime.errors import PybuildError, StoreError, UsageError
from runtime.oci.references import parse_reference
from runtime.store import Store

if TYPE_CHECKING:
    from email.message import Message

VERB = Verb(
    name="import",
    usage="[OPTIONS] FILE|URL|- [REPOSITORY[:TAG]]",
    summary="Make an image of a tar of a root file system",
    needs_store=True,
    words=(1, 2),
    flags=(
        Flag("--change", "-c", kind="texts", metavar="INSTRUCTION", help='Apply an instruction such as CMD ["sh"]'),
        Flag("--message", "-m", kind="text", metavar="TEXT", help="Set the comment of the history"),
        Flag("--platform", kind="text", metavar="PLATFORM", help="Set the platform (default: this machine's)"),
    ),
)

_TIMEOUT = 60.0
"""Seconds without a byte from a server."""


def run(args: Arguments, context: Context) -> int:
    """Import, and print the id."""
    from runtime.containers.announcing import announce_image
    from runtime.oci.platforms import parse_platform  # lazy: not for the help
    from runtime.store.importing import import_tar  # lazy: not for the help

    source = args.words[0]
    names = [parse_reference(text).tagged() for text in args.words[1:]]
    if any(name.digest is not None for name in names):
        raise UsageError(f"{args.words[1]!a}: an image cannot be given a digest")
    platform = args.text("platform")
    with Store.open(context) as store, _opened(context, source) as stream:
        image = import_tar(
            store,
            stream,
            args.texts("change"),
            names=names,
            message=args.text("message") or f"Imported from {source if _is_url(source) else '-'}",
            source=source,
            platform=parse_platform(platform) if platform else None,
        )
        announce_image(store, "import", image, names[0] if names else None)
    context.stdout.write(f"{image.id}\n")
    return 0


def _is_url(source: str) -> bool:
    return source.lower().startswith(("http://", "https://"))


@contextmanager
def _opened(context: Context, source: str) -> Iterator[BinaryIO]:
    if _is_url(source):
        with _fetched(context, source) as stream:
            yield stream
    else:
        with opened_input(None if source == "-" else source) as stream:
            yield stream


@contextmanager
def _fetched(context: Context, url: str) -> Iterator[BinaryIO]:
    if context.offline:
        raise StoreError(f"{url} is not fetched: this command is offline", hint="leave --offline out")
    from http.client import HTTPException  # lazy: not for the help
    from urllib.error import HTTPError  # lazy: as the next
    from urllib.request import build_opener  # lazy: 60 ms of HTTP and TLS

    try:
        response = build_opener().open(url, timeout=_TIMEOUT)
    except (OSError, ValueError, HTTPException) as error:
        if isinstance(error, HTTPError):
            error.close()
        reason = getattr(error, "reason", None)  # of an URLError, which shows as <urlopen error …>
        told = reason.strerror or reason if isinstance(reason, OSError) else error
        raise StoreError(f"{url} cannot be fetched: {told}") from error
    with response:
        yield cast(BinaryIO, _Body(response, url, response.headers))


class _Body:
    """The body of a response: an error of the network names the URL, and an end before its length is one."""

    def __init__(self, response: BinaryIO, url: str, headers: Message) -> None:
        self._response = response
        self._url = url
        length = headers.get("Content-Length", "")
        self._left = int(length) if length.isdecimal() else None

    def read(self, size: int = -1) -> bytes:
        from http.client import HTTPException  # lazy: not for the help

        try:
            data = self._response.read(size)
        except (OSError, HTTPException) as error:
            raise StoreError(f"{self._url} cannot be read to its end: {error}") from error
        if self._left is not None:
            self._left -= len(data)
            if not data and size and self._left > 0:
                raise PybuildError(f"{self._url} ended {self._left} bytes before its end")
        return data
