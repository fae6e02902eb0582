"""Copy files out of a container and into it: one stream to a process that has the container's root (transfer.py).

A container that runs has such a process forked by its monitor, in its mount namespace; of one that does not, the tree
is mounted for the length of the copy, in a mount namespace of the process's own, with its volumes.
"""

from __future__ import annotations

import io
import marshal
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, Protocol

from runtime.containers import protocol
from runtime.containers.connection import Connection, connect
from runtime.containers.protocol import Frames, frame
from runtime.errors import PybuildError

if TYPE_CHECKING:
    from runtime.containers.records import Container, Containers


class Stream(Protocol):
    """What goes on in the container: its output is read, or its input written, and then it is waited for."""

    def read(self, size: int, /) -> bytes:
        """Return what came, nothing at the end."""

    def write(self, data: bytes, /) -> int:
        """Send bytes."""

    def finish(self) -> None:
        """Wait for the end. Raises PybuildError with what failed."""


@contextmanager
def opened(
    containers: Containers, container: Container, operation: str, path: str, *, follow: bool = False
) -> Iterator[Stream]:
    """Start an operation of transfer.serve in a container."""
    sock = connect(containers, container) if containers.is_running(container) else None
    if sock is not None:
        with sock:
            yield _Running(sock, operation, path, follow)
        return
    from runtime.containers.again import claim

    alive = claim(containers, container)
    try:
        stream = _Stopped(containers, container, (operation, path, follow))
        try:
            yield stream
        finally:
            stream.close()
    finally:
        os.close(alive)


class _Running:
    """A stream through a monitor's socket."""

    def __init__(self, sock: Connection, operation: str, path: str, follow: bool) -> None:
        self._sock = sock
        self._frames = Frames()
        self._output = bytearray()
        self._errors = bytearray()
        self._credit = protocol.WINDOW_SIZE
        self._code: int | None = None
        plan = {
            "transfer": (operation, path, follow),
            "tty": False,
            "stdin": operation == "unpack",
            "attached": protocol.IN | protocol.OUT | protocol.ERR,
        }
        self._started = False
        sock.sendall(frame(protocol.EXEC, marshal.dumps(plan)))
        while not self._started and self._code is None:
            self._receive()  # what came with EXEC would be the monitor's, and not the new process's

    def _receive(self) -> None:
        data = self._sock.recv(protocol.CHUNK)
        if not data:
            raise PybuildError("the container ended while files were copied")
        for kind, payload in self._frames.feed(data):
            if kind == protocol.STARTED:
                self._started = True
            elif kind == protocol.STDOUT:
                self._output += payload
            elif kind == protocol.STDERR:
                self._errors += payload
            elif kind == protocol.WINDOW:
                self._credit += int.from_bytes(payload, "big")
            elif kind in (protocol.EXITED, protocol.FAILED):
                self._code = payload[0]
                self._errors += payload[1:]

    def read(self, size: int, /) -> bytes:
        while not self._output and self._code is None:
            self._receive()
        data = bytes(self._output[:size])
        del self._output[:size]
        return data

    def write(self, data: bytes, /) -> int:
        rest = memoryview(data)
        while rest:
            while self._credit <= 0 and self._code is None:
                self._receive()
            if self._code is not None:
                raise PybuildError(self._errors.decode("utf-8", "replace") or "the copy ended early")
            piece = rest[: min(self._credit, protocol.CHUNK)]
            self._sock.sendall(frame(protocol.STDIN, bytes(piece)))
            self._credit -= len(piece)
            rest = rest[len(piece) :]
        return len(data)

    def finish(self) -> None:
        if self._code is None:
            self._sock.sendall(frame(protocol.STDIN_END))
        while self._code is None:
            self._receive()
        if self._code:
            raise PybuildError(self._errors.decode("utf-8", "replace") or f"the copy ended with {self._code}")


