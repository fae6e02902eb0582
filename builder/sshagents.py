"""Hand SSH agents to steps: `--ssh ID[=SOCKET|KEY[,KEY…]]`.

A step gets a socket of its own, behind which this process passes on to the agent what lists keys and what signs, and
nothing else: a step cannot add, remove or lock keys (draft-ietf-sshm-ssh-agent, 3). Keys that are files are held by an
`ssh-agent` that is started when the first step asks, and ends with the build. Names of sockets are reached through
/proc/self/fd: 108 bytes is all that a socket's address may have.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

from frozen import Frozen
from runtime.errors import NotFound, PybuildError, UsageError

if TYPE_CHECKING:
    from runtime.context import Context

DEFAULT = "default"
_FAILURE = b"\0\0\0\1\5"
_ALLOWED = (11, 13)
"""SSH_AGENTC_REQUEST_IDENTITIES and SSH_AGENTC_SIGN_REQUEST."""
_LONGEST = 256 << 10
"""Bytes of one message: what OpenSSH takes."""
_MOST = 32
"""Connections that one step may have at a time."""
_START_SECONDS = 5.0


class SshSource(Frozen):
    """Where the keys of one id are: behind the socket of an agent, or in files."""

    id: str
    socket: Path | None = None
    keys: tuple[Path, ...] = ()


def read_ssh(words: Iterable[str], environ: Mapping[str, str]) -> dict[str, SshSource]:
    """Read the flag's words. Raises UsageError for a wrong one, NotFound for a socket or file that is not there."""
    found: dict[str, SshSource] = {}
    for word in words:
        identifier, _, places = word.partition("=")
        if not identifier:
            raise UsageError(
                f'invalid argument "{word}" for "--ssh" flag: it has no id', hint="write default or ID=PATH"
            )
        if identifier in found:
            raise UsageError(f"--ssh {identifier} is given twice", hint="join its keys with commas")
        found[identifier] = _source(identifier, [place for place in places.split(",") if place], environ)
    return found


def _source(identifier: str, places: list[str], environ: Mapping[str, str]) -> SshSource:
    if not places:
        agent = environ.get("SSH_AUTH_SOCK")
        if not agent:
            raise NotFound(
                f"--ssh {identifier}: no SSH agent: SSH_AUTH_SOCK is not set",
                hint=f"start ssh-agent, or name a socket or key: --ssh {identifier}=PATH",
            )
        places = [agent]
    sockets: list[Path] = []
    keys: list[Path] = []
    for place in places:
        path = Path(place).expanduser()
        try:
            mode = path.stat().st_mode
        except OSError as error:
            raise NotFound(f"--ssh {identifier}: {path}: {error.strerror}") from error
        (sockets if stat.S_ISSOCK(mode) else keys).append(path.absolute())
        if not stat.S_ISSOCK(mode) and not stat.S_ISREG(mode):
            raise UsageError(f"--ssh {identifier}: {path} is neither a socket nor a key")
    if len(sockets) > 1 or (sockets and keys):
        raise UsageError(f"--ssh {identifier}: one socket, or keys, but not both", hint="give another id to the other")
    return SshSource(id=identifier, socket=sockets[0] if sockets else None, keys=tuple(keys))


