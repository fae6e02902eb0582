"""What `run` and `create` read of networks and ports."""

from __future__ import annotations

import pytest

from runtime.cli.arguments import read_arguments
from runtime.cli.networkflags import read_networks
from runtime.cli.run import VERB
from runtime.containers.documents import HostConfig
from runtime.errors import PybuildError


def read(*words: str) -> HostConfig:
    host: HostConfig = {}
    read_networks(read_arguments(VERB, (*words, "image")), host)
    return host


@pytest.mark.parametrize("words", [(), ("--network", "default"), ("--network", "bridge")])
def test_without_a_wish_it_is_the_bridge(words: tuple[str, ...]) -> None:
    assert read(*words) == {"NetworkMode": "bridge"}


def test_a_network_has_aliases_an_address_and_a_link_layer_address() -> None:
    host = read("--network", "net", "--network-alias", "a", "--ip", "10.9.0.7", "--mac-address", "02:00:00:00:00:AA")
    assert host["NetworkMode"] == "net"
    settings = {"Aliases": ["a"], "IPAddress": "10.9.0.7", "MacAddress": "02:00:00:00:00:aa"}
    assert host["Networks"] == {"net": settings}


def test_several_networks_keep_their_order_and_wishes() -> None:
    host = read("--network", "one", "--network", "name=two,alias=x,alias=y,ip=10.9.0.8")
    assert list(host["Networks"].items()) == [("one", {}), ("two", {"Aliases": ["x", "y"], "IPAddress": "10.9.0.8"})]


@pytest.mark.parametrize("text", ["02:00:00:00:00:AA", "02-00-00-00-00-aa", "0200.0000.00aa"])
def test_a_link_layer_address_is_written_in_any_of_three_ways(text: str) -> None:
    assert read("--network", "net", "--mac-address", text)["Networks"]["net"]["MacAddress"] == "02:00:00:00:00:aa"


def test_ports_are_put_together() -> None:
    host = read("-p", "8080:80", "-p", "127.0.0.1:8081:80", "-P")
    places = [{"HostIp": "", "HostPort": "8080"}, {"HostIp": "127.0.0.1", "HostPort": "8081"}]
    assert (host["PortBindings"], host["PublishAllPorts"]) == ({"80/tcp": places}, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--network", "host", "--network", "net"), "cannot attach both"),
        (("--network", "net", "--network", "net"), "specified multiple times"),
        (("--ip", "10.9.0.7"), "user defined networks only"),
        (("--network-alias", "a"), "user defined networks"),
        (("--link", ""), "empty string specified for links"),
        (("--network", "net", "--mac-address", "nonsense"), "not a valid mac address"),
        (("--network", "name=net,colour=red"), "invalid field"),
        (("--network", ""), "no name set for network"),
        (("--network", "container:"), "invalid container format"),
        (("--network", "alias=a"), "name/id is not specified"),
        (("--network", "container:a", "-p", "80"), "port publishing and the container type network mode"),
        (("--network", "container:a", "-h", "name"), "hostname and the network mode"),
        (("--network", "name=net,ip=10.9.0.7", "--ip", "10.9.0.8"), "cannot specify both"),
    ],
)
def test_what_cannot_be_together_is_refused(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(PybuildError, match=message):
        read(*words)
