"""A store that is open for the length of a test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runtime.context import Context
from runtime.store import Store


@pytest.fixture
def store(context: Context) -> Iterator[Store]:
    with Store.open(context) as opened:
        yield opened
