"""`pybuild lock`: pin what a build's Dockerfile names in `pybuild.lock`, for `build --locked`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from builder.cli.buildflags import read_build_args
from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.cli.output import one_line
from runtime.cli.transfers import CREDENTIALS, credential_source
from runtime.context import Context
from runtime.errors import NotFound, UsageError

if TYPE_CHECKING:
    from builder.lock import Lock
    from runtime.oci.references import Reference

_FLAGS = (
    Flag("--build-arg", kind="texts", metavar="NAME[=VALUE]", help="Set a build-time variable"),
    CREDENTIALS,
    Flag("--file", "-f", kind="text", metavar="FILE", help="Name of the Dockerfile (default: PATH/Dockerfile)"),
    Flag("--format", kind="text", metavar="FORMAT", help="'json' prints the lock file"),
    Flag("--platform", kind="text", metavar="PLATFORM", help="Platform of the build, as linux/amd64"),
)

VERB = Verb(
    name="lock",
    usage="[OPTIONS] [PATH]",
    summary="Pin the images that a build stands on in pybuild.lock",
    needs_store=True,
    words=(0, 1),
    interrupt="event",
    flags=_FLAGS,
)

VERB_UPDATE = Verb(
    name="lock update",
    usage="[OPTIONS] NAME [PATH]",
    summary="Pin an image in pybuild.lock to what its registry has now",
    needs_store=True,
    words=(1, 2),
    interrupt="event",
    flags=_FLAGS,
)


def run(args: Arguments, context: Context) -> int:
    """Pin what is not pinned yet and drop what is not named any more."""
    return _lock(args, context, args.words[0] if args.words else ".", lambda _named: ())


def run_update(args: Arguments, context: Context) -> int:
    """Pin one name anew."""

    def chosen(named: Sequence[Reference]) -> tuple[Reference, ...]:
        from runtime.oci.references import parse_reference
        from runtime.store.images import nearest

        wanted = parse_reference(args.words[0]).tagged()
        if wanted not in named:
            near = nearest(wanted.familiar(), map(str, named))
            hint = f"did you mean {near}?" if near else "it names " + ", ".join(item.familiar() for item in named)
            raise NotFound(f"the Dockerfile does not name {args.words[0]}", hint=hint if named else None)
        return (wanted,)

    return _lock(args, context, args.words[1] if len(args.words) > 1 else ".", chosen)


def _lock(
    args: Arguments,
    context: Context,
    directory: str,
    choose: Callable[[Sequence[Reference]], Sequence[Reference]],
) -> int:
    """Write the lock file of a directory; `choose` says what is asked for anew, among the names of the Dockerfile."""
    from builder.cli.contexts import read_dockerfile
    from builder.failures import explained
    from builder.lock import read_lock, write_lock
    from builder.pinning import named_images, pinned
    from runtime.oci.platforms import host_platform, parse_platform
    from runtime.store import Store

    form = args.text("format")
    if form not in (None, "json"):
        raise UsageError(f"--format cannot be '{form}'", hint="json is all there is")
    if directory == "-":
        raise UsageError("a lock file needs a directory", hint="name the directory of the build")
    source = read_dockerfile(args.text("file"), directory, context)
    host = host_platform()
    platform = parse_platform(args.text("platform") or str(host))
    with Store.open(context) as store:
        earlier = read_lock(Path(directory))
        with explained(source):
            named = named_images(
                store,
                source.text,
                build_args=read_build_args(args.texts("build-arg"), context.environ),
                platform=str(platform),
                host=str(host),
            )
        lock = pinned(
            store,
            named,
            earlier,
            anew=choose(named),
            credentials=credential_source(args, context),
        )
    if lock != earlier:
        write_lock(Path(directory), lock)
    _show(context, lock, earlier, form)
    return 0


def _show(context: Context, lock: Lock, earlier: Lock | None, form: str | None) -> None:
    """Print all pins, and as messages what changed."""
    if form == "json":
        context.stdout.write(lock.encode().decode())
        return
    before = earlier.images if earlier is not None else {}
    for name, pin in lock.images.items():
        context.stdout.write(f"{one_line(name)} {pin}\n")
        if name in before and before[name] != pin:
            context.stderr.write(f"{one_line(name)} was {before[name]}\n")
    for name in before.keys() - lock.images.keys():
        context.stderr.write(f"{one_line(name)} is not named any more\n")
