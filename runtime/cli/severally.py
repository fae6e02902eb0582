"""Do one thing to each of several words: a failure is told and the others are done all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from runtime.cli.output import complain, one_line
from runtime.context import Context
from runtime.errors import Cancelled, PybuildError


def each(words: Iterable[str], act: Callable[[str], str], context: Context) -> int:
    """Call `act` for each word and print what it returns (nothing for an empty text); 1 if one of them failed."""
    status = 0
    for word in words:
        try:
            told = act(word)
        except Cancelled:
            raise
        except PybuildError as error:
            complain(context.stderr, error.message, error.hint)
            status = 1
            continue
        if told:
            context.stdout.write(one_line(told) + "\n")
            context.stdout.flush()
    return status
