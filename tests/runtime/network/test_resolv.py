"""What a container finds in /etc/resolv.conf and /etc/hosts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import UsageError
from runtime.network import resolv
from runtime.network.resolv import Resolver, for_container, for_names, host_resolver, hosts_text, parse

HOST = Resolver(servers=("10.0.0.53", "127.0.0.1", "fd00::53"), search=("lan", "example.com"), options=("ndots:2",))


def test_a_resolv_conf_is_read_with_its_comments_left_out() -> None:
    text = "# by hand\nnameserver 10.0.0.1\n; more\nnameserver 10.0.0.2 \nsearch a b\noptions edns0\noptions ndots:3\n"
    expected = Resolver(servers=("10.0.0.1", "10.0.0.2"), search=("a", "b"), options=("edns0", "ndots:3"))
    assert parse(text) == expected


def test_of_search_and_domain_the_last_counts() -> None:
    assert parse("search a b\ndomain c\n").search == ("c",)


def test_a_line_of_another_kind_survives() -> None:
    assert str(parse("sortlist 10.0.0.0/8\nnameserver 1.1.1.1")) == "nameserver 1.1.1.1\nsortlist 10.0.0.0/8\n"


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    parse(text)


def test_a_missing_file_names_nothing(tmp_path: Path) -> None:
    assert host_resolver(tmp_path / "none", tmp_path / "none") == Resolver()


def test_behind_the_stub_of_systemd_resolved_its_own_servers_are_used(tmp_path: Path) -> None:
    (tmp_path / "stub").write_text("nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n")
    (tmp_path / "upstream").write_text("nameserver 192.168.1.1\nsearch lan\n")
    found = host_resolver(tmp_path / "stub", tmp_path / "upstream")
    assert found.servers == ("192.168.1.1",)
    assert found.search == ("lan",)


def test_a_loopback_server_without_systemd_resolved_stays_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "stub").write_text("nameserver 127.0.0.1\n")
    assert host_resolver(tmp_path / "stub", tmp_path / "none").servers == ("127.0.0.1",)


def test_servers_that_a_bridge_does_not_reach_are_left_out() -> None:
    assert for_container(HOST).servers == ("10.0.0.53",)


def test_servers_with_ipv6_addresses_stay_where_the_container_has_ipv6() -> None:
    assert for_container(HOST, ipv6=True).servers == ("10.0.0.53", "fd00::53")


def test_a_scoped_address_means_nothing_in_another_namespace() -> None:
    assert for_container(Resolver(servers=("fe80::1%eth0", "10.0.0.1")), ipv6=True).servers == ("10.0.0.1",)


def test_the_hosts_network_reaches_all_servers() -> None:
    assert for_container(HOST, shares_loopback=True).servers == HOST.servers


def test_where_only_the_loopback_answers_the_helper_is_asked() -> None:
    assert for_container(Resolver(servers=("127.0.0.1",)), forward="169.254.1.1").servers == ("169.254.1.1",)


def test_where_nothing_answers_public_servers_are_used_as_docker_does() -> None:
    assert for_container(Resolver(servers=("127.0.0.1",))).servers == ("8.8.8.8", "8.8.4.4")


def test_search_and_options_of_the_host_are_kept() -> None:
    assert str(for_container(HOST)) == "nameserver 10.0.0.53\nsearch lan example.com\noptions ndots:2\n"


def test_each_kind_of_line_can_be_replaced() -> None:
    found = for_container(HOST, dns=("9.9.9.9",), dns_search=("x.y",), dns_options=("timeout:1",))
    assert str(found) == "nameserver 9.9.9.9\nsearch x.y\noptions timeout:1\n"


def test_a_dot_takes_the_search_list_away() -> None:
    assert for_container(HOST, dns_search=(".",)).search == ()


def test_hosts_names_the_loopback_the_added_hosts_and_the_container() -> None:
    text = hosts_text(hostname="box", address="10.200.0.2", add_hosts=("db:10.0.0.5", "v6=[fd00::5]"), gateway=None)
    assert text == (
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n"
        "ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
        "10.0.0.5\tdb\nfd00::5\tv6\n10.200.0.2\tbox\n"
    )


def test_an_ipv6_address_follows_the_first_colon() -> None:
    assert "::1\tme\n" in hosts_text(hostname="", address=None, add_hosts=("me:::1",), gateway=None)


def test_host_gateway_is_the_bridge() -> None:
    text = hosts_text(hostname="", address=None, add_hosts=("me:host-gateway",), gateway="10.200.0.1")
    assert text.endswith("10.200.0.1\tme\n")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("db", "bad format"),
        ("db:", "bad format"),
        (":1.2.3.4", "bad format"),
        ("a\nb:1.2.3.4", "bad format"),
        ("a\tb:1.2.3.4", "bad format"),
        ("db:1.2.3", "invalid IP address"),
        ("db:1.2.3.4\n6.6.6.6 evil", "invalid IP address"),
        ("db:host-gateway", "no address of the host"),
    ],
)
def test_a_wrong_added_host_is_shown_as_written(entry: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        hosts_text(hostname="", address=None, add_hosts=(entry,), gateway=None)
    assert caught.value.hint


def test_blanks_give_an_address_several_names() -> None:
    assert "1.2.3.4\tdb main\n" in hosts_text(hostname="", address=None, add_hosts=("db main:1.2.3.4",), gateway=None)


def test_without_ipv6_the_hosts_file_names_none_but_what_was_added() -> None:
    text = hosts_text(hostname="box", address="10.0.0.2", add_hosts=("six=fd00::5",), gateway=None, ipv6=False)
    assert text == "127.0.0.1\tlocalhost\nfd00::5\tsix\n10.0.0.2\tbox\n"


def test_in_the_hosts_network_the_hosts_own_names_stand_unless_some_are_added(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("127.0.0.1 localhost own")
    assert resolv.host_hosts((), tmp_path / "hosts") == "127.0.0.1 localhost own"
    added = resolv.host_hosts(("own:1.2.3.4",), tmp_path / "hosts")
    assert "127.0.0.1 localhost own" not in added
    assert added.endswith("\n1.2.3.4\town\n")


def _comments(found: Resolver) -> list[str]:
    return [line[2:] for line in found.document().splitlines()[3:] if line.startswith("#")]


def test_the_comments_say_where_each_line_is_from(tmp_path: Path) -> None:
    (tmp_path / "host").write_text("nameserver 10.0.0.53\noptions ndots:2\n")
    host = host_resolver(tmp_path / "host", tmp_path / "none")
    source = f"Based on host file: '{tmp_path}/host'"
    assert _comments(for_container(host, shares_loopback=True)) == [
        source,
        "Overrides: []",
        "Option ndots from: host",
    ]
    asked = for_container(host, dns=("9.9.9.9",), dns_search=("x.y",), dns_options=("ndots:3",))
    assert _comments(asked) == [
        f"{source} (legacy)",
        "Overrides: [nameservers search options]",
        "Option ndots from: override",
    ]
    assert _comments(for_names(for_container(host, dns_options=("edns0",)), "127.0.0.11", ("host(10.0.0.53)",))) == [
        f"{source} (internal resolver)",
        "ExtServers: [host(10.0.0.53)]",
        "Overrides: [options]",
        "Option ndots from: internal",
    ]


def test_the_comments_say_that_no_server_of_the_host_was_of_use() -> None:
    assert "Used default nameservers." in _comments(for_container(Resolver(servers=("127.0.0.1",))))


def test_a_written_file_is_read_as_what_it_says() -> None:
    found = for_container(HOST)
    assert str(parse(found.document())) == str(found)
    assert [line[:1] for line in found.document().splitlines()[:5]] == ["#", "#", "#", "", "n"]


@pytest.mark.parametrize("option", ["ndots", "ndots:", "ndots:x", "ndots:-1"])
def test_where_names_are_served_a_wrong_ndots_counts_as_none(option: str) -> None:
    found = for_names(Resolver(options=("edns0", option)), "127.0.0.11")
    assert found.options == ("edns0", "ndots:0")


def test_where_names_are_served_a_sound_ndots_stays() -> None:
    assert for_names(Resolver(options=("ndots:5",)), "127.0.0.11").options == ("ndots:5",)
