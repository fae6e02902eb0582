"""`pybuild search`: look for images at a registry that offers it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.cli.transfers import CREDENTIALS, credential_source
from runtime.context import Context
from runtime.errors import UsageError
from runtime.oci.references import split_domain

if TYPE_CHECKING:
    from runtime.registry.discovery import Found

VERB = Verb(
    name="search",
    usage="[OPTIONS] [REGISTRY/]TERM",
    summary="Search a registry for images",
    words=(1, 1),
    flags=(
        CREDENTIALS,
        Flag("--filter", "-f", kind="texts", metavar="NAME=VALUE", help="Show only what fits (is-official, stars)"),
        Flag("--format", kind="text", metavar="FORMAT", help="'table', 'table TEMPLATE', 'json' or a Go template"),
        Flag("--limit", kind="integer", metavar="N", help="Show at most this many (25; at most 100)"),
        Flag("--no-trunc", help="Don't truncate descriptions"),
    ),
)

_HEADERS = {
    "Name": "NAME",
    "Description": "DESCRIPTION",
    "StarCount": "STARS",
    "IsOfficial": "OFFICIAL",
    "IsAutomated": "AUTOMATED",
}
_TABLE = "{{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}"
_MOST = 100
_WIDTH = 45
"""Characters of a description that are shown."""


def run(args: Arguments, context: Context) -> int:
    """Print what was found, the best known first."""
    from runtime.cli.formats import write_list
    from runtime.registry.discovery import search
    from runtime.registry.transport import Transport

    limit = args.integer("limit")
    limit = limit if limit is not None and limit > 0 else 25  # Docker's 0 is no limit of the user's
    if limit > _MOST:
        raise UsageError(f"Limit {limit} is outside the range of [1, {_MOST}]")
    wanted = [_filter(text) for text in args.texts("filter")]
    domain, term = split_domain(args.words[0])
    with Transport(context, credentials=credential_source(args, context)) as transport:
        found = search(transport, domain, term, limit=limit)
    found = tuple(sorted(found, key=lambda item: -item.stars))
    rows = [_row(item, args.switch("no-trunc")) for item in found if all(fits(item) for fits in wanted)]
    write_list(context, rows, form=args.text("format"), table=_TABLE, headers=_HEADERS)
    return 0


def _filter(text: str) -> Callable[[Found], bool]:
    name, equals, value = text.partition("=")
    if name == "stars" and value.isdecimal():
        return lambda item: item.stars >= int(value)
    if name in ("is-official", "is-automated") and value.lower() in ("true", "false", "1", "0"):
        official, yes = name == "is-official", value.lower() in ("true", "1")
        return lambda item: (item.official if official else item.automated) == yes
    problem = "invalid filter" if equals else "bad format of filter (expected name=value)"
    raise UsageError(f"{problem}: {text!a}", hint="known are is-official=true, is-automated=true, stars=N")


def _row(item: Found, whole: bool) -> dict[str, object]:
    description = item.description
    if not whole and len(description) > _WIDTH:
        description = description[: _WIDTH - 1] + "…"
    return {
        "Name": item.name,
        "Description": description,
        "StarCount": item.stars,
        "IsOfficial": "[OK]" if item.official else "",
        "IsAutomated": "[OK]" if item.automated else "",
    }
