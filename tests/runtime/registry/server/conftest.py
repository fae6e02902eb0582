"""Registries for the length of a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from frozen import replace
from runtime.context import Context
from runtime.registry.server.serve import Settings
from tests.runtime.registry.server.clients import Client, StartRegistry, served


@pytest.fixture
def start(context: Context) -> Iterator[StartRegistry]:
    """Return a function that starts a registry with settings, on any port, in the test's root or another one."""
    with ExitStack() as stack:

        def begin(settings: Settings = Settings(), *, root: Path | None = None) -> Client:  # noqa: B008  frozen
            where = context if root is None else replace(context, layout=replace(context.layout, root=root))
            return stack.enter_context(served(where, replace(settings, port=0)))

        yield begin


@pytest.fixture
def client(start: StartRegistry) -> Client:
    """A registry without anything special."""
    return start()
