"""`/.dockerenv`: how programs learn that they run in a container, and in what an image never has it."""

from __future__ import annotations

import pytest

from tests.integration.programs import Program

pytestmark = [pytest.mark.root, pytest.mark.overlay]

SHOWN = ("stat", "-c", "%F %a %u %s", "/.dockerenv")


def test_a_container_has_the_mark_and_its_image_does_not(box: Program) -> None:
    words = ("--network", "none", "--name", "marked")
    assert box.text("run", *words, "box", *SHOWN) == "regular empty file 755 0 0"
    assert box.text("diff", "marked") == ""
    box("commit", "marked", "made")
    assert box.text("history", "--format", "{{.Size}}", "made").splitlines()[0] == "0B"
    box("rm", "marked")


def test_an_image_keeps_the_mark_that_it_has(box: Program) -> None:
    context = box.directory("context", {"Dockerfile": "FROM box\nRUN ! test -e /.dockerenv\nCOPY mark /.dockerenv\n"})
    (context / "mark").write_text("own")
    box("build", "-q", "--network", "none", "-t", "own", context)
    assert box.text("run", "--rm", "--network", "none", "own", "cat", "/.dockerenv") == "own"
