"""`pybuild registry serve`: be a registry, for what is pushed, for local images, or as a cache of another one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from frozen import replace
from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.context import Cancel, Context
from runtime.errors import UsageError
from runtime.store import Store

if TYPE_CHECKING:
    from runtime.registry.server.serve import Settings

DEFAULT_PORT = 5000

VERB = Verb(
    name="registry serve",
    summary="Serve a registry (OCI distribution specification 1.1) until it is told to stop",
    needs_store=True,
    words=(0, 0),
    interrupt="event",
    flags=(
        Flag(
            "--host",
            kind="text",
            metavar="ADDRESS:PORT",
            help="Where to listen (default 127.0.0.1:5000; port 0 is any)",
        ),
        Flag("--htpasswd", kind="text", metavar="FILE", help="Let in only the users of FILE (bcrypt: htpasswd -B)"),
        Flag("--tls-cert", kind="text", metavar="FILE", help="Serve HTTPS with this certificate and its chain"),
        Flag("--tls-key", kind="text", metavar="FILE", help="The key of the certificate"),
        Flag("--read-only", help="Refuse everything that changes something"),
        Flag("--mirror", kind="text", metavar="URL", help="Be a pull-through cache of the registry at URL"),
        Flag(
            "--local",
            kind="optional",
            metavar="PATTERN",
            bare="*",
            help="Show local images too, read-only (all, or those whose names match PATTERN) to whoever can connect",
        ),
    ),
)


def run(args: Arguments, context: Context) -> int:
    """Serve until a signal comes; open requests are finished, and the status is 0."""
    try:
        from runtime.registry.server.serve import serve  # lazy: 150 ms of aiohttp

        if args.given("htpasswd"):
            import bcrypt  # noqa: F401  lazy: only to see that it is there
    except ModuleNotFoundError as error:
        raise UsageError(
            f"registry serve needs the Python package {error.name}", hint="install it: pip install 'pybuild[all]'"
        ) from error
    settings = read_settings(args)

    def ready(url: str) -> None:
        context.stderr.write(f"listening on {url}\n")
        for warning in dangers(settings):
            context.stderr.write(f"warning: {warning}\n")
        context.stderr.flush()

    # A signal stops the accepting of requests; those that are open have a cancel of their own, and nobody sets it.
    with Store.open(replace(context, cancel=Cancel())) as store, store.idle():
        serve(store, settings, stop=context.cancel, ready=ready)
    return 0


def dangers(settings: Settings) -> Iterator[str]:
    """Say what everybody can do who reaches a server that listens beyond this machine."""
    from ipaddress import ip_address  # lazy: 5 ms

    with suppress(ValueError):
        if settings.host == "localhost" or ip_address(settings.host).is_loopback:
            return
    if settings.htpasswd is None:
        what = "read" if settings.read_only or settings.mirror else "read and change"
        yield f"whoever reaches this address can {what} all of it: name users with --htpasswd FILE"
    elif settings.certificate is None:
        yield "passwords come over the network as they are: give it --tls-cert and --tls-key, or a proxy that has TLS"


def read_settings(args: Arguments) -> Settings:
    """Turn flags into settings; raises UsageError."""
    from runtime.registry.server.serve import Settings  # lazy: as above

    host, port = read_address(args.text("host") or "")
    certificate, key = args.text("tls-cert"), args.text("tls-key")
    if (certificate is None) != (key is None):
        raise UsageError("--tls-cert and --tls-key belong together")
    htpasswd = args.text("htpasswd")
    mirror = args.text("mirror")
    if mirror is not None and not mirror.startswith(("http://", "https://")):
        raise UsageError(f"--mirror {mirror} is no URL", hint="write http://HOST[:PORT] or https://HOST[:PORT]")
    return Settings(
        host=host,
        port=port,
        htpasswd=Path(os.path.abspath(htpasswd)) if htpasswd else None,
        certificate=(Path(certificate), Path(key)) if certificate and key else None,
        read_only=args.switch("read-only"),
        mirror=mirror,
        local=args.text("local"),
    )


def read_address(text: str) -> tuple[str, int]:
    """Read `ADDRESS:PORT`, `[ADDRESS]:PORT`, `ADDRESS` or `:PORT` (all addresses); raises UsageError."""
    if not text:
        return "127.0.0.1", DEFAULT_PORT
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        colon, port = rest[:1], rest[1:]
        wrong = not bracket or colon not in ("", ":")
    else:
        host, colon, port = text.partition(":")
        wrong = ":" in port
    if not port and not colon:
        port = str(DEFAULT_PORT)
    if wrong or not (port.isascii() and port.isdecimal() and int(port) < 1 << 16):
        raise UsageError(f"--host {text} is no address", hint="write ADDRESS:PORT, as 127.0.0.1:5000 or [::1]:5000")
    return host, int(port)