class Agents:
    """The agents of one build. Thread-safe; a context manager that ends what was started."""

    def __init__(self, context: Context, sources: Mapping[str, SshSource]) -> None:
        self._context = context
        self._sources = sources
        self._stack = ExitStack()
        self._sockets: dict[str, Path] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Agents:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End what was started."""
        self._stack.close()

    def socket_of(self, identifier: str) -> Path | None:
        """Return the socket of the agent of that id, started if it has to be; None where none was given."""
        source = self._sources.get(identifier)
        if source is None:
            return None
        if source.socket is not None:
            return source.socket
        with self._lock:
            if identifier not in self._sockets:
                self._sockets[identifier] = self._stack.enter_context(_own_agent(self._context, source))
            return self._sockets[identifier]

    @contextmanager
    def forwarded(self, identifier: str, place: Path, *, uid: int, gid: int, mode: int) -> Iterator[Path | None]:
        """Listen on a new socket in the directory `place` for the length of a `with` block; None without an agent.

        The socket belongs to `uid` and `gid` and has `mode` (0oNNN).
        """
        agent = self.socket_of(identifier)
        if agent is None:
            yield None
            return
        directory = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stop_read, stop_write = os.pipe2(os.O_CLOEXEC)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
                listener.bind(f"/proc/self/fd/{directory}/agent")
                os.chown("agent", uid, gid, dir_fd=directory)
                os.chmod("agent", mode, dir_fd=directory)
                listener.listen(_MOST)
                thread = threading.Thread(target=_serve, args=(listener, agent, stop_read), daemon=True)
                thread.start()
                try:
                    yield place / "agent"
                finally:
                    os.close(stop_write)
                    stop_write = -1
                    thread.join()
        finally:
            for fd in (directory, stop_read, stop_write):
                if fd >= 0:
                    os.close(fd)


@contextmanager
def _own_agent(context: Context, source: SshSource) -> Iterator[Path]:
    """Run an `ssh-agent` that holds the keys of files."""
    from runtime.store.leases import own_name  # only where keys are files

    directory = context.layout.run / "ssh" / own_name(context)
    directory.mkdir(mode=0o700, parents=True)
    program = which("ssh-agent", path=context.environ.get("PATH"))
    adder = which("ssh-add", path=context.environ.get("PATH"))
    if program is None or adder is None:
        directory.rmdir()
        raise PybuildError(
            f"--ssh {source.id}: keys need the program ssh-agent, which is not installed",
            hint="install openssh-client, or name the socket of an agent",
        )
    environment = {"PATH": context.environ.get("PATH") or os.defpath, "SSH_AUTH_SOCK": "agent", "LC_ALL": "C"}
    environment["SSH_ASKPASS_REQUIRE"] = "never"
    # The address is relative: the directory's name may be longer than a socket's may be. The shell waits for the end of
    # its standard input, which comes with the end of this process, however that comes about, and takes the agent along.
    script = '"$1" -D -a agent >/dev/null 2>&1 & cat >/dev/null; kill $!; wait'
    try:
        with subprocess.Popen(
            ["/bin/sh", "-c", script, "sh", program],
            cwd=directory,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ):
            _wait_for(directory / "agent", context)
            for key in source.keys:
                _add(adder, source.id, key, directory, environment)
            yield directory / "agent"
    finally:
        with suppress(FileNotFoundError):
            (directory / "agent").unlink()
        with suppress(OSError):
            directory.rmdir()


def _wait_for(path: Path, context: Context) -> None:
    poller = select.poll()
    poller.register(context.cancel.fd, select.POLLIN)
    for _ in range(int(_START_SECONDS * 200)):
        if path.exists():
            return
        poller.poll(5)
        context.cancel.check()
    raise PybuildError("ssh-agent could not be started", hint="name the socket of an agent: --ssh default=SOCKET")


def _add(program: str, identifier: str, key: Path, directory: Path, environment: Mapping[str, str]) -> None:
    """Have the agent in `directory` take a key."""
    added = subprocess.run(
        [program, "-q", os.fspath(key)],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        start_new_session=True,
        timeout=_START_SECONDS,
        check=False,
    )
    if added.returncode:
        said = added.stderr.decode(errors="replace").strip().splitlines() or ["it gave no reason"]
        raise PybuildError(
            f"--ssh {identifier}: the key {key} cannot be used: {said[-1]}",
            hint="keys must be 0600 and without a passphrase; give --ssh an agent's socket for others",
        )


def _connect(path: Path) -> socket.socket:
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(f"/proc/self/fd/{directory}/{path.name}")
    except BaseException:
        connection.close()
        raise
    finally:
        os.close(directory)
    return connection


def _serve(listener: socket.socket, agent: Path, stop: int) -> None:
    """Take connections until `stop` is closed on the other side; then cut those that are left."""
    connections: list[tuple[threading.Thread, socket.socket]] = []
    poller = select.poll()
    poller.register(listener, select.POLLIN)
    poller.register(stop, select.POLLIN)
    while True:
        ready = {fd for fd, _ in poller.poll()}
        if stop in ready:
            break
        with suppress(OSError):
            client, _ = listener.accept()
            connections = [pair for pair in connections if pair[0].is_alive()]
            if len(connections) >= _MOST:
                client.close()
                continue
            thread = threading.Thread(target=_relay, args=(client, agent), daemon=True)
            connections.append((thread, client))
            thread.start()
    for thread, client in connections:
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
        thread.join(_START_SECONDS)


def _relay(client: socket.socket, agent: Path) -> None:
    """Pass on one client's requests, one after the other, and refuse those that change something."""
    with client, suppress(OSError), _connect(agent) as upstream:
        while message := _message(client):
            if message[4] in _ALLOWED:
                upstream.sendall(message)
                answer = _message(upstream)
                if not answer:
                    return
                client.sendall(answer)
            else:
                client.sendall(_FAILURE)


def _message(stream: socket.socket) -> bytes:
    """Read one message with its length; b"" at the end, and for one that is none."""
    head = _exactly(stream, 4)
    size = int.from_bytes(head, "big")
    if len(head) < 4 or not 1 <= size <= _LONGEST:
        return b""
    body = _exactly(stream, size)
    return head + body if len(body) == size else b""


def _exactly(stream: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := stream.recv(size - len(data))):
        data += piece
    return data
