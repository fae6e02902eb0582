"""pybuild makes the image that BuildKit makes: config, history, layers and tree.

Where a docker with BuildKit answers, it builds the same Dockerfile now; elsewhere its results are those recorded in
`recorded.json` (written by running this file's tests with `--record`). What docker 28 makes something else of (`newer`)
is built by the buildx builder that `PYBUILD_TEST_BUILDER` names, if it does: one that finds BASE in a registry.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import shlex
import subprocess
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
import zstandard

from tests.integration.differential.archive_cases import ARCHIVES, OUTSIDE
from tests.integration.differential.cases import BASE, CASES, SOURCE_TIME, Case, Member, Special
from tests.integration.differential.corner_cases import CORNER_FAULTS, CORNERS
from tests.integration.differential.describe import describe
from tests.integration.differential.fault_cases import FAULTS
from tests.integration.differential.file_cases import FILES
from tests.integration.differential.language_cases import LANGUAGE
from tests.integration.differential.newer_cases import NEWER, NEWER_FAULTS
from tests.integration.differential.project_cases import PROJECTS
from tests.integration.differential.run_cases import RUNS
from tests.integration.programs import Program

RECORDED = Path(__file__).with_name("recorded.json")


def make_archive(members: Sequence[Member], compression: str) -> bytes:
    """Return a tar of `members`, compressed."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member in members:
            entry = tarfile.TarInfo(member.name)
            entry.type, entry.mode, entry.linkname, entry.mtime = member.kind, member.mode, member.link, SOURCE_TIME
            entry.uid, entry.gid = member.owner
            entry.pax_headers = dict(member.attributes)
            content = member.content.encode()
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    data = stream.getvalue()
    match compression:
        case "gz":
            return gzip.compress(data, mtime=0)
        case "bz2":
            return bz2.compress(data)
        case "xz":
            return lzma.compress(data)
        case "zst":
            return zstandard.compress(data)
        case _:
            return data


def make_context(base: Path, case: Case) -> Path:
    """Write a case's Dockerfile (surrogates stand for bytes) and files; every file has a time of its own, long ago."""
    (base / "Dockerfile").write_bytes(case.text.encode(errors="surrogateescape"))
    for name, file in case.files.items():
        special = file if isinstance(file, Special) else Special(file)
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if special.link:
            path.symlink_to(special.link)
        elif special.hard:
            os.link(base / special.hard, path)
        elif special.fifo:
            os.mkfifo(path)
        elif special.directory:
            path.mkdir()
        elif special.archive is not None:
            path.write_bytes(make_archive(special.archive, special.compression))
        else:
            path.write_text(special.content)
    for name, file in case.files.items():
        special = file if isinstance(file, Special) else Special(file)
        path = base / name
        if not special.link and not special.hard:
            path.chmod(special.mode)
            # BuildKit takes a file of the same name, size and time for the one that it was sent before.
            distinct = crc32(path.read_bytes()) % 10_000_000 if special.archive is not None else 0
            os.utime(path, (special.mtime + distinct, special.mtime + distinct))
    return base


class Docker:
    """A docker with BuildKit: `PYBUILD_TEST_DOCKER` holds its words, `PYBUILD_TEST_DOCKER_PREFIX` its view of `/`.

    `builder` is the buildx builder that builds, empty for docker's own.
    """

    def __init__(self, words: list[str], prefix: str, builder: str = "") -> None:
        self.words = words
        self.prefix = prefix
        self.builder = builder

    def judges(self, case: Case) -> bool:
        """Tell whether this version's result is the one that counts for `case`."""
        return case.newer == bool(self.builder)

    def command(self, case: Case, context: Path, *options: str) -> list[str]:
        """Return the words that build `case`."""
        there = self.prefix + str(context)
        builder = ("--builder", self.builder, "--provenance=false") if self.builder else ()
        return [*self.words, "buildx", "build", *builder, *options, *case.words_in(there), there]

    def build(self, case: Case, context: Path) -> bytes:
        """Build `case`; returns the archive of its image."""
        if self.builder:
            return self(*self.command(case, context, "-o", "type=docker,dest=-")[len(self.words) :])
        self(*self.command(case, context, "-q", "-t", "differential")[len(self.words) :])
        return self("save", "differential")

    def __call__(self, *words: str, stdin: bytes | None = None) -> bytes:
        result = subprocess.run([*self.words, *words], input=stdin, capture_output=True, check=False, timeout=300)
        assert result.returncode == 0, result.stderr.decode(errors="replace")
        return result.stdout


