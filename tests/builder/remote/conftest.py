"""Servers on the loopback device, and a way to remote sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from builder.progress.events import Event, StepStarted, Warned
from builder.remote.sources import Remotes
from builder.reporter import Reporter
from builder.secrets import Secret
from frozen import replace
from runtime.context import Context
from runtime.store import Store
from tests.remotes import Git, Web, git_server, make_repository, web_server


@dataclass
class Bench:
    """A store in which sources are asked for; each `build` is a new one, as a build would be."""

    context: Context
    events: list[Event] = field(default_factory=list)

    @contextmanager
    def build(self, *, offline: bool = False, secrets: dict[str, bytes] | None = None) -> Iterator[Remotes]:
        self.events.clear()
        context = replace(self.context, offline=offline)
        given = {name: Secret(id=name, value=value) for name, value in (secrets or {}).items()}
        with ExitStack() as stack:
            store = stack.enter_context(Store.open(context))
            reporter = Reporter(self.events.append, context.now)
            yield stack.enter_context(Remotes(store, context, reporter, secrets=given))

    @property
    def warnings(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Warned)]

    @property
    def loaded(self) -> list[str]:
        return [event.name for event in self.events if isinstance(event, StepStarted)]


@pytest.fixture
def remote(context: Context) -> Bench:
    return Bench(replace(context, environ={"PATH": context.environ["PATH"]}))


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as server:
        yield server


@pytest.fixture
def git(tmp_path: Path, missing: Callable[[str], None]) -> Iterator[Git]:
    import shutil

    if shutil.which("git") is None:
        missing("git")
    repository = make_repository(tmp_path / "git")
    with git_server(repository.bare.parent) as address:
        repository.address = address
        yield repository
