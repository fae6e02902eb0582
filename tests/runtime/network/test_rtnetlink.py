"""The bytes of the requests that make links, addresses and routes (little-endian machines)."""

from __future__ import annotations

import sys

import pytest

from runtime.network import rtnetlink

pytestmark = pytest.mark.skipif(sys.byteorder != "little", reason="the golden bytes are of little-endian machines")


def test_a_veth_pair_is_one_request_with_its_peer_in_another_namespace() -> None:
    message = rtnetlink.new_veth("pb1", master=7, mtu=1400, peer="eth0", peer_mac="02:42:0a:c8:00:02", pid=4242)
    assert message.kind == 16
    assert message.flags == 0x600
    assert message.body.hex(" ", 4) == (
        "00000000 00000000 00000000 00000000"  # struct ifinfomsg
        " 08000300 70623100"  # IFLA_IFNAME pb1
        " 08000400 78050000"  # IFLA_MTU 1400
        " 08000a00 07000000"  # IFLA_MASTER 7
        " 50001280"  # IFLA_LINKINFO
        " 09000100 76657468 00000000"  # IFLA_INFO_KIND veth
        " 40000280"  # IFLA_INFO_DATA
        " 3c000180"  # VETH_INFO_PEER
        " 00000000 00000000 00000000 00000000"
        " 09000300 65746830 00000000"  # IFLA_IFNAME eth0
        " 0a000100 02420ac8 00020000"  # IFLA_ADDRESS
        " 08000400 78050000"  # IFLA_MTU 1400
        " 08001300 92100000"  # IFLA_NET_NS_PID 4242
    )


def test_an_address_comes_with_its_broadcast_address() -> None:
    message = rtnetlink.new_address(9, 0x0AC80402, 22)
    assert message.kind == 20
    assert message.body.hex(" ", 4) == (
        "02160000 09000000"  # struct ifaddrmsg: AF_INET, 22 bits, index 9
        " 08000200 0ac80402"  # IFA_LOCAL
        " 08000100 0ac80402"  # IFA_ADDRESS
        " 08000400 0ac807ff"  # IFA_BROADCAST
    )


def test_a_default_route_names_its_gateway() -> None:
    message = rtnetlink.new_default_route(0x0AC80401)
    assert message.kind == 24
    assert message.body.hex(" ", 4) == "02000000 fe030001 00000000 08000500 0ac80401"


def test_a_bridge_keeps_the_address_that_it_is_given() -> None:
    message = rtnetlink.new_bridge("br-pb0123456789", "02:42:0a:c8:00:01")
    assert bytes.fromhex("0a00010002420ac800010000") in message.body
    assert b"br-pb0123456789\0" in message.body


def test_setting_a_link_up_changes_that_flag_alone() -> None:
    assert rtnetlink.link_up("lo").body[:16].hex(" ", 4) == "00000000 00000000 01000000 01000000"
