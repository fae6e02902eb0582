"""`pybuild verify`: build an image again from what it was built from, and say whether it comes out the same."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.cli.arguments import Arguments, read_arguments
from runtime.cli.declare import Flag, Verb
from runtime.cli.output import printable
from runtime.context import Context
from runtime.errors import NotFound, UsageError

if TYPE_CHECKING:
    from builder.verification import Verdict

VERB = Verb(
    name="verify",
    usage="[OPTIONS] IMAGE [PATH]",
    summary="Build an image again, from nothing but its bases, and name the first file that differs",
    needs_store=True,
    words=(1, 2),
    interrupt="event",
    flags=(
        Flag("--format", kind="text", metavar="FORMAT", help="'json' for one object"),
        Flag("--progress", kind="text", metavar="KIND", help="How to show the build (quiet unless given)"),
    ),
)


def run(args: Arguments, context: Context) -> int:
    """Build and compare; 1 where the two differ."""
    from builder.cli import build

    form = args.text("format")
    if form not in (None, "json"):
        raise UsageError(f"--format {form}: only json is known here")
    name = args.words[0]
    directory, words = _request(context, name, args.words[1] if len(args.words) > 1 else None)
    if not Path(directory).is_dir():
        raise NotFound(f"{name} was built in {directory}, which is gone", hint="name the context: verify IMAGE PATH")
    before = os.getcwd()
    os.chdir(directory)
    try:
        built = build.rebuild(read_arguments(build.VERB, words), context, args.text("progress") or "quiet", name)
    finally:
        os.chdir(before)
    _print(context, name, built, form)
    return 0 if built.same else 1


def _request(context: Context, name: str, path: str | None) -> tuple[str, list[str]]:
    """Return the directory and the words of the build that made an image. Raises NotFound."""
    from builder.records import Records
    from runtime.store import Store

    with Store.open(context) as store:
        image = store.images.require(name)
        request = Records(store).request_of(image.id)
    if request is None:
        if path is None:
            raise NotFound(
                f"{name} was not built here, or from standard input",
                hint="name what it was built from: pybuild verify IMAGE PATH",
            )
        return os.getcwd(), [path]
    directory, words = request
    if path is not None:
        words = [*words[:-1], os.path.abspath(path)]
    return directory, words


def _print(context: Context, name: str, verdict: Verdict, form: str | None) -> None:
    if form == "json":
        document = {
            "version": 1,
            "image": name,
            "same": verdict.same,
            "exact": verdict.exact,
            "path": verdict.path,
            "changes": list(verdict.changes),
            "layer": verdict.layer,
            "fields": list(verdict.fields),
        }
        context.stdout.write(json.dumps(document) + "\n")
        return
    if verdict.exact:
        text = "comes out the same, bit for bit"
    elif verdict.same:
        text = "comes out the same but for times (set SOURCE_DATE_EPOCH for these)"
    elif verdict.path is not None:
        text = f"differs first in {verdict.path} (layer {verdict.layer}): {', '.join(verdict.changes)}"
    elif verdict.fields:
        text = f"differs in its configuration: {', '.join(verdict.fields)}"
    else:
        text = f"differs in layer {verdict.layer}, in what a later layer hides or in a directory's time"
    context.stdout.write(printable(f"{name} {text}\n"))
