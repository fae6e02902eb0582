"""Tell when the run of a container is over whose output somebody follows, also where the next one has begun by then.

As with docker, who follows a log follows one run: it ends with the process, whether a policy or a person starts the
container again or not. A restart by policy is an event of the journal, one by a person another word in `started`.
"""

from __future__ import annotations

import os
import time

from runtime.containers.condition import read_condition, read_journal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.containers.records import Container, Containers


class Run:
    """The run of a container at the moment when this is made."""

    def __init__(self, containers: Containers, container: Container) -> None:
        self._containers = containers
        self._container = container
        self._directory = containers.directory(container.id)
        self._offset = self._journal_size()  # before the rest: what ends from now on is seen there
        self._started = self._word()
        self._waits = read_condition(self._directory).restarting

    def over(self) -> int | None:
        """Return a moment (nanoseconds since the epoch) not before its last output and before any of the next run.

        None while it goes on. What it wrote until then is in the log.
        """
        now = time.time_ns()
        events, self._offset = read_journal(self._directory, self._offset)
        for moment, action, _ in events:
            if action in ("die", "start"):
                return moment if action == "die" else moment - 1
        if self._waits or not self._containers.is_running(self._container):
            return now
        word = self._word()
        self._started = self._started or word  # it was about to start
        if word == self._started:
            return None
        return int(word.split()[1]) - 1 if word else now

    def _word(self) -> str:
        try:
            return (self._directory / "started").read_text()
        except OSError:
            return ""

    def _journal_size(self) -> int:
        try:
            return os.stat(self._directory / "journal").st_size
        except OSError:
            return 0
