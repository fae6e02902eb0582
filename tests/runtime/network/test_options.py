"""Driver options of networks: Docker's names and short ones, kept as they were written."""

from __future__ import annotations

import pytest

from runtime.errors import NetworkError
from runtime.network import options

BRIDGE = "com.docker.network.bridge."


def test_options_are_kept_as_written_and_found_under_both_names() -> None:
    for name in ("mtu", "com.docker.network.driver.mtu"):
        assert options.check({name: "1300"}) == {name: "1300"}
        assert options.mtu({name: "1300"}) == 1300
    assert not options.icc({"icc": "0"})
    assert not options.icc({f"{BRIDGE}enable_icc": "False"})
    assert options.bridge_name({"bridge": "br0"}) == "br0"


def test_without_options_a_network_is_open_and_hidden_behind_the_hosts_address() -> None:
    assert (options.mtu({}), options.bridge_name({}), options.icc({}), options.masquerade({})) == (0, "", True, True)
    assert (options.host_binding({}), options.link_prefix({})) == ("", "eth")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("foo", "bar", "is not known"),
        ("mtu", "abc", "invalid syntax"),
        ("mtu", "67", "invalid MTU number: 67"),
        ("mtu", "-1", "invalid MTU number: -1"),
        ("icc", "maybe", "invalid syntax"),
        (f"{BRIDGE}inhibit_ipv4", "", "invalid syntax"),
        (f"{BRIDGE}name", "a" * 16, "invalid bridge name"),
        (f"{BRIDGE}name", "..", "invalid bridge name"),
        (f"{BRIDGE}host_binding_ipv4", "nowhere", "no IPv4 address"),
        (f"{BRIDGE}gateway_mode_ipv4", "bent", "unknown gateway mode bent"),
        (f"{BRIDGE}gateway_mode_ipv6", "isolated", "can only be used for an internal network"),
        ("com.docker.network.host_ipv4", "::1", "no IPv4 address"),
        ("com.docker.network.host_ipv6", "1.2.3.4", "no IPv6 address"),
        ("com.docker.network.container_iface_prefix", "0", "invalid interface prefix"),
    ],
)
def test_what_cannot_be_in_force_is_refused(name: str, value: str, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        options.check({name: value})


def test_options_say_how_others_reach_a_network() -> None:
    routed = {f"{BRIDGE}gateway_mode_ipv4": "routed"}
    assert options.check(routed) == routed
    assert (options.gateway_mode(routed, 4), options.gateway_mode(routed, 6)) == (options.ROUTED, options.NAT)
    alone = {f"{BRIDGE}gateway_mode_ipv6": "isolated"}
    assert options.check(alone, internal=True) == alone
    given = {"com.docker.network.host_ipv4": "192.0.2.1", "com.docker.network.enable_ipv6": "true", "mtu": "0"}
    assert options.check(given) == given
    assert (options.source(given, 4), options.source(given, 6)) == (0xC0000201, 0)
    assert (options.enabled(given, 4), options.enabled(given, 6), options.mtu(given)) == (None, True, 0)
    assert options.inhibit_ipv4({f"{BRIDGE}inhibit_ipv4": "1"})
    assert not options.inhibit_ipv4({})
