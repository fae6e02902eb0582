"""Connect to a container's monitor.

`_socket`, as the monitor itself has it: the module above it makes enumerations of every constant, which takes longer
than all else that `exec` does before it connects.
"""

from __future__ import annotations

import _socket
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.containers.records import Container, Containers


class Connection(_socket.socket):
    """A stream socket to a monitor, which a `with` block closes."""

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(containers: Containers, container: Container) -> Connection | None:
    """Connect to a container's monitor; None where there is none that answers."""
    try:
        directory = os.open(containers.directory(container.id), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    sock = Connection(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        # A socket's path has 108 bytes at most, and a root may lie deep.
        sock.connect(f"/proc/self/fd/{directory}/socket")
    except OSError:
        sock.close()
        return None
    finally:
        os.close(directory)
    return sock
