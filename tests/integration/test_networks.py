"""Networks of the user's own: names, isolation, addresses, and changes while containers run."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.integration.programs import NET, Program, swept

pytestmark = [pytest.mark.root, pytest.mark.netadmin, pytest.mark.overlay]

SLEEP = ("sleep", "1000")


@pytest.fixture
def box(box: Program) -> Iterator[Program]:
    """Return the program, as root and as a user, with an image `box`; containers are removed at the end."""
    yield from swept(box)


def _address(box: Program, container: str, network: str) -> str:
    return box.text("inspect", "-f", f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}', container)


def _lookup(box: Program, container: str, name: str) -> list[str]:
    """Ask for a name in a container; returns the addresses."""
    answer = box("exec", container, "nslookup", "-type=a", name, "127.0.0.11", status=None).stdout.decode()
    _, _, found = answer.partition("\n\n")
    return sorted(line.split()[-1] for line in found.splitlines() if line.startswith("Address"))


def _reaches(box: Program, container: str, address: str, seconds: int = 60) -> bool:
    return box("exec", container, "ping", "-c1", f"-W{seconds}", address, status=None).returncode == 0


def test_containers_of_a_network_find_each_other_by_name_short_id_and_alias(box: Program) -> None:
    box("network", "create", "net")
    first = box.text("run", "-d", "--name", "one", "--network", "net", "--network-alias", "svc", "box", *SLEEP)
    box("run", "-d", "--name", "two", "--network", "net", "--network-alias", "svc", "box", *SLEEP)
    one, two = _address(box, "one", "net"), _address(box, "two", "net")
    assert _lookup(box, "two", "one") == [one]
    assert _lookup(box, "two", first[:12]) == [one]
    assert _lookup(box, "one", "two.net") == [two]
    assert _lookup(box, "one", "svc") == sorted([one, two])
    assert _reaches(box, "one", "two")
    assert "nameserver 127.0.0.11" in box.text("exec", "one", "cat", "/etc/resolv.conf")


def test_a_name_goes_with_its_container_and_comes_back_with_it(box: Program) -> None:
    box("network", "create", "net")
    box("run", "-d", "--name", "one", "--network", "net", "box", *SLEEP)
    box("run", "-d", "--name", "two", "--network", "net", "box", *SLEEP)
    box("stop", "-t", "0", "one")
    assert _lookup(box, "two", "one") == []
    box("start", "one")
    assert _lookup(box, "two", "one") == [_address(box, "one", "net")]


def test_networks_are_apart(box: Program) -> None:
    box("network", "create", "a")
    box("network", "create", "b")
    box("run", "-d", "--name", "one", "--network", "a", "box", *SLEEP)
    box("run", "-d", "--name", "two", "--network", "b", "box", *SLEEP)
    box("run", "-d", "--name", "plain", "box", *SLEEP)
    assert _lookup(box, "one", "two") == []
    assert not _reaches(box, "one", _address(box, "two", "b"), 1)
    assert not _reaches(box, "plain", _address(box, "two", "b"), 1)
    assert not _reaches(box, "two", _address(box, "plain", "bridge"), 1)


def test_an_internal_network_has_no_way_out(box: Program) -> None:
    box("network", "create", "--internal", "inner")
    box("run", "-d", "--name", "one", "--network", "inner", "box", *SLEEP)
    box("run", "-d", "--name", "two", "--network", "inner", "box", *SLEEP)
    assert "default" not in box.text("exec", "one", "ip", "route")
    assert _reaches(box, "one", "two")


def test_a_container_joins_and_leaves_while_it_runs(box: Program) -> None:
    box("network", "create", "net")
    box("run", "-d", "--name", "one", "--network", "net", "box", *SLEEP)
    box("run", "-d", "--name", "late", "box", *SLEEP)
    box("network", "connect", "--alias", "second", "net", "late")
    address = _address(box, "late", "net")
    assert _lookup(box, "one", "second") == [address]
    assert _lookup(box, "late", "one") == [_address(box, "one", "net")]
    assert _reaches(box, "late", "one")
    again = box("network", "connect", "net", "late", status=1)
    assert b"already exists in network net" in again.stderr
    box("network", "disconnect", "net", "late")
    assert _lookup(box, "one", "late") == []
    assert address not in box.text("exec", "late", "ip", "addr")


def test_a_container_on_several_networks_has_an_address_on_each(box: Program) -> None:
    box("network", "create", "--subnet", f"{NET}.1.0/24", "a")
    box("network", "create", "--subnet", f"{NET}.2.0/24", "b")
    shown = box.text("run", "--rm", "--network", "a", "--network", f"name=b,ip={NET}.2.9", "box", "ip", "-4", "addr")
    assert f"{NET}.1." in shown
    assert f"{NET}.2.9/24" in shown


def test_addresses_are_what_was_asked_for_and_given_once(box: Program) -> None:
    box("network", "create", "--subnet", f"{NET}.3.0/24", "--gateway", f"{NET}.3.254", "net")
    asked = ("--network", "net", "--ip", f"{NET}.3.7", "--mac-address", "02-00-00-00-00-07")
    box("run", "-d", "--name", "one", *asked, "--link-local-ip", "169.254.3.7", "box", *SLEEP)
    assert _address(box, "one", "net") == f"{NET}.3.7"
    assert "inet 169.254.3.7/16" in box.text("exec", "one", "ip", "address")
    assert "02:00:00:00:00:07" in box.text("exec", "one", "ip", "link")
    assert f"via {NET}.3.254" in box.text("exec", "one", "ip", "route")
    for words, message in (
        (("--ip", f"{NET}.3.7"), b"Address already in use"),
        (("--ip", f"{NET}.4.7"), b"no configured subnet or ip-range contain the IP address"),
        (("--ip", f"{NET}.3.254"), b"Address already in use"),
        (("--link-local-ip", "10.1.1.1"), b"invalid link-local IP address: 10.1.1.1"),
    ):
        assert message in box("run", "--rm", "--network", "net", *words, "box", "true", status=125).stderr


def test_a_range_keeps_addresses_within_it(box: Program) -> None:
    box("network", "create", "--subnet", f"{NET}.5.0/24", "--ip-range", f"{NET}.5.64/30", "net")
    names = [f"c{number}" for number in range(3)]  # the first of the four is the gateway's
    for name in names:
        box("run", "-d", "--name", name, "--network", "net", "box", *SLEEP)
    assert sorted(_address(box, name, "net") for name in names) == [f"{NET}.5.{number}" for number in range(65, 68)]
    full = box("run", "--rm", "--network", "net", "box", "true", status=125)
    assert b"are in use" in full.stderr


def test_a_network_in_use_stays(box: Program) -> None:
    box("network", "create", "net")
    box("run", "-d", "--name", "one", "--network", "net", "box", *SLEEP)
    assert b"has active endpoints" in box("network", "rm", "net", status=1).stderr
    box("network", "prune", "-f")
    assert box.text("network", "ls", "-q", "--filter", "name=net")
    box("rm", "-f", "one")
    assert box.text("network", "rm", "net") == "net"


def test_the_network_of_another_container_is_shared(box: Program) -> None:
    box("network", "create", "net")
    box("run", "-d", "--name", "one", "--network", "net", "box", *SLEEP)
    script = "cat /proc/sys/kernel/hostname; ip -4 addr show eth0"
    shown = box.text("run", "--rm", "--network", "container:one", "box", "sh", "-c", script)
    assert _address(box, "one", "net") in shown
    assert shown.splitlines()[0] == box.text("exec", "one", "hostname")
    box("stop", "-t", "0", "one")
    assert b"non running" in box("run", "--rm", "--network", "container:one", "box", "true", status=125).stderr


def test_wrong_networks_are_refused_with_a_reason(box: Program) -> None:
    box("network", "create", "--subnet", f"{NET}.6.0/24", "net")
    for words, message in (
        (("create", "net"), b"already exists"),
        (("create", "bridge"), b"predefined"),
        (("create", "--subnet", f"{NET}.6.128/25", "other"), b"Pool overlaps"),
        (("create", "--subnet", "nonsense", "other"), b"invalid subnet"),
        (("create", "--subnet", f"{NET}.7.0/24", "--gateway", "10.1.1.1", "other"), b"no matching subnet"),
        (("create", "-d", "overlay", "other"), b"plugin"),
        (("create", "--ingress", "other"), b"cannot be had"),
        (("rm", "nothing"), b"not found"),
        (("rm", "host"), b"pre-defined"),
        (("inspect", "nothing"), b"not found"),
        (("connect", "net", "nobody"), b"No such container"),
    ):
        result = box("network", *words, status=None)
        assert result.returncode != 0, words
        assert message in result.stderr
    assert b"network nothing not found" in box("run", "--rm", "--network", "nothing", "box", "true", status=125).stderr


def test_inspect_shows_a_network_with_its_containers(box: Program) -> None:
    number = box.text("network", "create", "--subnet", f"{NET}.8.0/24", "--label", "a=b", "--opt", "mtu=1300", "net")
    member = box.text("run", "-d", "--name", "one", "--network", "net", "box", *SLEEP)
    document = json.loads(box.text("network", "inspect", number[:8]))[0]
    assert (document["Id"], document["Driver"], document["Labels"]) == (number, "bridge", {"a": "b"})
    assert document["IPAM"]["Config"] == [{"Subnet": f"{NET}.8.0/24"}]
    assert document["Containers"][member]["IPv4Address"] == _address(box, "one", "net") + "/24"
    assert "mtu 1300" in box.text("exec", "one", "ip", "link", "show", "eth0")


def test_options_are_in_force(box: Program) -> None:
    prefix = "com.docker.network."
    options = (f"{prefix}container_iface_prefix=net", f"{prefix}bridge.host_binding_ipv4=127.0.0.1", "mtu=1300")
    box("network", "create", *(word for option in options for word in ("-o", option)), "net")
    box("run", "-d", "--name", "one", "--network", "net", "-p", "80", "box", *SLEEP)
    assert "mtu 1300" in box.text("exec", "one", "ip", "link", "show", "net0")
    assert box.text("port", "one", "80").startswith("127.0.0.1:")
    document = json.loads(box.text("network", "inspect", "net"))[0]
    assert document["Options"] == dict(option.split("=") for option in options)
    box("network", "create", "-o", "icc=false", "apart")
    box("run", "-d", "--name", "two", "--network", "apart", "box", *SLEEP)
    box("run", "-d", "--name", "three", "--network", "apart", "box", *SLEEP)
    assert not _reaches(box, "two", _address(box, "three", "apart"), 1)
    assert _reaches(box, "two", box.text("inspect", "-f", "{{.NetworkSettings.Networks.apart.Gateway}}", "two"))


def test_a_link_has_the_name_and_the_settings_that_were_asked_for(box: Program) -> None:
    option = "driver-opt=com.docker.network.endpoint."
    box("network", "create", "net")
    sysctls = f'"{option}sysctls=net.ipv4.conf.IFNAME.forwarding=1,net.ipv4.conf.IFNAME.log_martians=1"'
    asked = f"name=net,{option}ifname=own7,{sysctls}"
    shown = box.text("run", "--rm", "--network", asked, "box", "cat", "/proc/sys/net/ipv4/conf/own7/log_martians")
    assert shown == "1"
    box("run", "-d", "--name", "one", "box", *SLEEP)
    box("network", "connect", "--driver-opt", "com.docker.network.endpoint.ifname=own8", "net", "one")
    assert "own8" in box.text("exec", "one", "ls", "/sys/class/net")
    for wrong, message in (
        ("ifname=lo", b"invalid interface name"),
        ("sysctls=kernel.panic=1", b"unrecognised network interface sysctl"),
        ("sysctls=net.ipv4.conf.IFNAME.nothing=1", b"is not a sysctl file"),
        ("other=1", b"is not known"),
    ):
        refused = box("run", "--rm", "--network", f"name=net,{option}{wrong}", "box", "true", status=125)
        assert message in refused.stderr


@pytest.mark.slow
def test_fifty_containers_that_start_at_once_know_each_other(box: Program) -> None:
    box("network", "create", "net")
    names = [f"c{number}" for number in range(50)]
    started = [box.popen("run", "-d", "--name", name, "--network", "net", "box", *SLEEP) for name in names]
    assert [process.wait(120) for process in started] == [0] * 50
    for process in started:
        process.communicate()
    ask = f"for name in {' '.join(names)}; do ping -c1 -W5 $name >/dev/null || echo $name; done"
    assert box.text("exec", "c0", "sh", "-c", ask) == ""
    addresses = {_address(box, name, "net") for name in names}
    assert len(addresses) == 50
    box("rm", "-f", *names)
