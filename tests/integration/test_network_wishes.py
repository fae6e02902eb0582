"""What networks are asked for beside names and addresses: other gateways, later ways out, name servers inside."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.integration.programs import NET, Program, swept
from tests.integration.test_published_ports import SERVER, _get, _is_free
from tests.ports import free_ports

pytestmark = [pytest.mark.root, pytest.mark.netadmin, pytest.mark.overlay]

SLEEP = ("sleep", "1000")
_NAME_SERVER = """
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], 53))
print(flush=True)
while True:
    message, client = server.recvfrom(512)
    record = bytes((0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 1, 2, 3))
    server.sendto(message[:2] + bytes((0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0)) + message[12:] + record, client)
"""
MODE = "com.docker.network.bridge.gateway_mode_ipv4"


@pytest.fixture
def box(box: Program) -> Iterator[Program]:
    """Return the program, as root and as a user, with an image `box`; containers are removed at the end."""
    yield from swept(box)


def _links(box: Program, container: str) -> list[str]:
    return box.text("exec", container, "ls", "/sys/class/net").split()


def _networks(box: Program, container: str) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads(
        box.text("inspect", "-f", "{{json .NetworkSettings.Networks}}", container)
    )
    return found


def test_a_container_that_has_left_none_joins_others_and_keeps_them(box: Program) -> None:
    box("network", "create", "net")
    box("run", "-d", "--name", "one", "--network", "none", "box", *SLEEP)
    box("run", "-d", "--name", "two", "--network", "net", "box", *SLEEP)
    assert b"private (none) mode" in box("network", "connect", "net", "one", status=1).stderr
    box("network", "disconnect", "none", "one")
    assert _networks(box, "one") == {}
    box("network", "connect", "net", "one")
    assert (_links(box, "one"), list(_networks(box, "one"))) == (["eth0", "lo"], ["net"])
    box("rm", "-f", "two")
    box("run", "-d", "--name", "two", "--network", "net", "box", *SLEEP)
    assert "0% packet loss" in box.text("exec", "one", "ping", "-c1", "-W60", "two")
    box("restart", "-t", "0", "one")
    assert (_links(box, "one"), list(_networks(box, "one"))) == (["eth0", "lo"], ["net"])


def test_a_container_that_is_started_again_keeps_what_it_has_joined_and_left(box: Program) -> None:
    port = free_ports()
    for name in ("first", "later"):
        box("network", "create", name)
    again = "while [ ! -e /go ]; do sleep 0.1; done; rm /go; exit 1"
    serve = f"mkdir -p /www; echo page > /www/index.html; httpd -h /www; {again}"
    served = ("--network", "first", "-p", f"127.0.0.1:{port}:80", "--restart", "always")
    box("run", "-d", "--name", "web", *served, "box", "sh", "-c", serve)
    box("run", "-d", "--name", "none", "--network", "none", "--restart", "always", "box", "sh", "-c", again)
    box("network", "connect", "--alias", "page", "later", "web")
    box("network", "disconnect", "first", "web")
    box("network", "disconnect", "none", "none")
    box("network", "connect", "later", "none")
    _begin_again(box, "web")
    _begin_again(box, "none")
    assert (_links(box, "web"), list(_networks(box, "web"))) == (["eth0", "lo"], ["later"])
    assert (_links(box, "none"), list(_networks(box, "none"))) == (["eth0", "lo"], ["later"])
    assert _get("127.0.0.1", port) == "page"
    asking = "until wget -q -O - http://page/; do sleep 0.1; done"
    assert box.text("exec", "none", "timeout", "90", "sh", "-c", asking) == "page"


def _begin_again(box: Program, container: str) -> None:
    """End a container's process and wait until its monitor has started the next one."""
    before = box.text("inspect", "-f", "{{.State.Pid}}", container)
    box("exec", container, "touch", "/go", status=None)  # its end may come before that of the command
    for _ in range(900):
        running, pid = box.text("inspect", "-f", "{{.State.Running}} {{.State.Pid}}", container).split()
        if running == "true" and pid not in (before, "0"):
            return
        time.sleep(0.1)
    pytest.fail(f"{container} is not started again")


def test_a_container_without_networks_can_be_given_none(box: Program) -> None:
    box("create", "--name", "one", "box", *SLEEP)
    box("network", "disconnect", "bridge", "one")
    box("network", "connect", "none", "one")
    box("start", "one")
    assert (_links(box, "one"), list(_networks(box, "one"))) == (["lo"], ["none"])


def test_ports_are_published_once_there_is_a_way_out(box: Program) -> None:
    port = free_ports()
    box("network", "create", "--internal", "inner")
    box("run", "-d", "--name", "web", "--network", "inner", "-p", f"{port}:80", "box", *SERVER)
    assert box.text("port", "web") == ""
    assert box.text("inspect", "-f", "{{json .NetworkSettings.Ports}}", "web") == "{}"
    box("network", "connect", "bridge", "web")
    assert box.text("port", "web", "80").splitlines()[0] == f"0.0.0.0:{port}"
    assert _get("127.0.0.1", port) == "page"
    box("network", "disconnect", "bridge", "web")
    assert box.text("port", "web") == ""
    box("rm", "-f", "web")
    assert _is_free(port)


