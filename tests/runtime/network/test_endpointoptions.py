"""Options of one container's link."""

from __future__ import annotations

import pytest

from runtime.errors import UsageError
from runtime.network import endpointoptions

NAME, SYSCTLS = "com.docker.network.endpoint.ifname", "com.docker.network.endpoint.sysctls"


def test_a_name_and_settings_are_read_as_docker_writes_them() -> None:
    options = endpointoptions.read(
        [f"{NAME}=own0", f"{SYSCTLS}=net.ipv6.conf.IFNAME.mtu=1300,net.ipv4.neigh.IFNAME.x=a=b"]
    )
    assert endpointoptions.link_name(options) == "own0"
    assert endpointoptions.sysctls(options) == [
        ("net/ipv6/conf/IFNAME/mtu", "1300"),
        ("net/ipv4/neigh/IFNAME/x", "a=b"),
    ]
    assert (endpointoptions.link_name({}), endpointoptions.sysctls({})) == ("", [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing", "invalid key/value pair"),
        ("=x", "invalid key/value pair"),
        ("foo=bar", "is not known"),
        (f"{NAME}=a/b", "invalid interface name"),
        (f"{NAME}=..", "invalid interface name"),
        (f"{SYSCTLS}=net.ipv4.conf.eth0.forwarding=1", "represent"),
        (f"{SYSCTLS}=net.ipv4.conf.IFNAME.../../x=1", "represent"),
        (f"{SYSCTLS}=net.core.conf.IFNAME.x=1", "represent"),
    ],
)
def test_what_names_another_link_or_setting_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        endpointoptions.read([text])
