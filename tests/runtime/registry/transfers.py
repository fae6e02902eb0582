"""A store and a session for a test: what pulls and pushes stand on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from frozen import replace
from runtime.context import Cancel
from runtime.registry.session import Session
from runtime.registry.transport import Transport
from runtime.store import Store


@contextmanager
def session_for(store: Store, make_transport: Callable[..., Transport]) -> Iterator[Session]:
    """Open a session whose transport has short time-outs and reads no configuration."""
    stop = Cancel()
    transport = make_transport()
    transport.context = replace(store.context, cancel=stop)
    with Session(store.context, transport, stop) as session:
        yield session
