"""The program with an image, for every test of flags."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.programs import Program


@pytest.fixture
def box(pybuild: Program, busybox: Path) -> Iterator[Program]:
    """Return the program, as root and as a user, with an image `box`; containers are removed at the end."""
    pybuild("import", "-", "box", input=busybox.read_bytes())
    yield pybuild
    ids = pybuild.text("ps", "-aq").split()
    if ids:
        pybuild("rm", "-fv", *ids)
