"""The program with an image, for every test of flags."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.programs import Program, swept


@pytest.fixture
def box(box: Program) -> Iterator[Program]:
    """Return the program, as root and as a user, with an image `box`; containers are removed at the end."""
    yield from swept(box)
