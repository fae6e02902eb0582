"""`pybuild run`: make a container from an image, start it, and be its terminal until it ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from runtime.cli.arguments import Arguments
from runtime.cli.containerflags import FLAGS, REFUSED, refuse_unsupported
from runtime.cli.declare import Flag, Verb
from runtime.cli.output import complain
from runtime.containers.start import monitor_process
from runtime.context import Context
from runtime.errors import Conflict, PybuildError, UsageError

VERB = Verb(
    name="run",
    summary="Make a container from an image and run a command in it",
    usage="[OPTIONS] IMAGE [COMMAND] [ARG...]",
    words=(1, None),
    interspersed=False,
    needs_store=True,
    usage_status=125,
    failure_status=125,
    interrupt="event",
    flags=(
        *FLAGS,
        Flag("--detach", "-d", help="Leave it to its monitor and print its id"),
        Flag("--detach-keys", kind="text", metavar="KEYS", help="Keys that detach from it, as ctrl-p,ctrl-q"),
        Flag("--sig-proxy", help="Pass signals on to it (true unless =false)"),
        *REFUSED,
    ),
)


def run(args: Arguments, context: Context) -> int:
    """Run a container; returns its exit status, 125 for every failure of our own, 126 and 127 as the shell does."""
    refuse_unsupported(args)
    with ExitStack() as stack:
        # The monitor's interpreter starts while everything else is loaded, read and prepared.
        monitor = stack.enter_context(monitor_process())
        from runtime.cli.clientwishes import detach_keys
        from runtime.cli.containersettings import read_config, read_host_config
        from runtime.cli.fetching import find_named_image
        from runtime.containers.create import create
        from runtime.containers.foreground import StartFailed, run_attached, run_detached
        from runtime.containers.images import read_policy
        from runtime.containers.records import Containers
        from runtime.store import Store

        policy = read_policy(args.text("pull"))
        config = read_config(args, context, args.words[0], args.words[1:])
        host = read_host_config(args)
        detach = args.switch("detach")
        if config["Tty"] and config["AttachStdin"] and not detach and not os.isatty(0):
            raise UsageError("the input device is not a TTY", hint="leave -t out where standard input is no terminal")
        keys = detach_keys(args, context)
        store = stack.enter_context(Store.open(context))
        image = find_named_image(args, context, store, policy)
        containers = Containers(store)
        with id_file(args.text("cidfile")) as write_id:
            container, alive = create(containers, image, config, host, name=args.text("name"), starts=True)
            write_id(container.id)
        try:
            if detach:
                context.stdout.write(f"{container.id}\n")  # Docker says it whatever becomes of the command
                run_detached(containers, container, image, alive, monitor)
                return 0
            proxy = args.switch("sig-proxy") or not args.given("sig-proxy")
            return run_attached(containers, container, image, alive, monitor, proxy=proxy, keys=keys)
        except StartFailed as failure:
            complain(context.stderr, failure.message, failure.hint)
            return failure.exit_code


@contextmanager
def id_file(path: str | None) -> Iterator[Callable[[str], None]]:
    """Give a function that writes a container's id to `--cidfile`; a file that is there already is an error.

    Where the block fails before it is called, no file stays.
    """
    if path is None:
        yield lambda _id: None
        return
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        raise Conflict(
            f"container ID file found, make sure the other container isn't running or delete {path}"
        ) from None
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise PybuildError(f"failed to create the container ID file: open {path}: {reason}") from None
    try:
        yield lambda container_id: _write_all(fd, container_id.encode())
    except BaseException:
        with suppress(OSError):
            os.unlink(path)
        raise
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    os.write(fd, data)
