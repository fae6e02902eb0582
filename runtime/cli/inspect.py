"""`pybuild inspect`: show everything that is known of images, containers, networks and volumes, as JSON."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import cast

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.cli.output import printable
from runtime.cli.transfers import CREDENTIALS
from runtime.context import Context
from runtime.errors import NotFound, ReferenceInvalid, UsageError
from runtime.store import Store

VERB = Verb(
    name="inspect",
    usage="[OPTIONS] NAME|ID [NAME|ID...]",
    summary="Show what is known of objects",
    needs_store=True,
    words=(1, None),
    flags=(
        Flag("--format", "-f", kind="text", metavar="FORMAT", help="'json' or a Go template"),
        CREDENTIALS,
        Flag("--platform", kind="text", metavar="PLATFORM", help="With --remote: whose image of an index to show"),
        Flag("--remote", help="Show what a registry has under the name, without pulling it"),
        Flag("--size", "-s", help="Show sizes of containers"),
        Flag("--type", kind="text", metavar="KIND", help="Look only for this kind: image, container, network, volume"),
    ),
)

Finder = Callable[[Store, str, bool], dict[str, object] | None]
"""Gives the document of the object that a text names, None where there is none; the flag asks for sizes."""

KINDS: dict[str, str] = {
    "container": "runtime.containers.inspection:find_container",
    "image": "runtime.cli.inspect:find_image",
    "volume": "runtime.cli.volume:find_volume",
    "network": "runtime.containers.membership:find_network",
}
"""The kinds of objects in the order in which they are looked for, each with the `module:function` that is its Finder.

A container's name comes before an image's, as in Docker: put kinds that come first at the beginning.
"""


def run(args: Arguments, context: Context) -> int:
    """Print what was found, then say what was not."""
    return inspect(args, context, args.text("type"))


VERB_IMAGE = Verb(
    name="image inspect",
    usage="[OPTIONS] IMAGE [IMAGE...]",
    summary="Show what is known of images",
    needs_store=True,
    words=(1, None),
    flags=tuple(flag for flag in VERB.flags if flag.name in {"creds", "format", "platform", "remote"}),
)


def run_image(args: Arguments, context: Context) -> int:
    """Print images only."""
    return inspect(args, context, "image")


VERB_CONTAINER = Verb(
    name="container inspect",
    usage="[OPTIONS] CONTAINER [CONTAINER...]",
    summary="Show what is known of containers",
    needs_store=True,
    words=(1, None),
    flags=tuple(flag for flag in VERB.flags if flag.name in {"format", "size"}),
)


def run_container(args: Arguments, context: Context) -> int:
    """Print containers only."""
    return inspect(args, context, "container")


def inspect(args: Arguments, context: Context, kind: str | None) -> int:
    """Show objects of one kind, or of the first kind that knows each name; 1 if one was not found."""
    from runtime.cli.formats import write_objects  # lazy: not for the help
    from runtime.cli.templates import Template

    if args.given("remote") and args.switch("remote"):
        from runtime.cli.inspectremote import inspect_remote  # lazy: not for what is here

        return inspect_remote(args, context)
    if kind is not None and kind not in KINDS:
        raise UsageError(f"{kind!a} is not a valid value for --type", hint="one of " + ", ".join(KINDS))
    sizes = args.given("size") and args.switch("size")
    form = args.text("format") or "json"
    if form != "json":
        Template(form)  # a fault of it comes before what is missing
    found: list[dict[str, object]] = []
    missing: list[str] = []
    with Store.open(context) as store:
        for text in args.words:
            document = _find(store, text, sizes, (kind,) if kind else tuple(KINDS))
            if document is None:
                missing.append(text)
            else:
                found.append(document)
    if found or form == "json":
        write_objects(context, found, form=args.text("format"))
    for text in missing:
        context.stderr.write(f"pybuild: No such {kind or 'object'}: {printable(_named(text, kind))}\n")
    return 1 if missing else 0


def _named(text: str, kind: str | None) -> str:
    """Return a name as the message has it: an image's with its tag."""
    from runtime.oci.references import parse_reference  # lazy: only for what is missing

    if kind != "image":
        return text
    try:
        return parse_reference(text).tagged().familiar()
    except ReferenceInvalid:
        return text


def _find(store: Store, text: str, sizes: bool, kinds: tuple[str, ...]) -> dict[str, object] | None:
    for kind in kinds:
        module, _, name = KINDS[kind].partition(":")
        finder = cast(Finder, getattr(import_module(module), name))
        document = finder(store, text, sizes)
        if document is not None:
            return document
    return None


def find_image(store: Store, text: str, _sizes: bool) -> dict[str, object] | None:
    """Give ImageInspect of the image that `text` names."""
    from runtime.store.shapes import image_inspect  # lazy: not for the help

    try:
        image = store.images.resolve(text)
    except NotFound:  # it was removed a moment ago
        return None
    return None if image is None else image_inspect(store, image)
