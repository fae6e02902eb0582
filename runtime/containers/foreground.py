"""Run a container that was made: in the foreground until its end, or left to its monitor."""

from __future__ import annotations

import signal
from contextlib import suppress

from runtime.containers import protocol
from runtime.containers.client import Outcome, Session
from runtime.containers.records import Container, Containers
from runtime.containers.removal import remove, remove_after_run
from runtime.containers.start import MonitorProcess, start
from runtime.containers.terminal import window
from runtime.errors import Cancelled, Conflict, NotFound, PybuildError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.store.images import Image


_PATIENCE = 2.0
"""Seconds that a killed monitor may take to let go of its lock."""


class StartFailed(PybuildError):
    """The command could not be started; `exit_code` is 125, 126 or 127."""

    def __init__(self, message: str, *, exit_code: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


def run_attached(  # noqa: PLR0913  all but the last two are what is run
    containers: Containers,
    container: Container,
    image: Image,
    alive: int,
    monitor: MonitorProcess,
    *,
    proxy: bool,
    keys: bytes,
    streams: int | None = None,
    made: bool = True,
) -> int:
    """Start the container and be its terminal until it ends; returns its exit code.

    `streams` (protocol.IN, OUT, ERR) are those to attach, by default those that it was made with. One that was not
    `made` for this stays where it cannot be started.

    A `--rm` container is gone afterwards, whatever happened. Detaching, or a signal where signals are not passed on,
    leaves it running: the codes are 0 and 128+n. Raises StartFailed.
    """
    config = container.config
    tty = config.get("Tty", False)
    attached = (
        (protocol.IN if config.get("AttachStdin") else 0)
        | (protocol.OUT if config.get("AttachStdout") else 0)
        | (protocol.ERR if config.get("AttachStderr") else 0)
    )
    if streams is not None:
        attached = streams
    stdin = 0 if attached & protocol.IN and config.get("OpenStdin") else None
    size = (window(1) or window(0)) if tty else None
    _start(containers, container, image, alive, monitor, attached, size, made=made)
    session = Session(
        monitor.control,
        tty=tty,
        stdin=stdin,
        proxy=proxy,
        keys=keys,
        started=lambda _pid: containers.started(container),
    )
    early = containers.store.context.cancel.signal
    if early:
        session.forward(early)
    with containers.store.idle():
        outcome = session.run()
    code = _conclude(containers, container, outcome, monitor)
    if session.output_error is not None:
        raise StartFailed(f"output was lost: {session.output_error.strerror}", exit_code=code or 125)
    return code


def run_detached(
    containers: Containers,
    container: Container,
    image: Image,
    alive: int,
    monitor: MonitorProcess,
    *,
    made: bool = True,
) -> None:
    """Start the container and leave it to its monitor. Raises StartFailed. `made` is as for run_attached."""
    _start(containers, container, image, alive, monitor, 0, None, made=made)
    outcome = Session(monitor.control, tty=False, until_started=True).run()
    if outcome.kind == "started":
        containers.started(container)
    else:
        _conclude(containers, container, outcome, monitor)


def _start(
    containers: Containers,
    container: Container,
    image: Image,
    alive: int,
    monitor: MonitorProcess,
    attached: int,
    size: tuple[int, int] | None,
    *,
    made: bool,
) -> None:
    try:
        start(containers, container, image, alive, monitor, attached=attached, window=size)
    except BaseException as error:
        monitor.control.close()  # the monitor ends when it gets no plan
        if not made:
            if isinstance(error, PybuildError) and not isinstance(error, Cancelled):
                _note(containers, container, error.message)
            raise
        with suppress(NotFound, Conflict):
            remove(containers, container.id, volumes=True)  # it was made for this run, and nothing ran in it
        raise


def _note(containers: Containers, container: Container, reason: str) -> None:
    """Record why a container that does not run could not be started; one that never ran has the status of that."""
    with containers.database.write() as connection:
        connection.execute(
            "UPDATE containers SET error = ?, exit_code = CASE state WHEN 'created' THEN 128 ELSE exit_code END"
            " WHERE id = ? AND state IN ('created', 'exited')",
            (reason, container.id),
        )


def _conclude(containers: Containers, container: Container, outcome: Outcome, monitor: MonitorProcess) -> int:
    """Record the end and remove what was to be removed; returns the exit code."""
    if outcome.kind in ("detached", "signalled"):
        return outcome.code
    if outcome.kind == "failed":
        containers.failed(container, exit_code=outcome.code, error=outcome.text)
    elif not container.auto_remove:
        # One that is not at rest was started again, by its monitor or by somebody. A monitor that was killed is cut off
        # from us a moment before its lock is free.
        containers.conclude(container.id, patience=_PATIENCE if outcome.kind == "lost" else 0)
    _remove_if_asked(containers, container)
    if outcome.kind == "failed":
        raise StartFailed(outcome.text, exit_code=outcome.code)
    if outcome.kind == "lost":
        words = monitor.last_words()
        what = f"failed ({words})" if words else "was killed"
        raise StartFailed(
            f"the monitor of container {container.name} {what}, and the container with it",
            exit_code=125 if words else 128 + signal.SIGKILL,
        )
    if outcome.text:
        raise StartFailed(f"the monitor of container {container.name} failed: {outcome.text}", exit_code=outcome.code)
    return outcome.code


def _remove_if_asked(containers: Containers, container: Container) -> None:
    if container.auto_remove:
        remove_after_run(containers, container.id)
