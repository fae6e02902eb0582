"""Write and read what a monitor says of its container while it runs: restarts and health; standard library alone.

`condition` holds one line of text, `RESTARTING RESTARTS HEALTH FAILING`, and changes by rename. `journal` gets a line
for each event that the monitor alone sees, `TIME_NS ACTION NAME=VALUE…` with tabs between; commands fold it into the
events of the database. Monitors do not write there: it would cost each of them a database.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


class Condition:
    """`health` is empty for a container without a check; `failing` counts failures since the last success."""

    __slots__ = ("failing", "health", "restarting", "restarts")

    def __init__(self, *, restarting: bool = False, restarts: int = 0, health: str = "", failing: int = 0) -> None:
        self.restarting = restarting
        self.restarts = restarts
        self.health = health
        self.failing = failing

    def health_in(self, state: str) -> str:
        """Return the health of a container in a state: with Docker, what nobody checks any more is unhealthy."""
        return self.health if state in ("running", "restarting") or not self.health else "unhealthy"


def write_condition(directory_fd: int, condition: Condition) -> None:
    """Leave word; on a full disk the last one stays."""
    line = f"{int(condition.restarting)} {condition.restarts} {condition.health or '-'} {condition.failing}\n"
    try:
        fd = os.open("condition.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600, dir_fd=directory_fd)
        try:
            os.write(fd, line.encode())
        finally:
            os.close(fd)
        os.rename("condition.new", "condition", src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
    except OSError:
        pass


def read_condition(directory: Path) -> Condition:
    """Return what the monitor said last; where it has said nothing, that nothing happened."""
    try:
        with open(directory / "condition", encoding="utf-8") as file:
            restarting, restarts, health, failing = file.read().split()
        return Condition(
            restarting=restarting == "1",
            restarts=int(restarts),
            health="" if health == "-" else health,
            failing=int(failing),
        )
    except (OSError, ValueError):
        return Condition()


def write_journal(directory_fd: int, time: int, action: str, **attributes: str) -> None:
    """Append one event; on a full disk it is lost."""
    words = [str(time), action, *(f"{name}={value}" for name, value in attributes.items())]
    line = "\t".join(word.replace("\t", " ").replace("\n", " ") for word in words) + "\n"
    try:
        fd = os.open("journal", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600, dir_fd=directory_fd)
        try:
            os.write(fd, line.encode("utf-8", "surrogateescape"))
        finally:
            os.close(fd)
    except OSError:
        pass


def read_journal(directory: Path, offset: int) -> tuple[list[tuple[int, str, dict[str, str]]], int]:
    """Return the events behind `offset` (time, action, attributes) and the offset of what comes next."""
    try:
        with open(directory / "journal", "rb") as file:
            file.seek(offset)
            data = file.read()
    except OSError:
        return [], offset
    whole = data[: data.rfind(b"\n") + 1]
    events = []
    for line in whole.decode("utf-8", "replace").splitlines():
        time, action, *pairs = line.split("\t")
        events.append((int(time), action, dict(pair.split("=", 1) for pair in pairs)))
    return events, offset + len(whole)
