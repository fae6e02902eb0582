"""Do many small pieces of waiting work in two threads: one reads a file while the other one digests its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import queue
    import threading

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Pair(Generic[Item, Answer]):
    """The calling thread and a helper that call `function` for items. A context manager."""

    def __init__(self, function: Callable[[Item], Answer]) -> None:
        self._function = function
        self._thread: threading.Thread | None = None
        self._rounds: queue.SimpleQueue[Callable[[], None] | None] | None = None

    def __enter__(self) -> Pair[Item, Answer]:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._thread is not None and self._rounds is not None:
            self._rounds.put(None)
            self._thread.join()

    def map(self, items: Sequence[Item]) -> list[Answer]:
        """Return the answers in the order of `items`. Raises what failed first, once nothing is at work any more."""
        if len(items) < 2:
            return [self._function(item) for item in items]
        answers: dict[int, Answer] = {}
        failures: list[BaseException] = []
        numbers = itertools.count()
        done = self._begin()

        def work() -> None:
            try:
                while not failures and (number := next(numbers)) < len(items):
                    answers[number] = self._function(items[number])
            except BaseException as error:
                failures.append(error)

        def help_out() -> None:
            work()
            done.release()

        assert self._rounds is not None
        self._rounds.put(help_out)
        work()
        done.acquire()
        if failures:
            raise failures[0]
        return [answers[number] for number in range(len(items))]

    def _begin(self) -> threading.Lock:
        """Start the helper if it does not run yet; returns a lock that is held until it releases it."""
        import threading  # lazy: as the next one

        if self._rounds is None:
            import queue  # lazy: 1 ms that a build with nothing to read does not need

            self._rounds = queue.SimpleQueue()
            self._thread = threading.Thread(target=self._run, args=(self._rounds,), name="helper", daemon=True)
            self._thread.start()
        held = threading.Lock()
        held.acquire()
        return held

    def _run(self, rounds: queue.SimpleQueue[Callable[[], None] | None]) -> None:
        while (work := rounds.get()) is not None:
            work()
