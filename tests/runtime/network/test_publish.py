"""Reading `-p`, and holding the ports that are published."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import NetworkError, UsageError
from runtime.network import publish
from runtime.network.publish import Published
from tests.ports import free_ports


def place(address: str, port: str) -> list[dict[str, str]]:
    return [{"HostIp": address, "HostPort": port}]


@pytest.mark.parametrize(
    ("text", "bindings"),
    [
        ("80", {"80/tcp": place("", "")}),
        ("8080:80", {"80/tcp": place("", "8080")}),
        ("8053:53/udp", {"53/udp": place("", "8053")}),
        ("53:53/UDP", {"53/udp": place("", "53")}),
        ("127.0.0.1:8080:80", {"80/tcp": place("127.0.0.1", "8080")}),
        ("127.0.0.1::80", {"80/tcp": place("127.0.0.1", "")}),
        ("[::1]:8080:80", {"80/tcp": place("::1", "8080")}),
        ("8000-8001:80-81", {"80/tcp": place("", "8000"), "81/tcp": place("", "8001")}),
        ("8000-8010:80", {"80/tcp": place("", "8000-8010")}),
        ("9000-9001", {"9000/tcp": place("", ""), "9001/tcp": place("", "")}),
    ],
)
def test_a_published_port_is_read_as_docker_reads_it(text: str, bindings: publish.Bindings) -> None:
    assert publish.parse_publish(text) == bindings


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "x",
        "80:x",
        "x:80",
        "0",
        "65536",
        "80:65536",
        "80/icmp",
        "8000-8002:80-81",
        "81-80",
        "1.2.3:80:80",
        "::1:80:80",
    ],
)
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        publish.parse_publish(text)


@given(st.text(alphabet="0123456789:-/.[]tcpudx", max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = publish.parse_publish(text)
    except UsageError:
        return
    assert found


def test_a_port_is_held_for_both_versions_of_ip() -> None:
    port = free_ports()
    reserved = publish.reserve({"80/tcp": place("", str(port))}, {})
    try:
        assert {place.address for place in reserved.ports} >= {"0.0.0.0"}
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
    finally:
        reserved.close()
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))


def test_a_port_that_is_in_use_is_named_and_nothing_stays_held() -> None:
    free = free_ports()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(
            NetworkError, match=rf"127\.0\.0\.1:{taken} failed: port is already allocated.*by container web"
        ):
            publish.reserve(
                {"80/tcp": place("127.0.0.1", str(free)), "81/tcp": place("127.0.0.1", str(taken))},
                {("tcp", taken): "web"},
            )
    with socket.socket() as again:
        again.bind(("127.0.0.1", free))


def test_an_empty_port_is_any_free_one() -> None:
    reserved = publish.reserve({"80/tcp": place("127.0.0.1", "")}, {})
    reserved.close()
    assert reserved.ports[0].port > 1023


def test_of_a_range_the_first_free_port_is_taken() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        reserved = publish.reserve({"80/tcp": place("127.0.0.1", f"{taken}-{min(taken + 20, 65535)}")}, {})
        reserved.close()
        assert taken < reserved.ports[0].port


def test_all_exposed_ports_are_published_where_that_is_asked_for() -> None:
    bindings = publish.wanted({"80/tcp": place("", "8080")}, ["80/tcp", "53/udp"], every=True)
    assert bindings == {"80/tcp": place("", "8080"), "53/udp": place("", "")}


def test_documents_of_ports_are_read_again_as_they_were() -> None:
    ports = [
        Published(container=80, protocol="tcp", address="0.0.0.0", port=8080),
        Published(container=80, protocol="tcp", address="::", port=8080),
    ]
    assert publish.read_documents(publish.documents(ports)) == ports
    assert publish.forwards(ports) == [((0, 6, 8080), 80)]