def test_a_port_of_a_routed_network_is_none_of_the_machines(box: Program) -> None:
    port = free_ports()
    box("network", "create", "-o", f"{MODE}=routed", "direct")
    box("run", "-d", "--name", "web", "--network", "direct", "-p", f"0.0.0.0:{port}:80", "box", *SERVER)
    assert box.text("port", "web") == "80/tcp -> 0.0.0.0:"
    assert _is_free(port)
    box("network", "create", "other")
    box("network", "connect", "other", "web")
    assert box.text("network", "inspect", "-f", f'{{{{index .Options "{MODE}"}}}}', "direct") == "routed"


def test_the_bridge_of_an_isolated_network_leaves_the_address_that_it_would_have(box: Program) -> None:
    box("network", "create", "--internal", "--subnet", f"{NET}.9.0/24", "-o", f"{MODE}=isolated", "alone")
    box("run", "-d", "--name", "one", "--network", "alone", "--ip", f"{NET}.9.2", "box", *SLEEP)
    box("run", "-d", "--name", "two", "--network", "alone", "box", *SLEEP)
    assert "0% packet loss" in box.text("exec", "two", "ping", "-c1", "-W60", "one")
    shown = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    assert box.text("inspect", "-f", shown, "two") == f"{NET}.9.1"


@contextmanager
def _name_server(pid: str, address: str) -> Iterator[None]:
    """Answer every question with 10.1.2.3, in the network of the process."""
    command = ("nsenter", "-n", "-t", pid, sys.executable, "-I", "-S", "-c", _NAME_SERVER, address)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield
        finally:
            process.kill()


def test_a_name_server_in_a_container_is_asked_from_its_network(box: Program) -> None:
    box("network", "create", "--subnet", f"{NET}.10.0/24", "net")
    box("run", "-d", "--name", "ns", "--network", "net", "--ip", f"{NET}.10.53", "box", *SLEEP)
    box("run", "-d", "--name", "one", "--network", "net", "--dns", f"{NET}.10.53", "box", *SLEEP)
    with _name_server(box.text("inspect", "-f", "{{.State.Pid}}", "ns"), f"{NET}.10.53"):
        asked = box.text("exec", "one", "nslookup", "-type=a", "given.example", "127.0.0.11")
    assert asked.endswith("Address: 10.1.2.3")
    assert f"{NET}.10.53" in box.text("exec", "one", "nslookup", "-type=a", "ns", "127.0.0.11")


def test_the_way_out_is_the_first_network_by_name(box: Program) -> None:
    for number, name in enumerate(("zz", "aa", "mm"), 11):
        box("network", "create", "--subnet", f"{NET}.{number}.0/24", name)
    box("run", "-d", "--name", "one", "--network", "zz", "--network", "mm", "box", *SLEEP)
    assert f"default via {NET}.13.1" in box.text("exec", "one", "ip", "route")
    box("network", "connect", "aa", "one")
    assert f"default via {NET}.12.1" in box.text("exec", "one", "ip", "route")
    box("network", "disconnect", "aa", "one")
    assert f"default via {NET}.13.1" in box.text("exec", "one", "ip", "route")


def test_networks_that_are_joined_and_left_at_once_are_all_counted(box: Program) -> None:
    names = [f"net{number}" for number in range(8)]
    made = [box.popen("network", "create", name) for name in names]
    assert [(process.communicate()[1], process.returncode) for process in made] == [(b"", 0)] * 8
    box("run", "-d", "--name", "one", "box", *SLEEP)
    for verb, there in (("connect", names), ("disconnect", [])):
        changes = [box.popen("network", verb, name, "one") for name in names]
        assert [(process.communicate()[1], process.returncode) for process in changes] == [(b"", 0)] * 8
        assert sorted(_networks(box, "one")) == ["bridge", *there]
        assert len(_links(box, "one")) == 2 + len(there)
    taken = [box.popen("network", "rm", name) for name in names]
    assert [(process.communicate()[1], process.returncode) for process in taken] == [(b"", 0)] * 8


def test_what_cannot_be_joined_is_refused_before_the_start(box: Program) -> None:
    box("network", "create", "--subnet", f"{NET}.14.0/24", "net")
    box("network", "create", "plain")
    box("create", "--name", "one", "box", *SLEEP)
    for words, message in (
        (("--ip", "10.1.1.1", "net"), b"no configured subnet or ip-range contain the IP address 10.1.1.1"),
        (("--ip", "nonsense", "net"), b"invalid IPv4 address: nonsense"),
        (("--ip", f"{NET}.14.1", "net"), b"Address already in use"),
        (("--ip", "10.1.1.1", "plain"), b"user configured subnets"),
        (("--ip", "10.1.1.1", "bridge"), b"user defined networks only"),
        (("--alias", "a", "bridge"), b"user defined networks"),
        (("host",), b"must be created in host network mode"),
        (("none",), b"private (none) mode"),
    ):
        assert message in box("network", "connect", *words, "one", status=1).stderr, words
    assert list(_networks(box, "one")) == ["bridge"]
    box("network", "connect", "net", "one")
    box("network", "connect", "--alias", "late", "net", "one")
    assert _networks(box, "one")["net"]["Aliases"] == ["late"]
    for left, message in (
        (("host", "one"), b"is not connected to network host"),
        (("nothing", "one"), b"network nothing not found"),
        (("plain", "one"), b"is not connected to network plain"),
        (("-f", "plain", "one"), b"is not connected to network plain"),
    ):
        assert message in box("network", "disconnect", *left, status=1).stderr, left


