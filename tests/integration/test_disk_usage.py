"""`pybuild system df` tells what there is, what of it is in use, and what it takes."""

from __future__ import annotations

import json

import pytest

from tests.integration.programs import Program

pytestmark = [pytest.mark.root, pytest.mark.overlay]


def _summary(program: Program) -> dict[str, dict[str, str]]:
    lines = program.text("system", "df", "--format", "json").splitlines()
    return {row["Type"]: row for row in map(json.loads, lines)}


def test_what_is_used_is_told_from_what_could_go(box: Program) -> None:
    free = _summary(box)
    assert free["Images"]["TotalCount"] == "1"
    assert free["Images"]["Active"] == "0"
    assert free["Images"]["Reclaimable"].endswith("(100%)")
    words = ("run", "-d", "--name", "one", "--network", "none", "-v", "data:/data")
    script = "head -c 3000000 /dev/zero > /big; head -c 50000 /dev/zero > /data/f; echo > /dev/shm/made; sleep 1000"
    box(*words, "box", "sh", "-c", script)
    try:
        box("create", "--name", "two", "box", "true")
        box("exec", "one", "sh", "-c", "until [ -e /dev/shm/made ]; do sleep 0.1; done")
        used = _summary(box)
        assert (used["Images"]["Active"], used["Images"]["Reclaimable"]) == ("1", "0B (0%)")
        assert (used["Containers"]["TotalCount"], used["Containers"]["Active"]) == ("2", "1")
        assert used["Containers"]["Size"] == "3MB"
        assert used["Containers"]["Reclaimable"] == "0B (0%)"
        assert (used["Local Volumes"]["Active"], used["Local Volumes"]["Size"]) == ("1", "50kB")
        told = json.loads(box.text("system", "df", "-v", "--format", "json"))
        assert [(row["Names"], row["Size"]) for row in told["Containers"]] == [("two", "0B"), ("one", "3MB")]
        assert told["Volumes"] == [{"Name": "data", "Links": "1", "Size": "50kB"}]
        assert [row["Containers"] for row in told["Images"]] == ["2"]
        shown = box.text("system", "df", "-v")
        for title in ("Images", "Containers", "Local Volumes"):
            assert f"{title} space usage:" in shown
    finally:
        box("rm", "-fv", "one", "two")
    assert _summary(box)["Local Volumes"]["Reclaimable"] == "50kB (100%)"
