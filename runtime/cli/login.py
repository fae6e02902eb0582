"""`pybuild login`: try a user name and password at a registry, and keep them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.cli.output import printable
from runtime.context import Context
from runtime.errors import RegistryError, UsageError
from runtime.oci.references import DEFAULT_DOMAIN

if TYPE_CHECKING:
    from runtime.registry.credentials import Credentials, CredentialSource

VERB = Verb(
    name="login",
    usage="[OPTIONS] [SERVER]",
    summary="Log in to a registry",
    words=(0, 1),
    flags=(
        Flag("--username", "-u", kind="text", metavar="NAME", help="User name"),
        Flag("--password", "-p", kind="text", metavar="PASSWORD", help="Password; others may see it: prefer the next"),
        Flag("--password-stdin", help="Read the password from the standard input"),
    ),
)

_HUB_NAMES = frozenset((DEFAULT_DOMAIN, "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"))


def run(args: Arguments, context: Context) -> int:
    """Log in."""
    from runtime.registry.credentials import CredentialSource

    domain = server_name(args.words[0] if args.words else DEFAULT_DOMAIN)
    username, password = _given(args, context)
    source = CredentialSource(context)
    if username is None and password is None and _again(context, source, domain):
        return 0
    if username is None or password is None:
        username, password = _ask(context, domain, username, password)
    _log_in(context, source, domain, username, password)
    return 0


def server_name(text: str) -> str:
    """Give the registry that is meant: a host and port, a URL of it, or one of Docker Hub's names.

    Raises UsageError.
    """
    bare = (text.partition("://")[2] or text).partition("/")[0]
    if not bare or "@" in bare or any(c.isspace() for c in bare):
        raise UsageError(f"{text!a} is no registry", hint="write it as host[:port]")
    return DEFAULT_DOMAIN if bare in _HUB_NAMES else bare


def _given(args: Arguments, context: Context) -> tuple[str | None, str | None]:
    from runtime.cli.processlist import hide

    username, password = args.text("username"), args.text("password")
    from_input = args.given("password-stdin") and args.switch("password-stdin")
    if password is not None:
        hide(password)
        if from_input:
            raise UsageError("--password and --password-stdin are mutually exclusive")
        context.stderr.write("WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n")
    if from_input:
        if not username:
            raise UsageError("Must provide --username with --password-stdin")
        password = sys.stdin.read().rstrip("\r\n")
    if password == "":
        raise UsageError("the password is empty")
    return username, password


def _ask(context: Context, domain: str, username: str | None, password: str | None) -> tuple[str, str]:
    """Ask on the terminal for what was not given."""
    if not sys.stdin.isatty():
        raise UsageError(
            "Cannot perform an interactive login from a non TTY device",
            hint="use --username with --password-stdin",
        )
    if username is None:
        context.stderr.write(f"Log in to {printable(domain)}\nUsername: ")
        context.stderr.flush()
        username = sys.stdin.readline().strip()
    if not username:
        raise UsageError("a user name is needed")
    if password is None:
        from getpass import getpass  # lazy: termios, for those who are asked

        password = getpass("Password: ", stream=context.stderr)
    if not password:
        raise UsageError("a password is needed")
    return username, password


def _again(context: Context, source: CredentialSource, domain: str) -> bool:
    """Try what is known already; False where that is nothing, or is refused and somebody can be asked."""
    from runtime.registry.discovery import sign_in
    from runtime.registry.transport import Transport

    account = source.lookup(domain)
    if account is None:
        return False
    shown = f" [Username: {printable(account.username)}]" if account.username else ""
    context.stderr.write(f"Authenticating with existing credentials...{shown}\n")
    try:
        with Transport(context, credentials=source) as transport:
            sign_in(transport, domain)
    except RegistryError as error:
        if error.status != 401 or not sys.stdin.isatty():
            raise
        context.stderr.write("Login did not succeed, error: " + printable(error.message) + "\n")
        return False
    context.stdout.write("Login Succeeded\n")
    return True


def _log_in(context: Context, source: CredentialSource, domain: str, username: str, password: str) -> None:
    from runtime.registry.credentials import Credentials, CredentialSource
    from runtime.registry.discovery import sign_in
    from runtime.registry.transport import Transport

    given = Credentials(username=username, secret=password)
    with Transport(context, credentials=CredentialSource(context, given)) as transport:
        kept: Credentials = sign_in(transport, domain) or given
    file = source.store(domain, kept)
    if file is not None:
        context.stderr.write(
            f"\nWARNING! Your credentials are stored unencrypted in '{printable(str(file))}'.\n"
            "Configure a credential helper (credsStore, credHelpers) to remove this warning.\n\n"
        )
    context.stdout.write("Login Succeeded\n")
