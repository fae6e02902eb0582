"""Driver options of networks: Docker's names and short ones, kept as they were written."""

from __future__ import annotations

import pytest

from runtime.errors import UsageError
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
        ("mtu", "abc", "invalid MTU"),
        ("mtu", "67", "invalid MTU"),
        ("icc", "maybe", "invalid syntax"),
        (f"{BRIDGE}name", "a" * 16, "invalid bridge name"),
        (f"{BRIDGE}host_binding_ipv4", "nowhere", "invalid IPv4 address"),
        (f"{BRIDGE}gateway_mode_ipv4", "routed", "cannot be had"),
        ("com.docker.network.container_iface_prefix", "0", "invalid interface prefix"),
    ],
)
def test_what_cannot_be_in_force_is_refused(name: str, value: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        options.check({name: value})
