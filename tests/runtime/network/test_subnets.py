"""The choice of a subnet: never one that the machine routes already."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import NetworkError
from runtime.network import subnets

networks = st.builds(
    lambda address, prefix: (address & (0xFFFFFFFF << (32 - prefix)) & 0xFFFFFFFF, prefix),
    st.integers(0, 0xFFFFFFFF),
    st.integers(5, 32),
)
keys = st.text("0123456789abcdef", min_size=10, max_size=10)


def as_network(subnet: subnets.Subnet) -> IPv4Network:
    return IPv4Network((subnet[0], subnet[1]))


@given(keys, st.lists(networks, max_size=20))
def test_the_chosen_subnet_overlaps_nothing_that_is_taken(key: str, taken: list[subnets.Subnet]) -> None:
    try:
        chosen = as_network(subnets.choose(key, taken))
    except NetworkError:
        return
    assert chosen.is_private or chosen.subnet_of(IPv4Network("100.64.0.0/10"))
    assert not any(chosen.overlaps(as_network(other)) for other in taken)


@given(keys)
def test_one_root_gets_the_same_subnet_every_time(key: str) -> None:
    assert subnets.choose(key, []) == subnets.choose(key, [])


def test_two_roots_begin_their_search_at_different_places() -> None:
    assert subnets.choose("0000000001", []) != subnets.choose("0000000002", [])


def test_the_subnet_of_last_time_is_taken_again_if_it_is_free() -> None:
    before = subnets.choose("00000000aa", [])
    assert subnets.choose("0000000001", [], preferred=before) == before
    assert subnets.choose("0000000001", [before], preferred=before) != before


def test_a_recorded_subnet_of_another_size_is_not_taken_again() -> None:
    assert subnets.choose("0000000001", [], preferred=(0x0A000000, 24)) != (0x0A000000, 24)


def test_a_default_route_in_two_halves_takes_nothing() -> None:
    assert subnets.choose("0000000001", [(0, 0), (0, 1), (1 << 31, 1)]) == subnets.choose("0000000001", [])


def test_a_network_that_routes_a_whole_private_range_moves_us_to_another() -> None:
    chosen = as_network(subnets.choose("0000000001", [(0x0A000000, 8)]))
    assert not chosen.overlaps(IPv4Network("10.0.0.0/8"))


def test_a_machine_that_routes_everything_is_told_how_to_go_on() -> None:
    with pytest.raises(NetworkError, match="no private subnet") as caught:
        subnets.choose("0000000001", subnets.POOLS)
    assert caught.value.hint is not None
    assert "--network" in caught.value.hint


@pytest.mark.parametrize("text", ["", "1.2.3", "1.2.3.256", "::1", "1.2.3.x", "1.2.3.٤", "1.2.3.4.5"])
def test_what_is_no_address_reads_as_none(text: str) -> None:
    assert subnets.number(text) is None


@given(st.integers(0, 0xFFFFFFFF))
def test_an_address_that_was_written_is_read_again(address: int) -> None:
    assert subnets.number(subnets.dotted(address)) == address
