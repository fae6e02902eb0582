"""`pybuild buildx version|ls|inspect`: the one builder there is, in buildx's words."""

from __future__ import annotations

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.context import Context
from runtime.version import VERSION

_NAME = "default"

VERB_VERSION = Verb(name="buildx version", summary="Show the version of the builder", words=(0, 0))
VERB_LS = Verb(
    name="buildx ls",
    summary="List builders: there is one",
    words=(0, 0),
    flags=(
        Flag("--format", kind="text", metavar="FORMAT", help="'table', 'json' or a Go template"),
        Flag("--no-trunc", help="Accepted: nothing is shortened"),
    ),
)
VERB_INSPECT = Verb(
    name="buildx inspect",
    summary="Show what is known of the builder",
    usage="[OPTIONS] [NAME]",
    words=(0, 1),
    flags=(
        Flag("--bootstrap", help="Accepted: the builder needs no start"),
        Flag("--builder", kind="text", metavar="NAME", help="default", hidden=True),
    ),
)

_HEADERS = {
    "Name": "NAME",
    "DriverEndpoint": "DRIVER/ENDPOINT",
    "Status": "STATUS",
    "Buildkit": "BUILDKIT",
    "Platforms": "PLATFORMS",
}


def run_version(_args: Arguments, context: Context) -> int:
    """Print the program's name and version."""
    context.stdout.write(f"pybuild {VERSION}\n")
    return 0


def run_ls(args: Arguments, context: Context) -> int:
    """Print the one builder."""
    from runtime.cli.formats import write_list  # lazy: not for the help

    facts = _facts()
    row = {
        "Name": f"{_NAME}*" if args.text("format") != "json" else _NAME,
        "DriverEndpoint": "pybuild",
        "Status": facts["Status"],
        "Buildkit": facts["Version"],
        "Platforms": facts["Platforms"],
        "Current": True,
        "Driver": "pybuild",
    }
    table = "\t".join(f"{{{{.{name}}}}}" for name in _HEADERS)
    write_list(context, [row], form=args.text("format"), table=table, headers=_HEADERS)
    return 0


def run_inspect(args: Arguments, context: Context) -> int:
    """Print the builder's facts, a line each."""
    from runtime.errors import NotFound  # lazy: not for the help

    name = args.words[0] if args.words else args.text("builder") or _NAME
    if name != _NAME:
        raise NotFound(f'no builder "{name}" found', hint=f"there is one: {_NAME}")
    facts = _facts()
    context.stdout.write(f"Name:   {_NAME}\nDriver: pybuild\n\nNodes:\n")
    for title, value in (
        ("Name", _NAME),
        ("Endpoint", str(context.layout.root)),
        ("Status", facts["Status"]),
        ("Version", facts["Version"]),
        ("Platforms", facts["Platforms"]),
    ):
        context.stdout.write(f"{title + ':':<11}{value}\n")
    return 0


def _facts() -> dict[str, str]:
    from runtime.oci.platforms import host_platform  # lazy: not for the help

    return {"Status": "running", "Version": VERSION, "Platforms": str(host_platform())}
