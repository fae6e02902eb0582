"""`pybuild logout`: forget what a registry was told of the user."""

from __future__ import annotations

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Verb
from runtime.cli.login import server_name
from runtime.cli.output import printable
from runtime.context import Context
from runtime.oci.references import DEFAULT_DOMAIN

VERB = Verb(name="logout", usage="[SERVER]", summary="Log out from a registry", words=(0, 1))


def run(args: Arguments, context: Context) -> int:
    """Log out; who was not logged in is told so, and that is no failure."""
    from runtime.registry.credentials import HUB_KEY, CredentialSource

    domain = server_name(args.words[0] if args.words else DEFAULT_DOMAIN)
    shown = printable(HUB_KEY if domain == DEFAULT_DOMAIN else domain)
    if CredentialSource(context).erase(domain):
        context.stdout.write(f"Removing login credentials for {shown}\n")
    else:
        context.stdout.write(f"Not logged in to {shown}\n")
    return 0
