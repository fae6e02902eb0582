"""Firewalls that only their own programs can talk to."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.network import attach, bridge, firewalls
from runtime.network.nftables import Nftables
from tests.runtime.network.machines import KEY, OUTSIDE, UPLINK, ask, choose, document

pytestmark = [pytest.mark.root, pytest.mark.netadmin, pytest.mark.usefixtures("machine")]

NAME = f"br-pb{KEY}"


def run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def firewall_cmd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Play a firewalld: its table, and a program that keeps what it is told; gives the file of that."""
    run("nft", "add table inet firewalld")
    calls = tmp_path / "calls"
    program = tmp_path / "firewall-cmd"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {calls}\n[ ! -e {tmp_path}/broken ] || {{ echo broken >&2; exit 1; }}\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(firewalls, "_PATH", (str(tmp_path), "/usr/bin", "/bin"))
    return calls


def test_an_old_iptables_that_drops_is_passed_and_left_as_it_was(
    container: int, missing: Callable[[str], None]
) -> None:
    if shutil.which("iptables-legacy") is None:
        missing("iptables-legacy")
    run("iptables-legacy", "-P", "FORWARD", "DROP")
    before = run("iptables-legacy", "-S", "FORWARD")
    found, _ = bridge.ensure(bridge.default(KEY), choose)
    attach.attach(document(found), container)
    assert ask(OUTSIDE, pid=container) == UPLINK
    bridge.take_down(KEY)
    assert run("iptables-legacy", "-S", "FORWARD") == before


def test_firewalld_trusts_the_bridge_for_as_long_as_it_is_there(firewall_cmd: Path) -> None:
    bridge.ensure(bridge.default(KEY), choose)
    bridge.ensure(bridge.default(KEY), choose)
    assert firewall_cmd.read_text() == f"-q --zone=trusted --change-interface={NAME}\n"
    bridge.take_down(KEY)
    assert firewall_cmd.read_text().splitlines()[1:] == [f"-q --zone=trusted --remove-interface={NAME}"]


def test_a_firewalld_that_refuses_is_quoted_and_asked_again_next_time(firewall_cmd: Path) -> None:
    broken = firewall_cmd.with_name("broken")
    broken.touch()
    with pytest.raises(OSError, match=r"firewall-cmd .*: broken"):
        bridge.ensure(bridge.default(KEY), choose)
    broken.unlink()
    bridge.ensure(bridge.default(KEY), choose)
    with Nftables() as rules:
        assert rules.has_table(f"pybuild_{KEY}")


def test_a_firewalld_without_its_program_is_told_of(firewall_cmd: Path) -> None:
    firewall_cmd.with_name("firewall-cmd").unlink()
    with pytest.raises(OSError, match="firewall-cmd is needed"):
        bridge.ensure(bridge.default(KEY), choose)
