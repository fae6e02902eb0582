"""pybuild answers as docker does: the same lines typed, the same output, documents, exit statuses and messages.

Where a docker answers, it plays each script now; elsewhere its outcomes are those in `recorded.json` (written by
running these tests with `--record`). Where pybuild means to differ, the script says so beside the line, and why.
podman plays the scripts when they are recorded: where it agrees with docker a difference of ours would be a surprise
to everybody, so none is declared there without saying so.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.integration.differential_run import (
    container_scripts,
    flag_scripts,
    further_scripts,
    life_scripts,
    list_scripts,
    network_scripts,
    object_scripts,
    seldom_scripts,
    stream_scripts,
    volume_scripts,
    wire_scripts,
)
from tests.integration.differential_run.scripts import IMAGE, Outcome, Script, play
from tests.integration.programs import Program

pytestmark = [pytest.mark.root, pytest.mark.overlay, pytest.mark.netadmin]

SCRIPTS = tuple(
    script
    for scripts in (
        container_scripts,
        flag_scripts,
        list_scripts,
        object_scripts,
        stream_scripts,
        further_scripts,
        life_scripts,
        network_scripts,
        volume_scripts,
        seldom_scripts,
        wire_scripts,
    )
    for script in scripts.SCRIPTS
)
RECORDED = Path(__file__).with_name("recorded.json")
_CHANGES = (
    'CMD ["sh"]',
    "ENV PATH=/usr/bin:/bin",
    "ENV GREETING=hello",
    "LABEL maker=pbc",
    "WORKDIR /root",
    "EXPOSE 80",
)
_BOX_SIZE = b"BOXSIZE"
"""Stands for the size of the image, which is that of the busybox that a machine has."""
_FAILED = frozenset((1, 64, 125))
_USAGE = frozenset((2, 125))
"""Statuses of wrong usage here, where docker's client and engine have several for it."""


