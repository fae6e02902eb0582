"""A bench that builds in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.context import Context
from tests.builder.benches import Bench


@pytest.fixture
def bench(context: Context, tmp_path: Path) -> Bench:
    directory = tmp_path / "context"
    directory.mkdir()
    return Bench(context=context, directory=directory)
