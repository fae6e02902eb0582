"""The cases of the benchmark program that concern containers which run, each of them once and in small."""

from __future__ import annotations

import pytest

from tests.benchmarks import cases, running
from tests.benchmarks.tools import RUNNING, Tool
from tests.integration.programs import Program, settle

pytestmark = [pytest.mark.root, pytest.mark.overlay, pytest.mark.netadmin]


@pytest.mark.parametrize("case", sorted(RUNNING))
def test_a_case_gives_figures_and_leaves_nothing(box: Program, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if box.user:
        return  # who keeps a container is another process in a namespace of the user's own
    monkeypatch.setattr(running, "REQUESTS", 10)
    monkeypatch.setattr(running, "FLEET", 3)
    box("tag", "box", cases.IMAGE)
    bench = cases.Bench(directory=box.home / "contexts", runs=1, files=(), mebibytes=2)
    figures = dict(cases.CASES[case](bench, Tool(name="pybuild", command=tuple(box.command()))))
    assert figures
    assert all(len(values) == 1 and values[0] > 0 for values in figures.values())
    assert box.text("ps", "-aq") == ""
    assert not settle(box)
