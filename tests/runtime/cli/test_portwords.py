"""The ports of a container as lists have them."""

from __future__ import annotations

import pytest

from runtime.cli.portwords import in_order, summary


def _at(*places: str) -> list[dict[str, str]]:
    return [{"HostIp": place.rpartition(":")[0], "HostPort": place.rpartition(":")[2]} for place in places]


@pytest.mark.parametrize(
    ("exposed", "published", "text"),
    [
        ((), {}, ""),
        (("443/tcp", "80/tcp"), {}, "80/tcp, 443/tcp"),
        (("81/tcp", "80/tcp", "82/tcp", "81/udp"), {}, "80-82/tcp, 81/udp"),
        (("80/tcp", "82/tcp"), {}, "80/tcp, 82/tcp"),
        (("80/tcp",), {"80/tcp": _at("0.0.0.0:8080", ":::8080")}, "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"),
        (
            ("80/tcp",),
            {"80/tcp": _at("0.0.0.0:9", "127.0.0.1:8"), "80/udp": _at("0.0.0.0:7")},
            "0.0.0.0:7->80/udp, 0.0.0.0:9->80/tcp, 127.0.0.1:8->80/tcp",
        ),
        (
            ("9/tcp",),
            {"80/tcp": _at("0.0.0.0:80", ":::80"), "81/tcp": _at("0.0.0.0:81", ":::81")},
            "9/tcp, 0.0.0.0:80-81->80-81/tcp, [::]:80-81->80-81/tcp",
        ),
        ((), {"80/tcp": _at("0.0.0.0:", ":::8080")}, "0.0.0.0:0->80/tcp, [::]:8080->80/tcp"),
    ],
)
def test_neighbours_are_one_word_and_other_numbers_come_last(
    exposed: tuple[str, ...], published: dict[str, list[dict[str, str]]], text: str
) -> None:
    assert summary({**dict.fromkeys(exposed), **published}) == text


def test_numbers_count_as_numbers() -> None:
    lines = ["80/tcp -> [::]:1", "80/tcp -> 0.0.0.0:10", "9/tcp -> 0.0.0.0:1", "80/tcp -> 0.0.0.0:9"]
    assert in_order(lines) == ["9/tcp -> 0.0.0.0:1", "80/tcp -> 0.0.0.0:9", "80/tcp -> 0.0.0.0:10", "80/tcp -> [::]:1"]
