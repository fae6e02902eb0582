"""Ports of the loopback device for servers that are told their port before they bind it."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack

_FIRST, _LAST = 10_000, 28_000
"""Below those that the kernel gives to whoever asks for any, so that no connection of others takes one by chance, and
below those that scripts of `integration.differential_run` name."""


def free_ports(count: int = 1) -> int:
    """Return a port that is free at this moment, as are the next ones up to `count`; each time others."""
    choose = random.SystemRandom()  # the seed of a test is the same for all who run at once
    for _ in range(1000):
        port = choose.randrange(_FIRST, _LAST)
        with ExitStack() as stack:
            try:
                for number in range(port, port + count):
                    stack.enter_context(socket.socket()).bind(("0.0.0.0", number))
            except OSError:
                continue
        return port
    raise AssertionError("no port is free")
