"""Networks with IPv6: addresses, names, ports, the way out, and what is refused; as root and as a user."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.programs import NET, NET6, Program, swept
from tests.integration.test_published_ports import SERVER, _get, _is_free
from tests.ports import free_ports

pytestmark = [pytest.mark.root, pytest.mark.netadmin, pytest.mark.overlay]

SLEEP = ("sleep", "1000")


@pytest.fixture
def box(box: Program) -> Iterator[Program]:
    """Return the program, as root and as a user, with an image `box`; containers are removed at the end."""
    if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists():
        pytest.skip("the kernel has no IPv6")
    yield from swept(box)


def _endpoint(box: Program, container: str, network: str) -> dict[str, object]:
    found = json.loads(box.text("inspect", "-f", "{{json .NetworkSettings.Networks}}", container))[network]
    assert isinstance(found, dict)
    return found


def _document(box: Program, network: str) -> dict[str, object]:
    found = json.loads(box.text("network", "inspect", network))[0]
    assert isinstance(found, dict)
    return found


def test_a_network_has_a_unique_local_subnet_of_its_own(box: Program) -> None:
    box("network", "create", "--ipv6", "one")
    box("network", "create", "--ipv6", "two")
    documents = [_document(box, name) for name in ("one", "two")]
    pools = [document["IPAM"]["Config"][1] for document in documents]  # type: ignore[index]
    assert all(document["EnableIPv6"] for document in documents)
    assert all(pool["Subnet"].startswith("fd") and pool["Subnet"].endswith("::/64") for pool in pools)
    assert all(pool["Gateway"] == pool["Subnet"].replace("::/64", "::1") for pool in pools)
    assert pools[0]["Subnet"] != pools[1]["Subnet"]


def test_containers_reach_each_other_by_name_over_ipv6(box: Program) -> None:
    box("network", "create", "--ipv6", "--subnet", f"{NET6}:1::/64", "net")
    box("run", "-d", "--name", "one", "--network", "net", "--ip6", f"{NET6}:1::77", "box", *SLEEP)
    box("run", "-d", "--name", "two", "--network", "net", "box", *SLEEP)
    assert "0% packet loss" in box.text("exec", "two", "ping", "-6", "-c1", "-W60", "one")
    answer = box.text("exec", "two", "nslookup", "-type=aaaa", "one", "127.0.0.11")
    assert answer.rstrip().endswith(f"{NET6}:1::77")
    assert "one.net" in box.text("exec", "two", "nslookup", f"{NET6}:1::77", "127.0.0.11")
    assert f"{NET6}:1::77\t" in box.text("exec", "one", "cat", "/etc/hosts")
    assert f"default via {NET6}:1::1" in box.text("exec", "one", "ip", "-6", "route")


def test_inspect_shows_addresses_as_docker_does(box: Program) -> None:
    pools = ("--subnet", f"{NET6}:2::/64", "--gateway", f"{NET6}:2::9", "--subnet", f"{NET}.20.0/24")
    kept = ("--aux-address", f"router={NET6}:2::5", "--aux-address", f"old={NET}.20.3")
    box("network", "create", "--ipv6", *pools, *kept, "net")
    member = box.text("run", "-d", "--name", "one", "--network", "net", "--ip6", f"{NET6}:2::77", "box", *SLEEP)
    endpoint = _endpoint(box, "one", "net")
    assert endpoint["IPAMConfig"] == {"IPv6Address": f"{NET6}:2::77"}
    names = ("GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPv6Gateway")
    assert [endpoint[name] for name in names] == [f"{NET6}:2::77", 64, f"{NET6}:2::9"]
    document = _document(box, "net")
    assert document["IPAM"]["Config"] == [  # type: ignore[index]
        {"Subnet": f"{NET}.20.0/24", "AuxiliaryAddresses": {"old": f"{NET}.20.3"}},
        {"Subnet": f"{NET6}:2::/64", "Gateway": f"{NET6}:2::9", "AuxiliaryAddresses": {"router": f"{NET6}:2::5"}},
    ]
    assert document["Containers"][member]["IPv6Address"] == f"{NET6}:2::77/64"  # type: ignore[index]


def test_a_published_port_answers_on_both_versions(box: Program) -> None:
    box("network", "create", "--ipv6", "net")
    port = free_ports()
    box("run", "-d", "--name", "web", "--network", "net", "-p", f"{port}:80", "box", *SERVER)
    assert [_get("127.0.0.1", port), _get("::1", port)] == ["page", "page"]
    box("network", "create", "other")
    box("network", "connect", "other", "web")
    box("network", "disconnect", "net", "web")
    assert [_get("127.0.0.1", port), _get("::1", port)] == ["page", "page"]
    box("rm", "-f", "web")
    assert _is_free(port)


def test_a_port_follows_its_container_to_the_next_network(box: Program) -> None:
    box("network", "create", "one")
    box("network", "create", "two")
    port = free_ports()
    box("run", "-d", "--name", "web", "--network", "one", "-p", f"{port}:80", "box", *SERVER)
    assert _get("127.0.0.1", port) == "page"
    box("network", "disconnect", "one", "web")
    assert box.text("port", "web") == ""
    box("network", "connect", "two", "web")
    assert _get("127.0.0.1", port) == "page"
    assert box.text("port", "web", "80").splitlines()[0] == f"0.0.0.0:{port}"


def test_a_network_may_have_ipv6_alone(box: Program) -> None:
    box("network", "create", "--ipv4=false", "--ipv6", "net")
    document = _document(box, "net")
    assert (document["EnableIPv4"], len(document["IPAM"]["Config"])) == (False, 1)  # type: ignore[index]
    assert box.text("network", "ls", "--filter", "name=net", "--format", "{{.IPv4}} {{.IPv6}}") == "false true"
    port = free_ports()
    box("run", "-d", "--name", "web", "--network", "net", "-p", f"{port}:80", "box", *SERVER)
    assert [_get("127.0.0.1", port), _get("::1", port)] == ["page", "page"]
    box("run", "-d", "--name", "two", "--network", "net", "box", *SLEEP)
    assert box.text("exec", "two", "wget", "-qO-", "http://web/") == "page"
    assert box.text("exec", "two", "ip", "-4", "addr", "show", "eth0") == ""
    assert _endpoint(box, "web", "net")["IPAddress"] == ""
    box("network", "disconnect", "net", "web")
    box("network", "connect", "net", "web")
    assert _get("127.0.0.1", port) == "page"


def test_the_network_with_the_highest_priority_is_the_way_out(box: Program) -> None:
    box("network", "create", "--subnet", f"{NET}.21.0/24", "one")
    box("network", "create", "--subnet", f"{NET}.22.0/24", "two")
    chosen = box.text("run", "--rm", "--network", "one", "--network", "name=two,gw-priority=1", "box", "ip", "route")
    assert f"default via {NET}.22.1" in chosen
    box("run", "-d", "--name", "box", "--network", "one", "box", *SLEEP)
    box("network", "connect", "--gw-priority", "1", "two", "box")
    assert f"default via {NET}.22.1" in box.text("exec", "box", "ip", "route")
    box("network", "disconnect", "two", "box")
    assert f"default via {NET}.21.1" in box.text("exec", "box", "ip", "route")


def test_wrong_addresses_are_refused_with_a_reason(box: Program) -> None:
    box("network", "create", "--ipv6", "--subnet", f"{NET6}:3::/64", "--aux-address", f"a={NET6}:3::5", "net")
    for words, message in (
        (("--subnet", f"{NET6}:3:1::/80"), b"Pool overlaps"),
        (("--subnet", f"{NET6}:4::/64", "--gateway", f"{NET6}:5::1"), b"no matching subnet for gateway"),
        (("--subnet", f"{NET6}:4::/64", "--subnet", f"{NET6}:5::/64"), b"multiple subnets"),
        (("--subnet", f"{NET6}:4::/128"), b"has no room"),
        (("--aux-address", "a=fd00::1"), b"no matching subnet for aux-address"),
        (("--ipv4=false", "--ipv6=false"), b"IPv4 or IPv6 must be enabled"),
        (("--scope", "swarm"), b"swarm scoped"),
        (("--config-only",), b"cannot be had"),
    ):
        assert message in box("network", "create", "--ipv6", *words, "other", status=None).stderr
    for address, message in (
        (f"{NET6}:3::5", b"Address already in use"),
        (f"{NET6}:3::1", b"Address already in use"),
        (f"{NET6}:4::7", b"no configured subnet"),
        ("10.0.0.1", b"invalid IPv6 address"),
    ):
        assert message in box("run", "--rm", "--network", "net", "--ip6", address, "box", "true", status=125).stderr
    assert b"user defined networks only" in box("run", "--rm", "--ip6", "fd00::7", "box", "true", status=125).stderr
