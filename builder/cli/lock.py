"""`pybuild lock`: pin what a build's Dockerfile names in `pybuild.lock`, for `build --locked`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from builder.cli.buildflags import STANDARD_INPUT, read_build_args
from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.cli.output import one_line
from runtime.cli.transfers import CREDENTIALS, credential_source
from runtime.context import Context
from runtime.errors import NotFound, UsageError

if TYPE_CHECKING:
    from builder.lock import Lock
    from builder.pinning import Names

_FLAGS = (
    Flag("--build-arg", kind="texts", metavar="NAME[=VALUE]", help="Set a build-time variable"),
    Flag(
        "--build-context", kind="texts", metavar="NAME=WHERE", help="A further context, whose source is pinned as well"
    ),
    CREDENTIALS,
    Flag("--file", "-f", kind="text", metavar="FILE", help="Name of the Dockerfile (default: PATH/Dockerfile)"),
    Flag("--format", kind="text", metavar="FORMAT", help="'json' prints the lock file"),
    Flag("--platform", kind="text", metavar="PLATFORM", help="Platform of the build, as linux/amd64"),
)

VERB = Verb(
    name="lock",
    usage="[OPTIONS] [PATH]",
    summary="Pin the images, files and repositories that a build takes in pybuild.lock",
    needs_store=True,
    words=(0, 1),
    interrupt="event",
    flags=_FLAGS,
)

VERB_UPDATE = Verb(
    name="lock update",
    usage="[OPTIONS] NAME [PATH]",
    summary="Pin an image, URL or git ref in pybuild.lock to what it is now",
    needs_store=True,
    words=(1, 2),
    interrupt="event",
    flags=_FLAGS,
)


def run(args: Arguments, context: Context) -> int:
    """Pin what is not pinned yet and drop what is not named any more."""
    return _lock(args, context, args.words[0] if args.words else ".", lambda _names: ())


def run_update(args: Arguments, context: Context) -> int:
    """Pin one name anew."""

    wanted = args.words[0]
    return _lock(args, context, args.words[1] if len(args.words) > 1 else ".", lambda names: (_spelled(wanted, names),))


def _spelled(wanted: str, names: Names) -> str:
    """Give what is meant as the lock file spells it; raises NotFound where the Dockerfile names no such thing."""
    from runtime.errors import ReferenceInvalid
    from runtime.oci.references import parse_reference

    spelled = [wanted, f"{wanted}#"]
    try:
        spelled.append(str(parse_reference(wanted).tagged()))
    except ReferenceInvalid:
        pass
    there = names.all()
    for name in spelled:
        if name in there:
            return name
    from difflib import get_close_matches  # lazy: 4 ms

    near = get_close_matches(spelled[-1], there, n=1)
    hint = f"did you mean {near[0]}?" if near else "it names " + ", ".join(there) if there else None
    raise NotFound(f"the Dockerfile does not name {wanted}, or pins it itself", hint=hint)


def _lock(args: Arguments, context: Context, directory: str, choose: Callable[[Names], Sequence[str]]) -> int:
    """Write the lock file of a directory; `choose` says what is asked for anew, among the names of the Dockerfile."""
    from builder.cli.contexts import read_dockerfile
    from builder.failures import explained
    from builder.lock import read_lock, write_lock
    from builder.namedcontexts import read_contexts
    from builder.pinning import named, pinned
    from builder.remote.words import is_remote
    from runtime.oci.platforms import host_platform, parse_platform
    from runtime.store import Store

    form = args.text("format")
    if form not in (None, "json"):
        raise UsageError(f"--format cannot be '{form}'", hint="json is all there is")
    if directory == STANDARD_INPUT or (":" in directory and not os.path.exists(directory) and is_remote(directory)):
        raise UsageError(
            f"{directory}: a lock file is written into the directory of a build, and that is none",
            hint="lock where the files come from: `build --locked` reads the pybuild.lock inside of any context",
        )
    source = read_dockerfile(args.text("file"), directory, context)
    host = host_platform()
    platform = parse_platform(args.text("platform") or str(host))
    with Store.open(context) as store:
        earlier = read_lock(Path(directory))
        with explained(source):
            names = named(
                store,
                source.text,
                build_args=read_build_args(args.texts("build-arg"), context.environ),
                platform=str(platform),
                host=str(host),
                contexts=read_contexts(args.texts("build-context")),
            )
        lock = pinned(store, names, earlier, anew=choose(names), credentials=credential_source(args, context))
    if lock != earlier:
        write_lock(Path(directory), lock)
    _show(context, lock, earlier, form)
    return 0


def _show(context: Context, lock: Lock, earlier: Lock | None, form: str | None) -> None:
    """Print all pins, and as messages what changed."""
    if form == "json":
        context.stdout.write(lock.encode().decode())
        return
    before = {} if earlier is None else _pins(earlier)
    after = _pins(lock)
    for name, pin in after.items():
        context.stdout.write(f"{one_line(name)} {pin}\n")
        if name in before and before[name] != pin:
            context.stderr.write(f"{one_line(name)} was {before[name]}\n")
    for name in before.keys() - after.keys():
        context.stderr.write(f"{one_line(name)} is not named any more\n")


def _pins(lock: Lock) -> dict[str, str]:
    images = {name: str(pin) for name, pin in lock.images.items()}
    return {**images, **lock.urls, **lock.git}