def test_a_network_that_is_no_more_can_be_left(box: Program) -> None:
    box("network", "create", "net")
    box("create", "--name", "one", "--network", "net", "box", *SLEEP)
    box("network", "rm", "net")
    assert b"network net not found" in box("start", "one", status=1).stderr
    box("network", "disconnect", "net", "one")
    box("network", "connect", "bridge", "one")
    box("start", "one")
    assert list(_networks(box, "one")) == ["bridge"]


def test_a_container_that_could_not_be_started_says_why(box: Program) -> None:
    port = free_ports()
    state = ("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}", "one")
    box("run", "-d", "--name", "web", "-p", f"{port}:80", "box", *SLEEP)
    box("create", "--name", "one", "-p", f"{port}:80", "box", "sh", "-c", "exit 7")
    assert b"port is already allocated" in box("start", "one", status=1).stderr
    assert box.text(*state).startswith(f"created 128 Bind for 0.0.0.0:{port} failed")
    box("rm", "-f", "web")
    box("start", "-a", "one", status=7)
    assert box.text(*state) == "exited 7"
    box("run", "-d", "--name", "web", "-p", f"{port}:80", "box", *SLEEP)
    box("start", "one", status=1)
    assert box.text(*state).startswith("exited 7 Bind for")


def test_an_ended_container_still_tells_where_it_was(box: Program) -> None:
    number = box.text("network", "create", "net")
    container = box.text(
        *("run", "-d", "--name", "one", "--hostname", "post", "--network", "net", "--network-alias", "al", "box"),
        *SLEEP,
    )
    names = ["one", "al", container[:12], "post"]
    before = _networks(box, "one")["net"]
    assert (before["NetworkID"], before["DNSNames"]) == (number, names)
    box("kill", "one")
    box("wait", "one")
    after = _networks(box, "one")["net"]
    assert (after["NetworkID"], after["DNSNames"], after["IPAddress"], after["EndpointID"]) == (number, names, "", "")


def test_a_container_that_shares_a_network_has_its_host_name(box: Program) -> None:
    box("run", "-d", "--name", "one", "--hostname", "post", "box", *SLEEP)
    box("run", "-d", "--name", "two", "--network", "container:one", "box", *SLEEP)
    assert box.text("inspect", "-f", "{{.Config.Hostname}}|{{json .NetworkSettings.Ports}}", "two") == "post|{}"
    assert b"cannot be connected to any other network" in box("network", "connect", "bridge", "two", status=1).stderr


def test_values_that_cannot_be_in_force_leave_no_network(box: Program) -> None:
    prefix = "com.docker.network."
    box("network", "create", "-o", f"{prefix}bridge.name=pbtwice{NET.split('.')[1]}", "first")
    for words, message in (
        (("-o", f"{prefix}bridge.name=pbtwice{NET.split('.')[1]}"), b"networks have same bridge name"),
        (("-o", f"{prefix}bridge.gateway_mode_ipv4=isolated"), b"can only be used for an internal network"),
        (("-o", f"{prefix}bridge.gateway_mode_ipv4=bent"), b"unknown gateway mode bent"),
        (("-o", f"{prefix}driver.mtu=1"), b"invalid MTU number: 1"),
        (("-o", f"{prefix}enable_ipv4=false"), b"IPv4 or IPv6 must be enabled"),
        (("--ipv4=false",), b"IPv4 or IPv6 must be enabled"),
        (("-o", "colour=red"), b"is not known"),
        (("--subnet", f"{NET}.15.7/24"), f"it should be {NET}.15.0/24".encode()),
        (("--subnet", f"{NET}.15.0/24", "--aux-address", f"a={NET}.15.1"), b"failed to allocate secondary ip address"),
        (("--subnet", f"{NET}.15.0/24", "--gateway", f"{NET}.15.255"), b"failed to allocate gateway"),
        (("--ipam-driver", "other"), b'plugin "other" not found'),
        (("--scope", "swarm"), b"cannot create a swarm scoped network"),
    ):
        assert message in box("network", "create", *words, "net", status=1).stderr, words
    assert b"name is empty" in box("network", "create", "", status=1).stderr
    assert box.text("network", "ls", "--filter", "type=custom", "--format", "{{.Name}}") == "first"
    assert box.text("network", "ls", "--filter", "name=^fi.*t$", "--format", "{{.Name}}") == "first"
