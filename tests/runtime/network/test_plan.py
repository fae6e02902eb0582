"""Plans: what a mode that is asked for comes to."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from frozen import replace
from runtime.context import Context
from runtime.errors import NotFound, UsageError
from runtime.network import attach, rootless
from runtime.network.plan import plan
from runtime.store import Store


def test_a_container_without_network_gets_no_address(context: Context, store: Store) -> None:
    with plan(context, store, "none", owner="container:a", hostname="box") as found:
        assert found.document == {"mode": "none"}
        assert (found.address, found.gateway, found.mac, found.users_fd) == (None, None, None, None)
        assert "box" not in found.hosts


def test_nothing_is_done_for_a_container_in_the_hosts_network(context: Context, store: Store) -> None:
    with plan(context, store, "host", owner="container:a") as found:
        assert found.document == {"mode": "host"}
        attach.attach(found.document, os.getpid())
        attach.leave(found.document)


def test_without_a_network_host_gateway_is_the_default_bridge(context: Context, store: Store) -> None:
    with plan(context, store, "none", owner="container:a", add_hosts=("me:host-gateway",)) as found:
        assert re.search(r"(?m)^(\d+\.){3}1\tme$", found.hosts)


def test_an_unknown_mode_is_shown_with_those_that_exist(context: Context, store: Store) -> None:
    with pytest.raises(NotFound, match="brigde") as caught, plan(context, store, "brigde", owner="container:a"):
        pass
    assert caught.value.hint is not None
    assert "bridge" in caught.value.hint


def test_a_name_server_must_be_an_address(context: Context, store: Store) -> None:
    with (
        pytest.raises(UsageError, match="not-an-address"),
        plan(context, store, "none", owner="container:a", dns=("not-an-address",)),
    ):
        pass


def test_a_helper_is_had_by_its_name(
    context: Context, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rootless, "_TUN", "/dev/null")
    (tmp_path / "pasta").touch(mode=0o755)
    user = replace(context, rootless=True, environ={"PATH": str(tmp_path)})
    with plan(user, store, "pasta", owner="container:a") as found:
        assert found.mode == "pasta"
        assert Path(found.document["place"]).is_file()
        assert found.document["command"][0] == f"{tmp_path}/pasta"
        json.dumps(found.document)


@pytest.mark.userns
@pytest.mark.parametrize(("flags", "apart"), [("-Ur", True), ("-Urn", False)])
def test_bridges_have_a_namespace_of_their_own_where_ours_is_ruled_by_others(
    flags: str, apart: bool, tmp_path: Path
) -> None:
    script = """
import os, sys
from pathlib import Path
from runtime.context import Context, Layout
from runtime.network import rootless
from runtime.network.plan import plan
from runtime.store import Store
rootless._TUN = "/dev/null"
root = Path(sys.argv[1])
context = Context(layout=Layout(root=root, run=root / "run", key="0123456789"), environ=os.environ, rootless=False)
with Store.open(context) as store, plan(context, store, owner="step:1") as found:
    print(found.mode, "namespace" in found.document)
"""
    (tmp_path / "pasta").write_text("#!/bin/sh\n")
    (tmp_path / "pasta").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = ("unshare", flags, sys.executable, "-c", script, str(tmp_path / "root"))
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert done.stdout == f"bridge {apart}\n"
