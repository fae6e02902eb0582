"""Start containers with flags, and read what came of those."""

from __future__ import annotations

from pathlib import Path

from runtime.sandbox import cgroups
from tests.integration.programs import Program

ONE = ("run", "--rm", "--network", "none")
SLEEP = ("sleep", "1000")


def shell(box: Program, *words: str, command: str) -> list[str]:
    """Run a shell command in a container with these flags; returns the lines that it printed."""
    return box.text(*ONE, *words, "box", "sh", "-c", command).splitlines()


def started(box: Program, name: str, *words: str) -> str:
    return box.text("run", "-d", "--network", "none", "--name", name, *words)


def refusal(box: Program, *words: str) -> str:
    """Run a container that cannot be had; returns the message. Nothing of it may be left."""
    before = box.text("ps", "-aq"), box.text("volume", "ls", "-q")
    result = box(*ONE, *words, status=125)
    assert result.stdout == b""
    assert (box.text("ps", "-aq"), box.text("volume", "ls", "-q")) == before
    message = result.stderr.decode()
    assert "Traceback" not in message
    assert message.startswith("pybuild: ")
    return message


def limits(box: Program, *words: str, files: dict[str, tuple[str, str]]) -> dict[str, str]:
    """Start a container and read files of its control groups: name to (controller, file of version 1 or 2)."""
    container = started(box, "limited", *words, "box", *SLEEP)
    found = {}
    for hierarchy in cgroups.hierarchies():
        directory = Path(hierarchy.directory, f"pybuild-{box.key}-{container}")
        for name, (controller, file) in files.items():
            if controller in hierarchy.controllers and (directory / file).exists():
                found[name] = (directory / file).read_text().strip()
    box("rm", "-f", "limited")
    return found


def on_version_1(controller: str) -> bool:
    return any(controller in found.controllers for found in cgroups.hierarchies() if found.version == 1)
