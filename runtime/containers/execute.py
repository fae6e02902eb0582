"""Run a further command in a container that runs: describe it, hand it to the container's monitor, be its terminal."""

from __future__ import annotations

import marshal
from collections.abc import Sequence

from frozen import Frozen
from runtime.containers import processfile, protocol
from runtime.containers.client import Outcome, Session
from runtime.containers.connection import connect
from runtime.containers.protocol import frame
from runtime.containers.records import Container, Containers
from runtime.containers.refusals import not_running, refuse_restarting
from runtime.containers.terminal import window
from runtime.containers.variables import environment
from runtime.errors import Conflict


class Command(Frozen):
    """What `exec` runs. `env` are `NAME=VALUE`; an empty `user` or `cwd` is the container's own."""

    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    user: str = ""
    cwd: str = ""
    tty: bool = False
    stdin: bool = False
    privileged: bool = False


def describe(
    containers: Containers, container: Container, command: Command, *, running: bool = True
) -> dict[str, object]:
    """Return the launcher's request. Raises NotFound for a user that the container does not know.

    In one that is `running` a command of its own user has what its first process has.
    """
    config = container.config
    first = None
    if running and not command.user and not command.privileged:
        first = processfile.read(containers.directory(container.id))
    if first is None:
        from runtime.containers.identified import first_process  # lazy: 10 ms

        first = first_process(containers, container, command.user, privileged=command.privileged)
    variables = environment(containers, container, first["home"], tty=command.tty)
    own = {entry.partition("=")[0]: entry for entry in (*variables, *command.env)}
    if own["HOME"] == "HOME=":
        own["HOME"] = f"HOME={first['home']}"
    process = {
        **first["process"],
        "args": list(command.args),
        "env": list(own.values()),
        "cwd": command.cwd or config.get("WorkingDir") or "/",
        "terminal": command.tty,
    }
    request: dict[str, object] = {
        "spec": {"process": process, "linux": {}},
        "seccomp": first["seccomp"],
        "init": False,
    }
    size = (window(1) or window(0)) if command.tty else None
    if size is not None:
        request["window"] = list(size)
    return request


def execute(
    containers: Containers, container: Container, command: Command, *, detach: bool = False, keys: bytes = b""
) -> Outcome:
    """Run the command and be its terminal until it ends; with `detach` until it has started.

    Raises Conflict for a container that does not run, is paused, or waits to be started again.
    """
    refuse_restarting(containers, container)
    running = containers.is_running(container)
    if running and containers.state(container) == "paused":
        raise Conflict(
            f"Container {container.name} is paused, unpause the container before exec",
            hint=f"pybuild unpause {container.name}",
        )
    sock = connect(containers, container) if running else None
    if sock is None:
        raise not_running(container)
    attached = 0 if detach else protocol.OUT | protocol.ERR | (protocol.IN if command.stdin else 0)
    identity = containers.store.context.token(64)
    words = f"{command.args[0]} {' '.join(command.args[1:])}"
    plan = {
        "id": identity,
        "words": words,
        "request": describe(containers, container, command),
        "tty": command.tty,
        "stdin": command.stdin and not detach,
        "attached": attached,
    }
    containers.record_event(container, f"exec_create: {words}", execID=identity)
    with sock:
        sock.sendall(frame(protocol.EXEC, marshal.dumps(plan)))
        session = Session(
            sock,
            tty=command.tty and not detach,
            stdin=0 if command.stdin and not detach else None,
            proxy=False,
            keys=keys,
            until_started=detach,
        )
        with containers.store.idle():
            return _told(session.run())


def _told(outcome: Outcome) -> Outcome:
    """Say as Docker does that somebody detached, which is no end of what goes on: status 1."""
    if outcome.kind != "detached":
        return outcome
    return Outcome(kind="detached", code=1, text="read escape sequence")


def attach(
    containers: Containers, container: Container, *, stdin: bool, proxy: bool, keys: Sequence[int] | bytes
) -> Outcome:
    """Be a further terminal of a container that runs, until it ends. Raises Conflict where it does not run.

    One that has a terminal of its own gets what is typed, and no signal of this process (`proxy`).
    """
    refuse_restarting(containers, container)
    if containers.state(container) == "paused":
        raise Conflict(
            "You cannot attach to a paused container, unpause it first", hint=f"pybuild unpause {container.name}"
        )
    sock = connect(containers, container) if containers.is_running(container) else None
    if sock is None:
        raise Conflict(
            "You cannot attach to a stopped container, start it first", hint=f"pybuild start {container.name}"
        )
    wanted = stdin and container.config.get("OpenStdin", False)
    with sock:
        flags = protocol.OUT | protocol.ERR | (protocol.IN if wanted else 0)
        sock.sendall(frame(protocol.ATTACH, bytes((flags,))))
        containers.record_event(container, "attach")
        tty = container.config.get("Tty", False)
        session = Session(sock, tty=tty, stdin=0 if wanted else None, proxy=proxy and not tty, keys=bytes(keys))
        with containers.store.idle():
            outcome = _told(session.run())
    containers.reconcile()
    return outcome
