"""Plans of the superuser: from a bridge that is made to a connected container, and nothing left at the end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack

import pytest

from frozen import replace
from runtime.context import Context
from runtime.errors import NetworkError
from runtime.network import attach, cleanup, janitor
from runtime.network.plan import plan
from runtime.store import Store
from tests.runtime.network.machines import OUTSIDE, UPLINK, ask, eventually, ip, left_over, sleeper

pytestmark = [pytest.mark.root, pytest.mark.netadmin, pytest.mark.usefixtures("machine")]

KEY = "0123456789"

_OPEN = """
import os, sys, time
from pathlib import Path
from runtime.context import Context, Layout
from runtime.network import bridge, janitor
from runtime.network.plan import plan
from runtime.network.rtnetlink import Rtnetlink
from runtime.store import Store
root = Path(sys.argv[1])
context = Context(layout=Layout(root=root, run=root / "run", key="0123456789"), environ=os.environ, rootless=False)
"""

_USER = (
    _OPEN
    + """
with Store.open(context) as store, plan(context, store, owner="step:1"):
    print("connected", flush=True)
    time.sleep(1000)
"""
)

_CROWD = (
    _OPEN
    + """
janitor.LINGER = 0
start = janitor._start
def impatient(locks, key, guard, users):
    # A janitor without patience, in a child: the bridge is taken away as often as can be.
    if os.fork() == 0:
        janitor._JANITOR_FD, janitor._USERS_FD = guard, users
        janitor.main(locks, key)
        os._exit(0)
janitor._start = impatient
with Store.open(context) as store:
    for number in range(15):
        with plan(context, store, owner="step:%d" % number) as found:
            with Rtnetlink() as links:
                link = links.link("br-pb0123456789")
                assert link is not None and link.index == found.document["bridge"], "the bridge of a user is gone"
"""
)


@pytest.fixture
def context(context: Context) -> Context:
    """Return a context with the mark that the programs above have, too."""
    return replace(context, layout=replace(context.layout, key=KEY))


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let janitors wait longer than a busy machine keeps a test from its next line."""
    main = "from runtime.network.janitor import main;"
    assert main in janitor._START
    slow = "from runtime.network import janitor; janitor.LINGER = 3; main = janitor.main;"
    monkeypatch.setattr(janitor, "_START", janitor._START.replace(main, slow))


def held_addresses(store: Store) -> list[str]:
    return [row[0] for row in store.database.read("SELECT owner FROM network_leases ORDER BY address")]


@pytest.mark.usefixtures("patient")
def test_a_step_reaches_the_outside_and_leaves_nothing(context: Context, store: Store, container: int) -> None:
    with plan(context, store, owner="step:1", hostname="box", add_hosts=("up:host-gateway",)) as found:
        json.dumps(found.document)
        assert f"{found.address}\tbox\n" in found.hosts
        assert f"{found.gateway}\tup\n" in found.hosts
        attach.attach(found.document, container)
        assert ask(OUTSIDE, pid=container) == UPLINK
        assert held_addresses(store) == ["step:1"]
    assert held_addresses(store) == []
    assert left_over(KEY) != [], "the bridge stays for a moment, for the next step"
    subprocess.run(("kill", "-9", str(container)), check=True)
    assert eventually(lambda: left_over(KEY) == [])


def test_an_error_in_the_block_leaves_nothing_either(context: Context, store: Store) -> None:
    with pytest.raises(RuntimeError), plan(context, store, owner="step:1"):
        raise RuntimeError
    assert held_addresses(store) == []
    assert eventually(lambda: left_over(KEY) == [])


@pytest.mark.usefixtures("patient")
def test_a_loop_of_steps_keeps_its_bridge(context: Context, store: Store) -> None:
    indices = set()
    for number in range(20):
        with plan(context, store, owner=f"step:{number}") as found:
            indices.add(found.document["bridge"])
    assert len(indices) == 1
    assert eventually(lambda: left_over(KEY) == [])


