"""Run one verb: read the words, make the context, call the verb, and turn every end into an exit status."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from runtime.cli.arguments import Arguments, HelpRequested, read_arguments, split_global
from runtime.cli.declare import Verb
from runtime.cli.output import complain
from runtime.cli.registry import Handler, Registry
from runtime.cli.surroundings import make_context
from runtime.context import Context
from runtime.errors import Cancelled, PybuildError, UsageError

Explain = Callable[[Exception], tuple[str, str | None] | None]
"""Turns an exception of another package into message and hint; None where it does not know it."""


def run_program(
    words: Sequence[str],
    registry: Registry,
    *,
    default: Callable[[Sequence[str]], Sequence[str]],
    explain: Explain,
) -> int:
    """Run the program with `words` (without its own name) and return its exit status.

    `default` gets words that begin with no verb and returns them with one in front, or raises UsageError.
    """
    _open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        # Names of files may be any bytes, and the locale may be C: neither may end a command.
        stream.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]
    try:
        before, rest = split_global(words)
        if not rest or rest[0] in ("--help", "-h", "help"):
            return _help(registry, " ".join(rest[1:]) if rest and rest[0] == "help" else "")
        if rest in (("--version",), ("-v",)):
            rest = ("version",)
        found = registry.find(rest)
        if found is None:
            _refuse(rest, registry)
        if found is None and registry.is_group(rest[0]):
            return _group(registry, rest)
        if found is None:
            found = registry.find(tuple(default(rest)))
        if found is None:
            raise UsageError(f"'{rest[0]}' is no verb of pybuild", hint="see 'pybuild --help'")
    except UsageError as error:
        complain(sys.stderr, error.message, error.hint)
        return 2
    verb, handler = registry.load(found[0])
    try:
        arguments = read_arguments(verb, found[1])
    except HelpRequested:
        return _help(registry, verb.name)
    except UsageError as error:
        complain(sys.stderr, error.message, error.hint)
        return verb.usage_status
    context = make_context(arguments, before, dict(os.environ))
    return call_verb(verb, handler, arguments, context, explain=explain)


def _refuse(words: Sequence[str], registry: Registry) -> None:
    """Raise UsageError with the reason for a verb of Docker's that is not there; a directory of that name is built."""
    from runtime.cli.refused import refusal  # lazy: a directory's name, or a mistake

    directory = os.path.exists(words[0]) and not registry.is_group(words[0])
    refused = None if directory else refusal(words)
    if refused is not None:
        raise UsageError(refused[0], hint=refused[1])


def _open_standard_streams() -> None:
    """Give descriptors 0 to 2 that were closed to /dev/null: no file or socket of ours may be taken for one of them."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest free one, which is this
            os.set_inheritable(opened, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115  for good


def call_verb(verb: Verb, handler: Handler, arguments: Arguments, context: Context, *, explain: Explain) -> int:
    """Call the verb's function with signals installed; every exception becomes a message and a status."""
    try:
        if verb.needs_store and context.rootless:
            from runtime.sandbox import family  # lazy: only the unprivileged need it

            family.enter(context)
        if verb.needs_store:
            from runtime.network.cleanup import sweep  # lazy: only verbs with a store need it

            sweep(context)
        with _signals(verb, context):
            status = handler(arguments, context)
            context.stdout.flush()
            return status
    except Cancelled as cancelled:
        return 128 + cancelled.signal
    except BrokenPipeError:
        # Whoever read our output has gone; nothing that Python flushes at exit may complain about it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 128 + signal.SIGPIPE
    except UsageError as error:
        complain(context.stderr, error.message, error.hint)
        return verb.usage_status
    except Exception as error:
        return _report(error, verb, context, explain)


def _report(error: Exception, verb: Verb, context: Context, explain: Explain) -> int:
    if context.debug:
        import traceback  # lazy: only where asked for

        traceback.print_exception(error, file=context.stderr)
    told = explain(error)
    if told is None and isinstance(error, PybuildError):
        told = error.message, error.hint
    if told is None and isinstance(error, OSError):
        name = error.filename
        place = f"{os.fsdecode(name) if isinstance(name, bytes) else name}: " if name else ""
        told = f"{place}{error.strerror or error}", None
    if told is None:
        told = f"unexpected {type(error).__name__}: {error}", "this is a fault of pybuild; --debug shows where"
    complain(context.stderr, *told)
    return verb.failure_status


@contextmanager
def _signals(verb: Verb, context: Context) -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into cancellation; a second one ends the process where it stands."""

    def handle(number: int, _frame: FrameType | None) -> None:
        if context.cancel.signal:
            os._exit(128 + number)
        context.cancel.set(number)
        if verb.interrupt == "raise":
            raise Cancelled(number)

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup(1) had its reasons
        numbers.append(signal.SIGHUP)
    previous = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _help(registry: Registry, name: str) -> int:
    from runtime.cli.help import show_help  # lazy: 120 ms

    found = registry.find(tuple(name.split()))
    if name and found is None and not registry.is_group(name):
        near = registry.nearest(name)
        complain(sys.stderr, f"'{name}' is no verb of pybuild", f"did you mean '{near}'?" if near else None)
        return 2
    sys.stdout.write(show_help(registry, found[0] if found else name))
    return 0


def _group(registry: Registry, rest: Sequence[str]) -> int:
    if len(rest) == 1 or rest[1] in ("--help", "-h"):
        return _help(registry, rest[0])
    members = registry.members(rest[0])
    from difflib import get_close_matches  # lazy: 4 ms

    near = get_close_matches(rest[1], members, n=1)
    hint = f"did you mean '{rest[0]} {near[0]}'?" if near else f"it knows: {', '.join(members)}"
    complain(sys.stderr, f"'{rest[1]}' is no verb of 'pybuild {rest[0]}'", hint)
    return 2