class Peer:
    """A program with docker's command line; `prefix` is where it sees this machine's files."""

    def __init__(self, words: Sequence[str], prefix: str = "") -> None:
        self.words = tuple(words)
        self.prefix = prefix
        self._size: re.Pattern[bytes] | None = None

    def run(self, words: Sequence[str], stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        """Run it; what does not end is ended after two minutes, with a status that nothing else has."""
        try:
            result = subprocess.run(
                [*self.words, *words],
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                capture_output=True,
                check=False,
                timeout=110,
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(words, 999, b"", b"it does not end")
        if self._size is not None:
            result.stdout = self._size.sub(_BOX_SIZE, result.stdout)
        return result

    def bring(self, busybox: Path) -> None:
        """Give it the image that all scripts run."""
        changes = [word for change in _CHANGES for word in ("--change", change)]
        result = self.run(["import", *changes, "-", IMAGE], busybox.read_bytes())
        assert result.returncode == 0, result.stderr
        size = self.run(["images", "--format", "{{.Size}}", IMAGE]).stdout.strip()
        assert size
        self._size = re.compile(rb"(?<![0-9.])" + re.escape(size))

    def clean(self, pod: str) -> None:
        """Take away what a script has left: all that has a name beginning with `pod`."""
        self._each(["ps", "-aq", "--filter", f"name={pod}"], ["rm", "-fv"])
        for kind in ("volume", "network"):
            self._each([kind, "ls", "-q", "--filter", f"name={pod}"], [kind, "rm"])
        for pattern in (pod, f"{pod}-*"):
            names = ["images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference={pattern}"]
            self._each(names, ["rmi", "-f"])

    def _each(self, listing: list[str], removing: list[str]) -> None:
        found = self.run(listing).stdout.decode().split()
        if found:
            self.run([*removing, *found])


def _peer(variable: str, default: str, busybox: Path) -> Peer | None:
    peer = Peer(shlex.split(os.environ.get(variable, default)), os.environ.get("PYBUILD_TEST_DOCKER_PREFIX", ""))
    try:
        if peer.run(["info"]).returncode:
            return None
    except OSError:
        return None
    peer.bring(busybox)
    return peer


@pytest.fixture(scope="module")
def docker(busybox: Path) -> Peer | None:
    """Return a docker that answers (`PYBUILD_TEST_DOCKER` has its words)."""
    return _peer("PYBUILD_TEST_DOCKER", "docker", busybox)


@pytest.fixture(scope="module")
def podman(busybox: Path, pytestconfig: pytest.Config) -> Peer | None:
    """Return a podman that answers (`PYBUILD_TEST_PODMAN` has its words); only recording asks for it."""
    return _peer("PYBUILD_TEST_PODMAN", "podman", busybox) if pytestconfig.getoption("--record") else None


@pytest.fixture(scope="module")
def pybuild_peer(busybox: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """Return the program under test with a root of its own."""
    program = Program(home=tmp_path_factory.mktemp("differential-run"))
    peer = Peer(program.command())
    peer.bring(busybox)
    yield peer
    peer.clean("pbc-")


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    return loaded


def _played(peer: Peer, script: Script, directory: Path) -> list[Outcome]:
    directory.mkdir()
    peer.clean(f"pbc-{script.name}")
    try:
        return play(script, peer.run, directory, program=shlex.join(peer.words), prefix=peer.prefix)
    finally:
        peer.clean(f"pbc-{script.name}")


def _told(outcome: Outcome) -> dict[str, Any]:
    return {"status": outcome.status, "output": outcome.output}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_the_answers_are_those_of_docker(
    script: Script,
    pybuild_peer: Peer,
    docker: Peer | None,
    podman: Peer | None,
    recorded: dict[str, Any],
    tmp_path: Path,
    request: pytest.FixtureRequest,
    missing: Callable[[str], None],
) -> None:
    if docker is not None:
        outcomes = _played(docker, script, tmp_path / "docker")
        for line, outcome in zip(script.lines, outcomes, strict=True):
            assert line.message in outcome.message, f"docker says something else: {line.text}: {outcome.message}"
        theirs = [_told(outcome) for outcome in outcomes]
        if request.config.getoption("--record"):
            agreed = _played(podman, script, tmp_path / "podman") if podman is not None else []
            same = [_told(outcome) == their for outcome, their in zip(agreed, theirs, strict=False)]
            recorded[script.name] = [
                {"line": line.text, **their, **({"podman": same[number]} if same else {})}
                for number, (line, their) in enumerate(zip(script.lines, theirs, strict=True))
            ]
            RECORDED.write_text(json.dumps(recorded, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    elif [entry["line"] for entry in recorded.get(script.name, ())] == [line.text for line in script.lines]:
        theirs = recorded[script.name]
    else:
        missing("a docker, or recorded outcomes of these lines")
    ours = _played(pybuild_peer, script, tmp_path / "ours")
    wrong = []
    for line, our, their in zip(script.lines, ours, theirs, strict=True):
        declared = any(line.text.startswith(text) for text in script.differences)
        fits = our.status == their["status"] or (our.status in _USAGE and their["status"] in _FAILED)
        if declared:
            if fits and our.output == their["output"]:
                wrong.append(f"{line.text}\n  is no difference any more")
        elif not fits or our.output != their["output"] or line.message not in our.message:
            wrong.append(
                f"{line.text}\n  docker [{their['status']}] {their['output']}\n"
                f"  ours   [{our.status}] {our.output}\n  {our.message}"
            )
    assert not wrong, "\n".join(wrong)


def test_every_declared_difference_belongs_to_a_line_and_has_a_reason() -> None:
    for script in SCRIPTS:
        for text, reason in script.differences.items():
            assert any(line.text.startswith(text) for line in script.lines), f"{script.name}: {text}"
            assert len(reason) > 10, f"{script.name}: {text}"