def test_steps_that_run_at_once_have_an_address_each(context: Context, store: Store) -> None:
    with ExitStack() as stack:
        plans = [stack.enter_context(plan(context, store, owner=f"step:{number}")) for number in range(8)]
        pids = [stack.enter_context(sleeper()) for _ in plans]
        for found, pid in zip(plans, pids, strict=True):
            attach.attach(found.document, pid)
        assert len({found.address for found in plans}) == len({found.mac for found in plans}) == 8
        assert [ask(OUTSIDE, pid=pid) for pid in pids] == [UPLINK] * 8
    assert eventually(lambda: left_over(KEY) == [])


def test_the_subnet_of_last_time_is_taken_again(context: Context, store: Store) -> None:
    with plan(context, store, owner="step:1") as found:
        first = found.gateway
    cleanup.teardown(context)
    with plan(context, store, owner="step:2") as found:
        assert found.gateway == first


def test_a_subnet_that_the_machine_routes_by_now_is_left(context: Context, store: Store) -> None:
    with plan(context, store, owner="step:1") as found:
        first = found.gateway
    cleanup.teardown(context)
    ip("route", "add", f"{first}/32", "via", OUTSIDE)
    with plan(context, store, owner="step:2") as found:
        assert found.gateway != first


def test_a_lease_follows_the_monitor(context: Context, store: Store) -> None:
    with sleeper(separate=False) as monitor:
        with plan(context, store, owner="container:a") as found:
            found.follow(monitor)
        assert held_addresses(store) == ["container:a"]
        with plan(context, store, owner="container:b") as other:
            assert other.address != found.address


def test_a_lease_does_not_follow_the_dead(context: Context, store: Store) -> None:
    with plan(context, store, owner="container:a") as found, sleeper(separate=False) as monitor:
        found.follow(monitor)
    assert held_addresses(store) == []


def test_a_process_that_inherits_the_descriptor_keeps_the_bridge(context: Context, store: Store) -> None:
    with plan(context, store, owner="container:a") as found:
        assert found.users_fd is not None
        monitor = subprocess.Popen(("sleep", "1000"), pass_fds=(found.users_fd,))
    with pytest.raises(NetworkError, match="in use"):
        cleanup.teardown(context)
    monitor.kill()
    monitor.wait()
    attach.leave(found.document)
    assert eventually(lambda: left_over(KEY) == [])


def test_what_a_killed_user_left_goes_with_the_next_command(context: Context, store: Store) -> None:
    with subprocess.Popen(
        (sys.executable, "-c", _USER, str(context.layout.root)),
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as user:
        assert user.stdout is not None
        assert user.stdout.readline() == b"connected\n"
        user.send_signal(signal.SIGKILL)
    assert left_over(KEY) == [f"br-pb{KEY}", f"table {KEY}"]
    assert held_addresses(store) == ["step:1"]
    cleanup.sweep(context)
    assert eventually(lambda: left_over(KEY) == [])
    assert eventually(lambda: held_addresses(store) == [])


@pytest.mark.usefixtures("patient")
def test_a_root_that_is_deleted_at_once_leaves_no_bridge(context: Context) -> None:
    with Store.open(context) as store, plan(context, store, owner="step:1"):
        pass
    shutil.rmtree(context.layout.root)
    assert left_over(KEY) != []
    assert eventually(lambda: left_over(KEY) == [])


def test_a_sweep_leaves_a_bridge_in_use_alone(context: Context, store: Store) -> None:
    with plan(context, store, owner="step:1"):
        cleanup.sweep(context)
        assert janitor.alone(str(context.layout.locks)) is None
        assert len(left_over(KEY)) == 2


def test_teardown_is_done_when_it_returns(context: Context, store: Store) -> None:
    cleanup.teardown(context)
    with plan(context, store, owner="step:1"):
        pass
    cleanup.teardown(context)
    assert left_over(KEY) == []


def test_processes_that_come_and_go_at_once_never_lose_the_bridge(context: Context, store: Store) -> None:
    command = (sys.executable, "-c", _CROWD, str(context.layout.root))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    crowd = [subprocess.Popen(command, env=environment) for _ in range(6)]
    assert [user.wait() for user in crowd] == [0] * 6
    assert held_addresses(store) == []
    assert eventually(lambda: left_over(KEY) == [])
