"""A container that its monitor starts again is on the networks of the moment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from runtime.network import rejoining

FIRST = {"bridge": 3, "port": "pb2", "mac": "02:42:00:00:00:02", "address": 2, "gateway": 1, "prefix": 24, "mtu": 1400}
SECOND = {**FIRST, "bridge": 4, "port": "pb3", "address": 3, "gateway": 0}
LATER = {**FIRST, "bridge": 5, "port": "pb4", "address": 4, "gateway": 7, "link": "net"}
PLAN = {"mode": "bridge", "key": "k", "sockets": [], "table": "old", **FIRST, "others": [SECOND]}


def _current(document: dict[str, Any], directory: Path) -> dict[str, Any]:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return rejoining.current(document, fd)
    finally:
        os.close(fd)


def test_without_a_change_the_plan_is_as_it_was(tmp_path: Path) -> None:
    assert _current(PLAN, tmp_path) is PLAN


def test_a_network_that_was_left_is_gone_and_one_that_was_joined_is_there(tmp_path: Path) -> None:
    changes = {"ports": ["pb3", "pb4"], "joined": [LATER], "gateways": {"pb3": [9, 0]}, "more": {"table": "new"}}
    rejoining.leave_word(str(tmp_path), changes)
    way = {**SECOND, "gateway": 9, "gateway6": 0}
    other = {**LATER, "gateway": 0, "gateway6": 0}
    assert _current(PLAN, tmp_path) == {
        "mode": "bridge",
        "key": "k",
        "sockets": [],
        "table": "new",
        **way,
        "others": [other],
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["networks"]


def test_a_container_of_none_gets_what_it_has_joined(tmp_path: Path) -> None:
    more = {"mode": "bridge", "key": "k", "locks": "/l"}
    rejoining.leave_word(
        str(tmp_path), {"ports": ["pb4"], "joined": [LATER], "gateways": {"pb4": [7, 8]}, "more": more}
    )
    assert _current({"mode": "none"}, tmp_path) == {**more, **LATER, "gateway6": 8, "others": []}


def test_one_that_has_left_all_has_none(tmp_path: Path) -> None:
    rejoining.leave_word(str(tmp_path), {"ports": [], "joined": [], "gateways": {}, "more": {}})
    assert _current(PLAN, tmp_path) == {"mode": "bridge", "key": "k", "sockets": [], "table": "old", "others": []}