class _Stopped:
    """A stream to a child of this process."""

    def __init__(self, containers: Containers, container: Container, words: tuple[str, str, bool]) -> None:
        their_in, self._in = os.pipe2(os.O_CLOEXEC)
        self._out, their_out = os.pipe2(os.O_CLOEXEC)
        self._errors = os.memfd_create("errors", os.MFD_CLOEXEC)
        tree, points = _tree(containers, container)
        rootless = containers.store.context.rootless
        self._pid = os.fork()
        if self._pid == 0:
            read_only = container.host_config.get("ReadonlyRootfs", False)
            stdio = (their_in, their_out, self._errors)
            _serve(tree, points, words, stdio, rootless=rootless, read_only=read_only)
        os.close(their_in)
        os.close(their_out)

    def read(self, size: int, /) -> bytes:
        return os.read(self._out, size)

    def write(self, data: bytes, /) -> int:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._in, rest) :]
        except BrokenPipeError:
            self.finish()
            raise PybuildError("the copy ended early") from None
        return len(data)

    def finish(self) -> None:
        os.close(self._in)
        self._in = -1
        while self.read(1 << 16):
            pass
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        if status:
            text = os.pread(self._errors, 1 << 16, 0).decode("utf-8", "replace")
            raise PybuildError(text or f"the copy ended with {os.waitstatus_to_exitcode(status)}")

    def close(self) -> None:
        for fd in (self._in, self._out, self._errors):
            if fd >= 0:
                os.close(fd)
        if self._pid:
            os.waitpid(self._pid, 0)


def _tree(containers: Containers, container: Container) -> tuple[dict[str, object], list[dict[str, object]]]:
    """Describe a container's root filesystem and the mounts in it that are there while it does not run."""
    from runtime.containers.bundle import rootfs_of, stored_mounts

    image = containers.store.images.get(container.image)  # type: ignore[arg-type]  # a digest, as create wrote it
    tree = {**rootfs_of(containers, container, image), "volatile": False}
    return tree, stored_mounts(containers, container)


def _serve(
    tree: dict[str, object],
    points: list[dict[str, object]],
    words: tuple[str, str, bool],
    stdio: tuple[int, int, int],
    *,
    rootless: bool,
    read_only: bool,
) -> NoReturn:
    """Mount the container's tree and its volumes, make it the root, do the operation; ends the process."""
    from runtime.containers import transfer
    from runtime.sandbox import mounts, preparation, rootfs, syscalls
    from runtime.sandbox.failure import LaunchFailure

    code = 125
    try:
        for number, fd in enumerate(stdio):
            os.dup2(fd, number)
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount(b"", b"/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
        root_fd = rootfs.detached(tree, userxattr=rootless)
        prepared = [preparation.stored(entry, userns=rootless) for entry in points]
        rootfs.enter(root_fd)
        for one in prepared:
            os.close(mounts.place(root_fd, one, []))
        if read_only:
            syscalls.mount_setattr(root_fd, attr_set=syscalls.MOUNT_ATTR_RDONLY)
        syscalls.close_all_but([0, 1, 2])
        os.umask(0)
        code = transfer.serve(words[0], words[1], follow=words[2])
    except (OSError, LaunchFailure) as error:
        os.write(2, str(error).encode("utf-8", "surrogateescape"))
    finally:
        os._exit(code)


def kinds_of(containers: Containers, container: Container, path: str) -> tuple[str, str, str]:
    """Return what lies at a path of a container, what that leads to where it is a link, and where (transfer.serve)."""
    with opened(containers, container, "stat", path) as stream:
        data = b""
        while piece := stream.read(4096):
            data += piece
        stream.finish()
    kind, followed, *place = data.decode("utf-8", "surrogateescape").split(" ", 2)
    return kind, followed, place[0] if place else path  # a monitor from before this told no place


class Reader(io.RawIOBase):
    """A stream as a file that can be read."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read what came into a buffer."""
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class Writer(io.RawIOBase):
    """A stream as a file that can be written."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def writable(self) -> bool:
        """Say yes."""
        return True

    def write(self, data: memoryview) -> int:  # type: ignore[override]
        """Send bytes, all of them."""
        return self._stream.write(bytes(data))
