from __future__ import annotations

import pytest

from runtime.errors import DocumentError, UsageError
from runtime.oci.fields import Reader
from runtime.oci.platforms import best, decode_platform, host_platform, matches, parse_platform


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("Linux/AMD64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm64/v9", "linux/arm64/v9"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/i386", "linux/386"),
        ("macos/arm64", "darwin/arm64"),
        ("linux/riscv64", "linux/riscv64"),
        ("arm64", "linux/arm64"),
        ("s390x", "linux/s390x"),
    ],
)
def test_a_platform_is_normalised(text: str, normal: str) -> None:
    assert str(parse_platform(text)) == normal


def test_a_system_alone_is_completed_by_the_host() -> None:
    assert parse_platform("linux") == host_platform()


@pytest.mark.parametrize("text", ["", "linux/", "/amd64", "linux/amd64/v1/x", "linux amd64", "unheard"])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_platform(text)


@pytest.mark.parametrize(
    ("wanted", "offered", "chosen"),
    [
        ("linux/amd64", ["linux/arm64", "linux/amd64"], 1),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6", "linux/386"], 1),
        ("linux/arm/v6", ["linux/arm/v7"], None),
        ("linux/arm64", ["linux/arm/v7", "linux/arm64/v8"], 1),
        ("linux/arm64", ["linux/arm/v7", "linux/arm/v6"], 0),
        ("linux/amd64/v3", ["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"], 1),
        ("linux/amd64", ["windows/amd64"], None),
        ("linux/amd64", ["linux/386"], 0),
        ("linux/amd64", ["linux/amd64", "linux/amd64"], 0),
    ],
)
def test_the_best_of_what_is_offered_is_chosen(wanted: str, offered: list[str], chosen: int | None) -> None:
    assert best(parse_platform(wanted), [None, *map(parse_platform, offered)]) == (
        None if chosen is None else chosen + 1
    )


def test_equal_platforms_match_under_other_names() -> None:
    assert matches(parse_platform("linux/arm64"), parse_platform("linux/aarch64/v8"))
    assert not matches(parse_platform("linux/arm64"), parse_platform("linux/arm"))


def test_unknown_fields_of_a_platform_survive() -> None:
    document = {"os": "windows", "architecture": "amd64", "os.version": "10", "features": ["x"]}
    assert decode_platform(Reader(document)).raw == document


def test_a_wrong_type_is_named() -> None:
    with pytest.raises(DocumentError, match=r"platform\.os\.features\[1\]: must be a string"):
        decode_platform(Reader({"os.features": ["a", 2]}, "platform"))