@pytest.fixture(scope="session")
def docker(busybox: Path) -> Docker | None:
    words = shlex.split(os.environ.get("PYBUILD_TEST_DOCKER", "docker"))
    try:
        answer = subprocess.run([*words, "buildx", "version"], capture_output=True, check=False)
        info = subprocess.run([*words, "info"], capture_output=True, check=False)
    except OSError:
        return None
    if answer.returncode or info.returncode:
        return None
    peer = Docker(words, os.environ.get("PYBUILD_TEST_DOCKER_PREFIX", ""), os.environ.get("PYBUILD_TEST_BUILDER", ""))
    peer("import", "-", BASE, stdin=busybox.read_bytes())
    return peer


@pytest.fixture(scope="session")
def program(busybox: Path, tmp_path_factory: pytest.TempPathFactory) -> Program:
    made = Program(home=tmp_path_factory.mktemp("differential"))
    made("import", "-", BASE, input=busybox.read_bytes())
    return made


@pytest.fixture(scope="session")
def recorded() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    return loaded


@pytest.mark.root
@pytest.mark.overlay
@pytest.mark.parametrize(
    "case", [*CASES, *LANGUAGE, *RUNS, *FILES, *ARCHIVES, *CORNERS, *PROJECTS, *NEWER], ids=lambda case: case.name
)
def test_an_image_is_what_buildkit_makes(
    case: Case,
    program: Program,
    docker: Docker | None,
    recorded: dict[str, Any],
    tmp_path: Path,
    request: pytest.FixtureRequest,
    missing: Callable[[str], None],
) -> None:
    context = make_context(tmp_path, case)
    if docker is not None and docker.judges(case):
        theirs = describe(docker.build(case, context), base_layers=_base_layers(case))
        if request.config.getoption("--record"):
            recorded[case.name] = dict(theirs)
            RECORDED.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n")
    elif case.name in recorded:
        theirs = dict(recorded[case.name])
    else:
        missing("a docker with BuildKit, or a recorded result")
    program("build", "-q", "-t", "differential", *case.words_in(str(context)), context)
    ours = describe(program("save", "differential").stdout, base_layers=_base_layers(case))
    # Directories, here-documents and what commands write have the time of the build.
    times_theirs, times_ours = theirs.pop("times"), ours.pop("times")
    kept = {path: time for path, time in times_theirs.items() if time == SOURCE_TIME}
    assert ours == theirs
    assert {path: times_ours[path] for path in kept} == kept


def _base_layers(case: Case) -> int:
    return 0 if case.text.rpartition("FROM")[2].strip().startswith("scratch") else 1


@pytest.mark.root
@pytest.mark.overlay
@pytest.mark.parametrize("case", [*FAULTS, *OUTSIDE, *CORNER_FAULTS, *NEWER_FAULTS], ids=lambda case: case.name)
def test_what_buildkit_refuses_is_refused(
    case: Case,
    program: Program,
    docker: Docker | None,
    recorded: dict[str, Any],
    tmp_path: Path,
    request: pytest.FixtureRequest,
    missing: Callable[[str], None],
) -> None:
    context = make_context(tmp_path, case)
    if docker is not None and docker.judges(case):
        command = docker.command(case, context, "-q")
        built = subprocess.run(command, capture_output=True, check=False, timeout=300).returncode == 0
        if request.config.getoption("--record"):
            recorded[case.name] = {"built": built}
            RECORDED.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n")
    elif case.name in recorded:
        built = recorded[case.name]["built"]
    else:
        missing("a docker with BuildKit, or a recorded result")
    result = program("build", "-q", *case.words_in(str(context)), context, status=None)
    assert (result.returncode == 0) == built, result.stderr.decode()
    assert b"Traceback" not in result.stderr
    assert b"fault of pybuild" not in result.stderr
