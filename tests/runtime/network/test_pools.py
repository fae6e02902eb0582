"""Subnets of networks: which flag belongs to which, and what is refused."""

from __future__ import annotations

import pytest

from runtime.errors import Conflict, NetworkError
from runtime.network import pools, subnets
from runtime.network.pools import Wishes

NET4, NET6 = (0x0A090000, 24), (0xFD << 120, 64)


def test_each_flag_finds_the_subnet_that_it_lies_in() -> None:
    wishes = Wishes(
        subnets=("fd00::/64", "10.9.0.0/24"),
        gateways=("10.9.0.9", "fd00::9"),
        ranges=("10.9.0.64/26",),
        aux={"a": "fd00::5", "b": "10.9.0.5"},
    )
    found = pools.read(wishes, (), ())
    four, six = found[4], found[6]
    assert (four.subnet, six.subnet) == (NET4, NET6)
    assert (subnets.dotted(four.gateway), subnets.text6(six.gateway)) == ("10.9.0.9", "fd00::9")
    assert (subnets.dotted(four.first), subnets.dotted(four.last)) == ("10.9.0.64", "10.9.0.127")
    assert (subnets.text6(six.first), subnets.text6(six.last)) == ("fd00::1", "fd00::ffff:ffff:ffff:ffff")
    assert (four.aux, six.aux) == ({"b": "10.9.0.5"}, {"a": "fd00::5"})


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        (Wishes(subnets=("10.9.0.0/24", "10.9.1.0/24")), "multiple subnets"),
        (Wishes(subnets=("10.9.0.0",)), "invalid CIDR block notation"),
        (Wishes(subnets=("10.9.0.0/32",)), "has no room"),
        (Wishes(subnets=("10.9.0.0/24",), ranges=("10.9.0.64/26",), aux={"a": "10.9.0.64"}), r"\(a:10.9.0.64\)"),
        (Wishes(subnets=("fd00::/128",)), "has no room"),
        (Wishes(subnets=("10.9.0.0/24",), gateways=("fd00::1",)), "no matching subnet for gateway"),
        (Wishes(subnets=("10.9.0.0/24",), gateways=("nonsense",)), "for gateway nonsense: it is no address"),
        (Wishes(subnets=("10.9.0.7/24",)), "it should be 10.9.0.0/24"),
        (Wishes(subnets=("fd00::7/64",)), "it should be fd00::/64"),
        (Wishes(subnets=("10.9.0.0/24",), ranges=("10.9.0.7/26",)), "it should be 10.9.0.0/26"),
        (Wishes(subnets=("10.9.0.0/24",), gateways=("10.9.0.255",)), "failed to allocate gateway"),
        (Wishes(subnets=("10.9.0.0/24",), aux={"a": "10.9.0.1"}), r"secondary ip address \(a:10.9.0.1\)"),
        (Wishes(subnets=("10.9.0.0/24",), aux={"a": "10.9.0.9", "b": "10.9.0.9"}), r"\(b:10.9.0.9\): Address already"),
        (Wishes(subnets=("10.9.0.0/24",), gateways=("10.9.0.1", "10.9.0.2")), "given once"),
        (Wishes(subnets=("10.9.0.0/24",), gateways=("10.9.0.0",)), "failed to allocate gateway"),
        (Wishes(subnets=("10.9.0.0/24",), ranges=("10.9.1.0/26",)), "no matching subnet for range"),
        (Wishes(ranges=("10.9.0.0/24",)), "must have a corresponding subnet"),
        (Wishes(aux={"a": "10.9.0.1"}), "no matching subnet for aux-address"),
    ],
)
def test_what_does_not_fit_together_is_refused(wishes: Wishes, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        pools.read(wishes, (), ())


def test_a_subnet_that_is_taken_is_refused_in_each_version() -> None:
    with pytest.raises(Conflict, match="Pool overlaps") as four:
        pools.read(Wishes(subnets=("10.9.0.128/25",)), (NET4,), ())
    assert four.value.hint == "10.9.0.0/24 is in use already"
    with pytest.raises(Conflict, match="Pool overlaps") as six:
        pools.read(Wishes(subnets=("fd00::/48",)), (), (NET6,))
    assert six.value.hint == "fd00::/64 is in use already"


def test_a_unique_local_subnet_has_the_roots_key_as_its_global_id() -> None:
    first = subnets.choose6("07f6d34248", ())
    assert subnets.network6(first) == "fd07:f6d3:4248::/64"
    assert subnets.network6(subnets.choose6("07f6d34248", [first])) == "fd07:f6d3:4248:1::/64"
    assert subnets.choose6("07f6d34248", [(0, 0)]) == first  # a default route takes nothing


@pytest.mark.parametrize(
    ("subnet", "part", "gateway", "first"),
    [
        ("10.9.0.0/24", "10.9.0.0/25", "10.9.0.1", "10.9.0.1"),
        ("10.9.0.0/24", "10.9.0.128/25", "10.9.0.128", "10.9.0.128"),
        ("10.9.0.0/31", "", "10.9.0.0", "10.9.0.0"),
        ("10.9.0.4/30", "", "10.9.0.5", "10.9.0.5"),
        ("fd00::/48", "fd00:0:0:1::/64", "fd00:0:0:1::", "fd00:0:0:1::"),
        ("fd00::/64", "fd00::/80", "fd00::1", "fd00::1"),
    ],
)
def test_the_gateway_is_the_first_that_containers_could_get(subnet: str, part: str, gateway: str, first: str) -> None:
    (pool,) = pools.read(Wishes(subnets=(subnet,), ranges=(part,) if part else ()), (), ()).values()
    write = subnets.text6 if ":" in subnet else subnets.dotted
    assert (write(pool.gateway), write(pool.first), pool.routed) == (gateway, first, False)
