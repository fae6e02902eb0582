"""Machines that share a cache through a registry, and machines that make one image on their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.programs import Program
from tests.integration.steps import build, rebuilt

pytestmark = [pytest.mark.root, pytest.mark.userns, pytest.mark.overlay]

TEXT = (
    "FROM box AS one\nCOPY big /big\nRUN --network=none wc -c < /big > /count\n"
    "FROM box\nCOPY --from=one /count /count\nRUN --network=none cat /count > /seen\n"
)


@contextmanager
def registry(program: Program) -> Iterator[str]:
    """Serve a registry on the loopback device; gives HOST:PORT."""
    pytest.importorskip("aiohttp")
    command = program.command("registry", "serve", "--host", "127.0.0.1:0")
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        assert process.stderr is not None
        line = process.stderr.readline().decode()
        found = re.search(r"http://(127\.0\.0\.1:\d+)", line)
        assert found, line
        yield found[1]
    finally:
        process.terminate()
        assert process.wait(60) == 0
        process.stderr.close()  # type: ignore[union-attr]


@pytest.fixture
def machines(twins: tuple[Program, Program]) -> tuple[Program, Program]:
    """Return root's and a user's program with one and the same image `box`: each import has its own time."""
    first, second = twins
    second("load", input=first("save", "box").stdout)
    return twins


def test_a_second_machine_takes_everything_from_the_registry(machines: tuple[Program, Program]) -> None:
    first, second = machines
    files = {"Dockerfile": TEXT, "big": "x" * 300_000}
    site, other = first.directory("site", files), second.directory("site", files)
    with registry(first) as host:
        wish = f"type=registry,ref={host}/cache:main,mode=max"
        image = first.text("build", "-q", "--cache-to", wish, site)
        assert rebuilt(build(second, other, "--cache-from", f"{host}/cache:main")) == []
        assert second.text("build", "-q", other) == image


def test_an_image_in_the_registry_is_a_cache_itself(twins: tuple[Program, Program]) -> None:
    first, second = twins
    files = {"Dockerfile": "FROM box\nCOPY big /big\nRUN --network=none echo hi > /hi\n", "big": "x" * 1000}
    site, other = first.directory("site", files), second.directory("site", files)
    with registry(first) as host:
        first("build", "-q", "--push", "-t", f"{host}/app:1", "--cache-to", "type=inline", site)
        assert rebuilt(build(second, other, "--cache-from", f"type=registry,ref={host}/app:1")) == []


def test_a_dead_registry_is_a_warning_for_a_cache_and_an_error_for_an_export(box: Program) -> None:
    site = box.directory("site", {"Dockerfile": "FROM box\nENV A=1\nWORKDIR /w\n"})
    place = "127.0.0.1:1/cache:main"
    said = box("build", "--cache-from", place, site).stderr.decode()
    assert f"WARN: cache {place}" in said
    failed = box("build", "-t", "app", "--cache-to", f"type=registry,ref={place}", site, status=1).stderr.decode()
    assert "127.0.0.1:1" in failed
    assert box.text("images", "-q", "app")
    assert (
        "was not written"
        in box("build", "--cache-to", f"type=registry,ref={place},ignore-error=true", site).stderr.decode()
    )


def test_root_and_user_in_two_directories_make_one_image_at_two_times(machines: tuple[Program, Program]) -> None:
    text = (
        "FROM box\nCOPY sub /sub\nWORKDIR /made/here\nRUN --network=none echo hi > /hi; mkdir -p /a/b; touch /a/b/c\n"
        "COPY <<x /x\ninline\nx\n"
    )
    digests = []
    for number, program in enumerate(machines):
        site = program.directory(f"site{number}", {"Dockerfile": text, "sub/a": "1", "sub/b": "2"})
        for path in Path(site).rglob("*"):
            os.utime(path, (10**9 + number * 3600, 10**9 + number * 3600))
        words = ("-q", "--timestamp", "1000000", "-o", "type=oci,dest=out.tar", "--metadata-file", "facts.json")
        program("build", *words, ".", cwd=site)
        digests.append(json.loads((site / "facts.json").read_text())["containerimage.digest"])
        time.sleep(1.1)
    assert digests[0] == digests[1]
