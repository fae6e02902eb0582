"""`pybuild context ls|show|inspect`: which engine is spoken to. There is none: the one context is this machine."""

from __future__ import annotations

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.context import Context
from runtime.errors import NotFound

_NAME = "default"
_FORMAT = Flag("--format", "-f", kind="text", metavar="FORMAT", help="'json' or a Go template")

VERB_LS = Verb(
    name="context ls",
    summary="List contexts: there is one",
    words=(0, 0),
    flags=(
        Flag("--format", kind="text", metavar="FORMAT", help="'table', 'json' or a Go template"),
        Flag("--quiet", "-q", help="Names alone"),
    ),
)
VERB_SHOW = Verb(name="context show", summary="Print the name of the context", words=(0, 0))
VERB_INSPECT = Verb(
    name="context inspect",
    summary="Show what is known of the context",
    usage="[OPTIONS] [CONTEXT...]",
    flags=(_FORMAT,),
    words=(0, None),
)

_HEADERS = {"Name": "NAME", "Description": "DESCRIPTION", "DockerEndpoint": "DOCKER ENDPOINT", "Error": "ERROR"}


def run_ls(args: Arguments, context: Context) -> int:
    """Print the one context."""
    from runtime.cli.formats import write_list  # lazy: not for the help

    if args.switch("quiet"):
        context.stdout.write(f"{_NAME}\n")
        return 0
    form = args.text("format")
    shown = _NAME if form and not form.startswith("table") else f"{_NAME} *"
    row = {
        "Name": shown,
        "Description": "This machine, without an engine",
        "DockerEndpoint": "",
        "Error": "",
        "Current": True,
    }
    table = "\t".join(f"{{{{.{name}}}}}" for name in _HEADERS)
    write_list(context, [row], form=form, table=table, headers=_HEADERS)
    return 0


def run_show(_args: Arguments, context: Context) -> int:
    """Print its name."""
    context.stdout.write(f"{_NAME}\n")
    return 0


def run_inspect(args: Arguments, context: Context) -> int:
    """Print its document. Raises NotFound for another name."""
    from runtime.cli.formats import write_objects  # lazy: not for the help

    for word in args.words:
        if word != _NAME:
            raise NotFound(f'context "{word}" does not exist', hint=f"there is one: {_NAME}")
    document = {
        "Name": _NAME,
        "Metadata": {},
        "Endpoints": {"docker": {"Host": "", "SkipTLSVerify": False}},
        "TLSMaterial": {},
        "Storage": {"MetadataPath": "", "TLSPath": ""},
    }
    write_objects(context, [document] * max(1, len(args.words)), form=args.text("format"))
    return 0
