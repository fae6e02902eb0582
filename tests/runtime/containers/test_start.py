"""What is told to the network of a container before it is started."""

from __future__ import annotations

import pytest

from runtime.containers.start import host_names


@pytest.mark.parametrize(
    ("host", "domain", "names"),
    [
        ("web", "", "web"),
        ("web", "example.org", "web.example.org web"),
        ("web.example.org", "", "web.example.org web"),
        ("", "", ""),
    ],
)
def test_the_full_name_of_a_host_comes_first(host: str, domain: str, names: str) -> None:
    assert host_names({"Hostname": host, "Domainname": domain}) == names
